"""Counter-offers: a team asks for other lines, the committee accepts, refuses, or offers others in turn."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction

from ledger.models import Tier
from ledger.money import show
from pitches.access import require_member
from pitches.models import Counter, CounterLine, CounterSide, Offer
from pitches.room import ZERO
from pitches.selectors.offers import counter_waiting, latest_date, limits_of, lines_of, stretch_by_tier
from pitches.services.awarding import (
    awards_checked,
    counter_end,
    offer_end,
    offer_make,
    require_hurdle,
    require_room,
)
from pitches.services.locks import counter_locked, offer_locked
from pitches.services.notices import tell_deciders, tell_team
from pitches.services.waitlist import waitlist_promote
from pitches.transitions import CounterState, OfferState
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import User
from teams.selectors import system_user
from teams.services import audit_record

DECIDES = "The chair answers counter-offers, and where the chair has a conflict another member without one."


@transaction.atomic
def counter_make(*, actor: User, offer: Offer, lines: Mapping[Tier, Decimal], message: str) -> Counter:
    """Ask the committee for other lines than an open offer has, in USD per tier; the offer and its date stay.

    Raises NotAllowed, WrongState, Refused (expired, reason_missing, no_lines, not_in_cents, counter_open, same_lines,
    over_stretch).
    """
    offer = offer_locked(offer)
    require(actor, "pitches.answer_offer", offer, message="Only a lead of the team counters its offers.")
    _require_open(offer)
    if counter_waiting(offer) is not None:
        raise Refused("A counter-offer waits for the committee already.", code="counter_open")
    require_reason_as(message, "message", "Say why; the committee decides by it.")
    wanted = awards_checked(lines)
    _require_others(offer, wanted)
    _require_asked(offer, wanted)
    counter = _store(actor, offer, CounterSide.TEAM, wanted, message)
    _tell_history(actor, counter, "pitch.counter", message, wanted)
    total = show(sum(wanted.values(), ZERO))
    tell_deciders(offer.pitch, f"{offer.pitch.team} countered with {total} for {offer.pitch}", message)
    return counter


@transaction.atomic
def counter_withdraw(*, actor: User, counter: Counter, reason: str) -> Counter:
    """Take a team's counter-offer back; the offer stays open.

    Raises NotAllowed, WrongState, Refused (reason_missing).
    """
    counter = counter_locked(counter)
    require(actor, "pitches.answer_offer", counter.offer, message="Only a lead of the team takes it back.")
    _require_waiting(counter)
    require_reason(reason, "Say why; it stays in the history.")
    counter_end(actor=actor, counter=counter, to=CounterState.WITHDRAWN, reason=reason.strip())
    _tell_history(actor, counter, "pitch.counter_withdraw", reason)
    tell_deciders(counter.offer.pitch, f"{counter.offer.pitch.team} took its counter-offer back", reason.strip())
    return counter


@transaction.atomic
def counter_accept(*, actor: User, counter: Counter, reason: str, until: datetime | None = None) -> Offer:
    """Accept a team's counter-offer: an offer with its lines takes the place of the one that it countered.

    The date to answer stays unless `until` sets another one. What comes free goes to the waitlist.
    Raises NotAllowed, WrongState, Refused (expired, reason_missing, over_cap, over_team_cap, over_frontier_cap,
    below_hurdle, date_past, date_too_late).
    """
    counter = _answerable(actor, counter)
    require_reason(reason, "Say why; the team will read it.")
    lines = lines_of(counter.lines.all())
    reason = reason.strip()
    counter_end(actor=actor, counter=counter, to=CounterState.ACCEPTED, reason=reason)
    _tell_history(actor, counter, "pitch.counter_accept", reason, lines)
    offer = _replace(actor, counter.offer, lines, counter, until)
    _tell_new(offer, "The committee accepted your counter-offer", reason)
    return offer


@transaction.atomic
def counter_refuse(*, actor: User, counter: Counter, reason: str, until: datetime | None = None) -> Counter:
    """Refuse a team's counter-offer: the offer stays open as it is, to its date or to the one that `until` sets.

    Raises NotAllowed, WrongState, Refused (expired, reason_missing, date_past, date_too_late).
    """
    counter = _answerable(actor, counter)
    require_reason(reason, "Say why; the team will read it.")
    offer = counter.offer
    counter_end(actor=actor, counter=counter, to=CounterState.REFUSED, reason=reason.strip())
    offer.expires_at = _date(offer, until)
    offer.save(update_fields=["expires_at"])
    _tell_history(actor, counter, "pitch.counter_refuse", reason)
    title = f"Your counter-offer for {offer.pitch} was refused; the offer stays open until {_day(offer)}"
    tell_team(offer.pitch, title, reason.strip(), page="pitches:offer")
    return counter


@transaction.atomic
def counter_answer(
    *, actor: User, counter: Counter, lines: Mapping[Tier, Decimal], message: str, until: datetime | None = None
) -> Offer:
    """Answer a team's counter-offer with other lines, in USD per tier, which are an offer at once.

    Raises NotAllowed, WrongState, Refused (expired, reason_missing, no_lines, not_in_cents, same_lines, over_cap,
    over_team_cap, over_frontier_cap, below_hurdle, date_past, date_too_late).
    """
    counter = _answerable(actor, counter)
    require_reason_as(message, "reason", "Say why; the team will read it.")
    offer, message = counter.offer, message.strip()
    awards = awards_checked(lines)
    _require_others(offer, awards)
    counter_end(actor=actor, counter=counter, to=CounterState.COUNTERED, reason=message)
    answer = _store(actor, offer, CounterSide.COMMITTEE, awards, message)
    _tell_history(actor, answer, "pitch.counter_answer", message, awards)
    made = _replace(actor, offer, awards, answer, until)
    _tell_new(made, "The committee answered your counter-offer with other lines", message)
    return made


def require_reason_as(words: str, field: str, message: str) -> None:
    """Let a service go on only with words in a field of another name; raises Refused (reason_missing)."""
    if not words.strip():
        raise Refused(message, code="reason_missing", field=field)


def _require_waiting(counter: Counter) -> None:
    if counter.state != CounterState.OPEN or counter.side != CounterSide.TEAM:
        raise WrongState(f"This counter-offer is answered already: {counter.get_state_display().lower()}.")


def _answerable(actor: User, counter: Counter) -> Counter:
    counter = counter_locked(counter)
    require_member(actor, "pitches.decide_pitch", counter.offer.pitch, message=DECIDES)
    _require_waiting(counter)
    _require_open(counter.offer)
    return counter


def _require_open(offer: Offer) -> None:
    if offer.state != OfferState.OPEN:
        raise WrongState(f"This offer is answered already: {offer.get_state_display().lower()}.")
    if offer.expires_at <= datetime.now(UTC):
        raise Refused("This offer has expired.", code="expired")


def _require_others(offer: Offer, lines: Mapping[Tier, Decimal]) -> None:
    if dict(lines) == lines_of(offer.lines.all()):
        raise Refused("These are the lines of the offer. Accept it, or change one.", code="same_lines", field="amount")


def _require_asked(offer: Offer, lines: Mapping[Tier, Decimal]) -> None:
    limits = limits_of(offer)
    for tier, amount in lines.items():
        most = limits.get(tier, ZERO)
        if amount > most:
            raise Refused(
                f"{show(amount)} on {tier.label} is more than was asked for: at most {show(most)}.",
                code="over_stretch",
                field=f"amount-{tier.value}",
            )
    asked = sum(stretch_by_tier(offer.revision).values(), ZERO)
    most = max(asked, sum(lines_of(offer.lines.all()).values(), ZERO))
    total = sum(lines.values(), ZERO)
    if total > most:
        raise Refused(
            f"{show(total)} together is more than was asked for: at most {show(most)}.",
            code="over_stretch",
            field="amount",
        )


def _store(actor: User, offer: Offer, side: CounterSide, lines: Mapping[Tier, Decimal], message: str) -> Counter:
    counter = Counter.objects.create(offer=offer, side=side, by=actor, message=message.strip())
    CounterLine.objects.bulk_create(
        CounterLine(counter=counter, tier=tier, amount=amount) for tier, amount in lines.items()
    )
    return counter


def _replace(
    actor: User, offer: Offer, lines: Mapping[Tier, Decimal], counter: Counter, until: datetime | None
) -> Offer:
    pitch = offer.pitch
    require_hurdle(pitch.round, offer.revision.value_p50, sum(lines.values(), ZERO))
    require_room(pitch, lines, without=offer)
    expires_at = _date(offer, until)
    reason = f"Another offer takes its place: {show(sum(lines.values(), ZERO))}."
    offer_end(actor=actor, offer=offer, to=OfferState.REPLACED, verb="offer.replace", reason=reason)
    made = offer_make(pitch=pitch, decision=offer.decision, lines=lines, expires_at=expires_at, counter=counter)
    if _frees(lines_of(offer.lines.all()), lines):
        waitlist_promote(actor=system_user(), round_=pitch.round)
    return made


def _frees(before: Mapping[Tier, Decimal], after: Mapping[Tier, Decimal]) -> bool:
    """Say whether other lines leave more of the round, or of its cap on the frontier tier, to others."""
    is_less = sum(after.values(), ZERO) < sum(before.values(), ZERO)
    return is_less or after.get(Tier.FRONTIER, ZERO) < before.get(Tier.FRONTIER, ZERO)


def _date(offer: Offer, until: datetime | None) -> datetime:
    if until is None:
        return offer.expires_at
    if until <= datetime.now(UTC):
        raise Refused("This date has passed.", code="date_past", field="until")
    latest = latest_date(offer)
    if until > latest:
        raise Refused(f"At the latest {latest:%Y-%m-%d %H:%M} UTC.", code="date_too_late", field="until")
    return until


def _day(offer: Offer) -> str:
    return f"{offer.expires_at:%d %B %Y}"


def _tell_history(
    actor: User, counter: Counter, verb: str, reason: str, lines: Mapping[Tier, Decimal] | None = None
) -> None:
    details = {
        "offer": counter.offer_id,
        "counter": counter.pk,
        "lines": {tier.value: str(amount) for tier, amount in (lines or {}).items()},
    }
    audit_record(actor=actor, verb=verb, target=counter.offer.pitch, reason=reason.strip(), details=details)


def _tell_new(offer: Offer, title: str, body: str) -> None:
    pitch = offer.pitch
    total = show(sum(lines_of(offer.lines.all()).values(), ZERO))
    tell_team(pitch, f"{title}: {total} for {pitch}, answer by {_day(offer)}", body, page="pitches:offer")
