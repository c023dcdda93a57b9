"""Offers: accepted into an allocation in one transaction, declined with a reason, or expired by the sweep.

What is declined or expires is free for the waitlist, in the same transaction.
"""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import transaction

from allocations.models import Allocation, StopBehaviour
from allocations.services import allocation_create
from ledger.models import EntryKind, Tier
from ledger.money import show
from ledger.selectors import today
from pitches.models import Offer
from pitches.services.awarding import offer_end
from pitches.services.locks import offer_locked
from pitches.services.notices import tell_deciders, tell_team
from pitches.services.states import pitch_move
from pitches.services.waitlist import waitlist_promote
from pitches.transitions import OfferState, PitchState
from teams.access import require
from teams.errors import Refused, WrongState
from teams.models import User
from teams.selectors import system_user


@transaction.atomic
def offer_accept(*, actor: User, offer: Offer) -> Allocation:
    """Accept an offer: the money leaves the round's pool and becomes the team's allocation, all or nothing.

    Raises NotAllowed, WrongState, Refused (expired, overdraft).
    """
    offer = _answerable(actor, offer)
    pitch, revision = offer.pitch, offer.revision
    lines = {Tier(line.tier): line.awarded for line in offer.lines.all() if line.awarded > 0}
    starts_on, ends_on = pitch.round.award_period(today())
    allocation = allocation_create(
        actor=actor,
        team=pitch.team,
        owner=pitch.owner,
        name=revision.title,
        lines=lines,
        funded_from=pitch.round.opened_pool,
        kind=EntryKind.AWARD,
        starts_on=starts_on,
        ends_on=ends_on,
        stop_behaviour=StopBehaviour(revision.stop_behaviour),
        reason=f"Offer accepted: {pitch.number} {revision.title}, round {pitch.round.name}",
        key=f"offer:{offer.pk}",
    )
    offer.allocation = allocation
    total = show(sum(lines.values(), Decimal(0)))
    reason = f"{total} accepted as {allocation.number}."
    offer_end(actor=actor, offer=offer, to=OfferState.ACCEPTED, verb="offer.accept", reason=reason)
    pitch_move(
        actor=actor,
        pitch=pitch,
        to=PitchState.FUNDED,
        verb="pitch.fund",
        reason=reason,
        details={"allocation": allocation.pk},
    )
    tell_deciders(pitch, f"{pitch.team} accepted {total} for {pitch}")
    return allocation


@transaction.atomic
def offer_decline(*, actor: User, offer: Offer, reason: str) -> Offer:
    """Decline an offer; its money stays in the round, for its waitlist.

    Raises NotAllowed, WrongState, Refused (expired, reason_missing).
    """
    offer = _answerable(actor, offer)
    reason = reason.strip()
    if not reason:
        raise Refused("Say why; the committee learns from it.", code="reason_missing", field="reason")
    offer_end(actor=actor, offer=offer, to=OfferState.DECLINED, verb="offer.decline", reason=reason)
    pitch_move(
        actor=actor, pitch=offer.pitch, to=PitchState.DECLINED, verb="pitch.decline", reason=f"By the team: {reason}"
    )
    tell_deciders(offer.pitch, f"{offer.pitch.team} declined the offer for {offer.pitch}", reason)
    waitlist_promote(actor=system_user(), round_=offer.pitch.round)
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
    offer_end(actor=actor, offer=offer, to=OfferState.EXPIRED, verb="offer.expire", reason=reason)
    pitch_move(actor=actor, pitch=offer.pitch, to=PitchState.LAPSED, verb="pitch.lapse", reason=reason)
    tell_team(offer.pitch, f"The offer for {offer.pitch} has expired", reason)
    tell_deciders(offer.pitch, f"The offer for {offer.pitch} has expired", reason)
    waitlist_promote(actor=actor, round_=offer.pitch.round)
    return True


def _answerable(actor: User, offer: Offer) -> Offer:
    offer = offer_locked(offer)
    require(actor, "pitches.answer_offer", offer, message="Only a lead of the team answers its offers.")
    if offer.state != OfferState.OPEN:
        raise WrongState(f"This offer is answered already: {offer.get_state_display().lower()}.")
    if offer.expires_at <= datetime.now(UTC):
        raise Refused("This offer has expired.", code="expired")
    return offer
