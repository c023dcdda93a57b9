"""The waitlist: its order while the committee decides, and who moves up when money comes free."""

from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.db.models import Max

from ledger.money import show
from pitches.access import require_member
from pitches.models import Decision, Offer, Outcome, Pitch, Round
from pitches.room import ZERO, Shortfall, turns
from pitches.selectors.conflicts import is_conflicted
from pitches.selectors.offers import lines_of, queue_of, room_of, rounds_with_freed_money
from pitches.services.awarding import offer_make
from pitches.services.locks import round_locked
from pitches.services.notices import tell_deciders, tell_team
from pitches.services.states import pitch_move
from pitches.transitions import PitchState, RoundState
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record

ANSWER_DAYS = 14
"""Policy: how long a team has to answer an offer that it gets from the waitlist."""


def place_for(pitch: Pitch, wanted: int | None) -> int:
    """Return the place of a pitch on its round's waitlist: as wanted, the one that it has, or the one after the last.

    Call it with the round locked. Raises Refused (place_taken, no_place).
    """
    places = Decision.objects.filter(pitch__round=pitch.round_id, waitlist_place__isnull=False)
    others = places.exclude(pitch=pitch)
    if wanted is None:
        own = places.filter(pitch=pitch).values_list("waitlist_place", flat=True).first()
        return own or (others.aggregate(last=Max("waitlist_place"))["last"] or 0) + 1
    if wanted < 1:
        raise Refused("Places begin at 1.", code="no_place", field="place")
    if others.filter(waitlist_place=wanted).exists():
        raise Refused(f"Place {wanted} is taken. Move pitches up on the list.", code="place_taken", field="place")
    return wanted


@transaction.atomic
def waitlist_raise(*, actor: User, pitch: Pitch) -> None:
    """Move a pitch one place up while decisions are tentative; the one before it moves down.

    Whoever has a conflict about one of the two does not change their order.
    Raises NotAllowed, WrongState, Refused (first_already, decided_with_conflict).
    """
    round_ = round_locked(pitch.round)
    if round_.state != RoundState.DECIDING:
        raise WrongState("The order of the waitlist is fixed once the decisions are published.")
    rows = Decision.objects.select_for_update(of=("self",)).select_related(
        "pitch__team__business_unit", "pitch__round", "decided_by"
    )
    queued = rows.filter(pitch__round=round_, pitch__state=PitchState.SHORTLISTED, waitlist_place__isnull=False)
    queue = list(queued.order_by("waitlist_place"))
    at = next((index for index, row in enumerate(queue) if row.pitch_id == pitch.pk), None)
    if at is None:
        raise WrongState("This pitch has no place on the waitlist.")
    if at == 0:
        raise Refused("It is the first already.", code="first_already")
    pair = queue[at - 1], queue[at]
    for row in pair:
        require_member(
            actor,
            "pitches.decide_pitch",
            row.pitch,
            message="Who orders two pitches decides on both and has no conflict about either.",
        )
    for row in pair:
        require_decider(row)
    _swap(actor, *pair)


def require_decider(decision: Decision, *, hidden: bool = False) -> None:
    """Let a decision stand whose author has no conflict by now; raises Refused (decided_with_conflict).

    Neither author nor pitch is named to whom the pitch is `hidden` from.
    """
    if is_conflicted(decision.decided_by, decision.pitch):
        who = "Who decided" if hidden else decision.decided_by
        about = "a pitch that you are recused from" if hidden else decision.pitch
        raise Refused(
            f"{who} has a conflict about {about} by now: another member must decide on it.",
            code="decided_with_conflict",
        )


def _swap(actor: User, before: Decision, after: Decision) -> None:
    places = before.waitlist_place, after.waitlist_place
    # Every statement leaves one pitch per place, so one of the two has none for a moment.
    for row, place in ((before, None), (after, places[0]), (before, places[1])):
        row.waitlist_place = place
        row.save(update_fields=["waitlist_place"])
    for row in (after, before):
        reason = f"Place {row.waitlist_place} on the waitlist."
        details = {"place": row.waitlist_place}
        audit_record(actor=actor, verb="pitch.waitlist_order", target=row.pitch, reason=reason, details=details)


@transaction.atomic
def waitlist_promote(*, actor: User, round_: Round, at: datetime | None = None) -> list[Offer]:
    """Offer what is free of a published round to its waitlist, in strict order, and return the offers made.

    Only a pitch whose lines cannot fit is passed over, which its history says. Run again, it does nothing until more
    money is free. Call it in the transaction that frees the money.
    """
    round_ = round_locked(round_)
    if round_.state != RoundState.PUBLISHED:
        return []
    queue = queue_of(round_)
    found = turns(room_of(round_), queue) if queue else []
    pitches = Pitch.objects.select_for_update(of=("self",)).select_related("team__business_unit", "round", "owner")
    by_id = pitches.in_bulk([turn.pitch for turn in found])
    offers = []
    for turn in found:
        if turn.short is None:
            offers.append(_promote(actor, by_id[turn.pitch], at or datetime.now(UTC)))
        else:
            _pass_over(actor, by_id[turn.pitch], turn.short)
    return offers


def _promote(actor: User, pitch: Pitch, now: datetime) -> Offer:
    decision = Decision.objects.select_related("revision").prefetch_related("lines").get(pitch=pitch)
    lines = lines_of(decision.lines.all())
    total = show(sum(lines.values(), ZERO))
    reason = f"{total} came free and fit. It stood at place {decision.waitlist_place} of the waitlist."
    pitch_move(
        actor=actor,
        pitch=pitch,
        to=PitchState.OFFERED,
        verb="pitch.promote",
        reason=reason,
        details={"place": decision.waitlist_place, "lines": {tier.value: str(sum_) for tier, sum_ in lines.items()}},
    )
    offer = offer_make(pitch=pitch, decision=decision, lines=lines, expires_at=now + timedelta(days=ANSWER_DAYS))
    until = f"{offer.expires_at:%d %B %Y}"
    tell_team(pitch, f"{pitch} moved up: {total} are offered, answer by {until}", reason, page="pitches:offer")
    tell_deciders(pitch, f"{pitch} moved up from the waitlist: {total} are offered", reason)
    return offer


def _pass_over(actor: User, pitch: Pitch, short: Shortfall) -> None:
    reason = f"Passed over on the waitlist: {short.words}"
    details = {"code": short.code, "needed": str(short.needed), "left": str(short.left)}
    audit_record(actor=actor, verb="pitch.pass_over", target=pitch, reason=reason, details=details)


def waitlists_promote_due(*, actor: User) -> list[Offer]:
    """Promote the waitlist of every round in which money came free, each in its own transaction; safe to run twice."""
    rounds = rounds_with_freed_money()
    return [offer for round_ in rounds for offer in waitlist_promote(actor=actor, round_=round_)]


def is_queued(outcome: Outcome, has_lines: bool) -> bool:
    """Say whether a decision gives its pitch a place on the waitlist: it says what the pitch would be offered."""
    return outcome == Outcome.WAITLIST and has_lines
