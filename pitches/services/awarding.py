"""What every offer goes through: lines that are checked, room in the round, one way to begin and one to end."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from ledger.models import Tier
from ledger.money import show
from pitches.models import Counter, CounterSide, Decision, Offer, OfferLine, Pitch, Round
from pitches.quotes import CENT
from pitches.room import ZERO
from pitches.selectors.offers import room_of
from pitches.selectors.quotes import asked_by_tier
from pitches.services.states import counter_move, offer_move
from pitches.transitions import CounterState, OfferState
from teams.errors import Refused
from teams.models import User

Lines = Mapping[Tier, Decimal]


def awards_checked(lines: Lines) -> dict[Tier, Decimal]:
    """Return lines in the order of tiers, in USD; raises Refused (no_lines, not_in_cents)."""
    awards = {tier: lines[tier] for tier in Tier if lines.get(tier)}
    if not awards or any(amount <= 0 for amount in awards.values()):
        raise Refused("Say what is awarded: more than zero on at least one tier.", code="no_lines", field="amount")
    if any(amount != amount.quantize(CENT) for amount in awards.values()):
        raise Refused("Awards are in whole cents.", code="not_in_cents", field="amount")
    return awards


def require_hurdle(round_: Round, value: Decimal, total: Decimal) -> None:
    """Let an award of `total` pass whose expected value reaches the round's hurdle; raises Refused (below_hurdle)."""
    if value < round_.hurdle * total:
        raise Refused(
            f"{show(value)} expected for {show(total)} is less than the hurdle of {round_.hurdle.normalize():f}"
            " per dollar.",
            code="below_hurdle",
            field="amount",
        )


def require_room(pitch: Pitch, lines: Lines, *, without: Offer | None = None) -> None:
    """Let lines pass that fit what is free of a round and of its caps; the lines of `without` count as free.

    Call it with the round locked. Raises Refused (over_cap, over_team_cap, over_frontier_cap).
    """
    short = room_of(pitch.round, without=without).short(pitch.team_id, lines)
    if short is not None:
        raise Refused(short.words, code=short.code, field="amount")


def offer_make(
    *, pitch: Pitch, decision: Decision, lines: Lines, expires_at: datetime, counter: Counter | None = None
) -> Offer:
    """Offer lines, in USD, for what a decision was taken on; what was asked is kept beside them."""
    asked = asked_by_tier(decision.revision)
    offer = Offer.objects.create(
        pitch=pitch, revision=decision.revision, decision=decision, expires_at=expires_at, counter=counter
    )
    OfferLine.objects.bulk_create(
        OfferLine(offer=offer, tier=tier, asked=asked.get(tier, ZERO), awarded=lines.get(tier, ZERO))
        for tier in Tier
        if tier in asked or tier in lines
    )
    return offer


def offer_end(*, actor: User, offer: Offer, to: OfferState, verb: str, reason: str) -> None:
    """End a locked open offer with a name, a time and a reason; its counter-offers end with it."""
    offer.answered_by, offer.answered_at, offer.answer_reason = actor, datetime.now(UTC), reason
    offer_move(actor=actor, offer=offer, to=to, verb=verb, reason=reason)
    for counter in Counter.objects.select_for_update().filter(offer=offer, state=CounterState.OPEN):
        if counter.side == CounterSide.TEAM:
            state = CounterState.LAPSED if to == OfferState.EXPIRED else CounterState.WITHDRAWN
            counter_end(actor=actor, counter=counter, to=state, reason=reason)
    if offer.counter_id is not None:
        _follow(actor, Counter.objects.select_for_update().get(pk=offer.counter_id), to, reason)


FOLLOWS = {
    OfferState.ACCEPTED: CounterState.ACCEPTED,
    OfferState.DECLINED: CounterState.REFUSED,
    OfferState.EXPIRED: CounterState.LAPSED,
    OfferState.REPLACED: CounterState.COUNTERED,
}


def _follow(actor: User, made_by: Counter, to: OfferState, reason: str) -> None:
    # A team's was accepted when its offer was made; a committee's waits until that offer is answered.
    if made_by.state == CounterState.OPEN:
        counter_end(actor=actor, counter=made_by, to=FOLLOWS[to], reason=reason)


def counter_end(*, actor: User, counter: Counter, to: CounterState, reason: str) -> None:
    """End a locked counter-offer with a name, a time and a reason. Raises WrongState."""
    counter.answered_by, counter.answered_at, counter.answer_reason = actor, datetime.now(UTC), reason
    counter_move(actor=actor, counter=counter, to=to, verb=f"counter.{to.value}", reason=reason)
