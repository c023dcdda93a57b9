"""The offer: what was asked, what is awarded, what accepting does."""

from decimal import Decimal

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from ledger.models import Tier
from pitches import services
from pitches.forms.answers import WhyForm
from pitches.models import Offer
from pitches.selectors.rounds import round_money
from pitches.transitions import OfferState
from teams.access import UserRequest, find_or_404, members_only
from teams.errors import Refused
from teams.forms import form_refuse, form_status


def _offer(request: UserRequest, pk: int) -> Offer:
    offers = Offer.objects.select_related(
        "pitch__team__business_unit", "pitch__round__pool", "revision", "decision", "answered_by", "allocation"
    )
    return find_or_404(offers, request.user, "pitches.view_offer", pitch_id=pk)


@members_only
def offer_page(request: UserRequest, pk: int) -> HttpResponse:
    """Show the offer for a pitch."""
    return _page(request, _offer(request, pk), WhyForm())


def _page(request: UserRequest, offer: Offer, form: WhyForm) -> HttpResponse:
    order = {tier.value: place for place, tier in enumerate(Tier)}
    lines = sorted(offer.lines.all(), key=lambda line: order[line.tier])
    awarded = sum((line.awarded for line in lines), Decimal(0))
    money = round_money(offer.pitch.round)
    context = {
        "offer": offer,
        "pitch": offer.pitch,
        "lines": lines,
        "opened": [line for line in lines if line.awarded > 0],
        "asked": sum((line.asked for line in lines), Decimal(0)),
        "awarded": awarded,
        "difference": awarded - sum((line.asked for line in lines), Decimal(0)),
        "money": money,
        "pool_after": money.in_pool - awarded,
        "is_open": offer.state == OfferState.OPEN and offer.expires_at > timezone.now(),
        "can_answer": request.user.has_perm("pitches.answer_offer", offer),
        "form": form,
    }
    return render(request, "pitches/offer.html", context, status=form_status(form))


@members_only
@require_POST
def offer_accept(request: UserRequest, pk: int) -> HttpResponse:
    """Accept the offer."""
    offer = _offer(request, pk)
    try:
        allocation = services.offer_accept(actor=request.user, offer=offer)
    except Refused as error:
        messages.error(request, error.message)
        return redirect("pitches:offer", pk)
    messages.success(request, f"Accepted: {allocation.number} is yours. Issue a key to begin.")
    return redirect("pitches:offer", pk)


@members_only
@require_POST
def offer_decline(request: UserRequest, pk: int) -> HttpResponse:
    """Decline the offer with a reason."""
    offer = _offer(request, pk)
    form = WhyForm(request.POST)
    if form.is_valid():
        try:
            services.offer_decline(actor=request.user, offer=offer, reason=form.cleaned_data["reason"])
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, "Declined. The committee has been told.")
            return redirect("pitches:offer", pk)
    return _page(request, offer, form)
