"""Offers: accepted into an allocation in one transaction, declined with a reason, or expired by the sweep."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction

from allocations.models import Allocation, StopBehaviour
from allocations.services import allocation_create
from ledger.models import EntryKind, Tier
from ledger.money import show
from pitches.models import Offer
from pitches.services.locks import offer_locked
from pitches.services.notices import tell_chair, tell_team
from pitches.services.states import offer_move, pitch_move
from pitches.transitions import OfferState, PitchState
from teams.access import require
from teams.errors import Refused, WrongState
from teams.models import User


@transaction.atomic
def offer_accept(*, actor: User, offer: Offer) -> Allocation:
    """Accept an offer: the money leaves the round's pool and becomes the team's allocation, all or nothing.

    Raises NotAllowed, WrongState, Refused (expired, overdraft).
    """
    offer = _answerable(actor, offer)
    pitch, revision = offer.pitch, offer.revision
    lines = {Tier(line.tier): line.awarded for line in offer.lines.all() if line.awarded > 0}
    allocation = allocation_create(
        actor=actor,
        team=pitch.team,
        owner=pitch.owner,
        name=revision.title,
        lines=lines,
        funded_from=pitch.round.opened_pool,
        kind=EntryKind.AWARD,
        starts_on=pitch.round.starts_on,
        ends_on=pitch.round.ends_on,
        stop_behaviour=StopBehaviour(revision.stop_behaviour),
        reason=f"Offer accepted: {pitch.number} {revision.title}, round {pitch.round.name}",
        key=f"offer:{offer.pk}",
    )
    offer.allocation = allocation
    _answer(actor, offer, OfferState.ACCEPTED, "offer.accept", "")
    total = show(sum(lines.values(), Decimal(0)))
    pitch_move(
        actor=actor,
        pitch=pitch,
        to=PitchState.FUNDED,
        verb="pitch.fund",
        reason=f"{total} accepted as {allocation.number}.",
        details={"allocation": allocation.pk},
    )
    tell_chair(pitch.round, f"{pitch.team} accepted {total} for {pitch}")
    return allocation


@transaction.atomic
def offer_decline(*, actor: User, offer: Offer, reason: str) -> Offer:
    """Decline an offer; its money stays in the round.

    Raises NotAllowed, WrongState, Refused (expired, reason_missing).
    """
    offer = _answerable(actor, offer)
    reason = reason.strip()
    if not reason:
        raise Refused("Say why; the committee learns from it.", code="reason_missing", field="reason")
    _answer(actor, offer, OfferState.DECLINED, "offer.decline", reason)
    pitch_move(
        actor=actor, pitch=offer.pitch, to=PitchState.DECLINED, verb="pitch.decline", reason=f"By the team: {reason}"
    )
    tell_chair(offer.pitch.round, f"{offer.pitch.team} declined the offer for {offer.pitch}", reason)
    return offer


def offers_expire(*, actor: User, at: datetime | None = None) -> list[Offer]:
    """Let every open offer whose day has passed expire, each in its own transaction; run twice, it does it once."""
    now = at or datetime.now(UTC)
    due = Offer.objects.filter(state=OfferState.OPEN, expires_at__lte=now).order_by("pk")
    return [offer for offer in due if _expire(actor, offer, now)]


@transaction.atomic
def _expire(actor: User, offer: Offer, now: datetime) -> bool:
    offer = offer_locked(offer)
    if offer.state != OfferState.OPEN or offer.expires_at > now:
        return False
    reason = f"No answer until {offer.expires_at:%Y-%m-%d %H:%M} UTC."
    _answer(actor, offer, OfferState.EXPIRED, "offer.expire", reason)
    pitch_move(actor=actor, pitch=offer.pitch, to=PitchState.LAPSED, verb="pitch.lapse", reason=reason)
    tell_team(offer.pitch, f"The offer for {offer.pitch} has expired", reason)
    tell_chair(offer.pitch.round, f"The offer for {offer.pitch} has expired", reason)
    return True


def _answerable(actor: User, offer: Offer) -> Offer:
    offer = offer_locked(offer)
    require(actor, "pitches.answer_offer", offer, message="Only a lead of the team answers its offers.")
    if offer.state != OfferState.OPEN:
        raise WrongState(f"This offer is answered already: {offer.get_state_display().lower()}.")
    if offer.expires_at <= datetime.now(UTC):
        raise Refused("This offer has expired.", code="expired")
    return offer


def _answer(actor: User, offer: Offer, state: OfferState, verb: str, reason: str) -> None:
    offer.answered_by, offer.answered_at, offer.answer_reason = actor, datetime.now(UTC), reason
    offer_move(actor=actor, offer=offer, to=state, verb=verb, reason=reason)
