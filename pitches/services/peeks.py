"""Peeks: a look at what a team submitted before its round is unsealed; logged, and told to the team and the chair."""

from django.db import transaction

from pitches.access import require_member
from pitches.models import Peek, Pitch
from pitches.selectors.seals import is_unsealed_to
from pitches.services.locks import pitch_locked
from pitches.services.notices import tell_chair, tell_team
from teams.errors import SHORTEST_REASON, Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record


@transaction.atomic
def pitch_peek(*, actor: User, pitch: Pitch, reason: str) -> Peek:
    """Open the current revision of a sealed pitch to the actor alone; the team reads who looked, and why.

    Raises NotAllowed, WrongState, Refused (reason_missing, peeked_already).
    """
    pitch = pitch_locked(pitch)
    require_member(
        actor,
        "pitches.peek_pitch",
        pitch,
        message="Only members without a conflict, finance and auditors look at a sealed pitch.",
    )
    if not pitch.round.is_sealed:
        raise WrongState("The seal of this round is open: the pitch can be read.")
    require_reason(reason, "Say why you must look now, in at least 10 characters.", least=SHORTEST_REASON)
    if is_unsealed_to(actor, pitch):
        raise Refused("You have looked at this revision already.", code="peeked_already")
    peek = Peek.objects.create(pitch=pitch, revision=pitch.submitted, person=actor, reason=reason.strip())
    details = {"revision": pitch.submitted.number}
    audit_record(actor=actor, verb="pitch.peek", target=pitch, reason=peek.reason, details=details)
    tell_team(pitch, f"{actor.name} looked at {pitch} before the deadline", peek.reason)
    tell_chair(pitch.round, f"{actor.name} looked at {pitch.number}, which is sealed", peek.reason)
    return peek
