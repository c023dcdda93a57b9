"""Drafts that missed their round: carried to the next open one by themselves, or waiting until one opens."""

from pitches.models import Pitch, Round, RoundKind
from pitches.selectors.rounds import open_rounds
from pitches.services.notices import tell_team
from pitches.transitions import PitchState, RoundState
from teams.models import User
from teams.services import audit_record

BEFORE_CLOSING = (RoundState.DRAFT, RoundState.OPEN)


def drafts_carry(*, actor: User, closed: Round | None = None) -> list[Pitch]:
    """Move every draft of a round that is over to the regular round that closes next; returns what was moved.

    Where no round is open they stay as they are: those of `closed`, which has just ended, are told so, and the next
    round that opens takes them. Call it in the transaction that closes or opens a round.
    """
    missed = Pitch.objects.select_for_update(of=("self",)).select_related("round", "team", "owner")
    drafts = list(missed.filter(state=PitchState.DRAFT).exclude(round__state__in=BEFORE_CLOSING).order_by("pk"))
    target = open_rounds().filter(kind=RoundKind.REGULAR).first()
    if target is not None:
        for pitch in drafts:
            _carry(actor, pitch, target)
        return drafts
    for pitch in drafts:
        if closed is not None and pitch.round_id == closed.pk:
            _wait(actor, pitch)
    return []


def _carry(actor: User, pitch: Pitch, target: Round) -> None:
    before, pitch.round = pitch.round, target
    pitch.save()
    reason = f"{before.name} closed without it; it goes on in {target.name}."
    details = {"from": before.name, "to": target.name}
    audit_record(actor=actor, verb="pitch.carry_over", target=pitch, reason=reason, details=details)
    until = f"Submit it by {target.submissions_close_at:%d %B %Y, %H:%M} UTC."
    tell_team(pitch, f"The draft {pitch} was carried over to {target.name}", until)


def _wait(actor: User, pitch: Pitch) -> None:
    reason = f"{pitch.round.name} closed without it, and no round is open. The next one takes it."
    audit_record(actor=actor, verb="pitch.wait", target=pitch, reason=reason)
    tell_team(pitch, f"The draft {pitch} waits for the next round", reason)
