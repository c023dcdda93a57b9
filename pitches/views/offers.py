"""The offer: what was asked, what is awarded, what accepting does, and the exchange when it is countered."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from ledger.models import Tier
from pitches import services
from pitches.access import may
from pitches.forms.answers import WhyForm
from pitches.forms.offers import CounterForm
from pitches.models import Offer
from pitches.room import ZERO
from pitches.selectors.offers import Lines, counter_waiting, limits_of, lines_of, offers_whole, thread_of
from pitches.selectors.rounds import round_money
from pitches.transitions import OfferState
from teams.access import UserRequest, members_only
from teams.acting import done, pressed, submitted
from teams.forms import form_status

OFFER = "pitches:offer"
WITHDRAW_ID = "withdraw_%s"
"""The page has two forms with a reason: each control keeps an id of its own."""


def _offer(request: UserRequest, pk: int) -> Offer:
    offer = offers_whole(Offer.objects.filter(pitch_id=pk)).order_by("-pk").first()
    if offer is None:
        raise Http404
    if not may(request.user, "pitches.view_offer", offer):
        raise Http404
    return offer


@dataclass(frozen=True, slots=True)
class TierRow:
    """One tier of an offer: asked, awarded and, where a counter-offer waits, countered, in USD."""

    tier: Tier
    asked: Decimal
    awarded: Decimal
    countered: Decimal | None

    @property
    def difference(self) -> Decimal:
        """Return what the last word differs from the one before it: countered from awarded, else awarded from asked."""
        return self.awarded - self.asked if self.countered is None else self.countered - self.awarded


def tier_rows(offer: Offer, countered: Lines | None) -> list[TierRow]:
    """Return the tiers of an offer and of a counter-offer side by side, in the order of tiers."""
    lines = {Tier(line.tier): line for line in offer.lines.all()}
    extra = countered or {}
    return [
        TierRow(
            tier=tier,
            asked=lines[tier].asked if tier in lines else ZERO,
            awarded=lines[tier].awarded if tier in lines else ZERO,
            countered=None if countered is None else countered.get(tier, ZERO),
        )
        for tier in Tier
        if tier in lines or tier in extra
    ]


def together(rows: list[TierRow]) -> dict[str, Decimal]:
    """Return the sums of the columns of `tier_rows`, in USD."""
    return {
        "asked": sum((row.asked for row in rows), ZERO),
        "awarded": sum((row.awarded for row in rows), ZERO),
        "countered": sum((row.countered or ZERO for row in rows), ZERO),
        "difference": sum((row.difference for row in rows), ZERO),
    }


@members_only
def offer_page(request: UserRequest, pk: int) -> HttpResponse:
    """Show the newest offer for a pitch."""
    return _page(request, _offer(request, pk))


def _counter_form(offer: Offer, data: Any = None) -> CounterForm:
    lines = list(offer.lines.all())
    asked = {Tier(line.tier): line.asked for line in lines}
    return CounterForm(data, asked=asked, offered=lines_of(lines), limits=limits_of(offer))


def _page(
    request: UserRequest,
    offer: Offer,
    *,
    decline: WhyForm | None = None,
    withdraw: WhyForm | None = None,
    counter: CounterForm | None = None,
) -> HttpResponse:
    waiting = counter_waiting(offer)
    rows = tier_rows(offer, lines_of(waiting.lines.all()) if waiting is not None else None)
    money, sums = round_money(offer.pitch.round), together(rows)
    can_answer = request.user.has_perm("pitches.answer_offer", offer)
    is_open = offer.state == OfferState.OPEN and offer.expires_at > timezone.now()
    if counter is None and is_open and can_answer and waiting is None:
        counter = _counter_form(offer)
    context = {
        "offer": offer,
        "pitch": offer.pitch,
        "rows": rows,
        "sums": sums,
        "opened": [row for row in rows if row.awarded > 0],
        "waiting": waiting,
        "thread": thread_of(offer.pitch),
        "money": money,
        "pool_after": money.in_pool - sums["awarded"],
        "is_open": is_open,
        "can_answer": can_answer,
        "decline": decline or WhyForm(),
        "withdraw": withdraw or WhyForm(auto_id=WITHDRAW_ID),
        "counter": counter,
    }
    refused = [form_status(form) for form in (decline, withdraw, counter) if form is not None]
    return render(request, "pitches/offer.html", context, status=max(refused, default=200))


@members_only
@require_POST
def offer_accept(request: UserRequest, pk: int) -> HttpResponseBase:
    """Accept the offer that the page showed."""
    offer = _offer(request, pk)
    shown = request.POST.get("offer", str(offer.pk))
    if shown != str(offer.pk):
        messages.error(request, "The offer has changed since you opened the page. This is how it stands now.")
        return redirect(OFFER, pk)

    def work() -> str:
        allocation = services.offer_accept(actor=request.user, offer=offer)
        return f"Accepted: {allocation.number} is yours. Issue a key to begin."

    return pressed(request, work, OFFER, pk=pk)


@members_only
@require_POST
def offer_decline(request: UserRequest, pk: int) -> HttpResponseBase:
    """Decline the offer with a reason."""
    offer = _offer(request, pk)
    form = WhyForm(request.POST)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.offer_decline(actor=request.user, offer=offer, reason=said["reason"])
        return done(request, "Declined. The committee has been told.", OFFER, pk=pk)

    return submitted(request, form, work) or _page(request, offer, decline=form)


@members_only
@require_POST
def offer_counter(request: UserRequest, pk: int) -> HttpResponseBase:
    """Counter the offer with other lines and a message."""
    offer = _offer(request, pk)
    form = _counter_form(offer, request.POST)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.counter_make(actor=request.user, offer=offer, lines=form.lines(), message=said["message"])
        words = "Countered. The committee has been told; the offer stays open meanwhile."
        return done(request, words, OFFER, pk=pk)

    return submitted(request, form, work) or _page(request, offer, counter=form)


@members_only
@require_POST
def counter_withdraw(request: UserRequest, pk: int, counter: int) -> HttpResponseBase:
    """Take a counter-offer back."""
    offer = _offer(request, pk)
    found = next((one for one in offer.counters.all() if one.pk == counter), None)
    if found is None:
        raise Http404
    form = WhyForm(request.POST, auto_id=WITHDRAW_ID)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.counter_withdraw(actor=request.user, counter=found, reason=said["reason"])
        return done(request, "Taken back. The offer is open as it was.", OFFER, pk=pk)

    return submitted(request, form, work) or _page(request, offer, withdraw=form)
