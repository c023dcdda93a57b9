"""The rate card, and the approval of a rate."""

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from ledger import selectors, services
from ledger.models import Rate
from ledger.selectors import pages
from teams.access import UserRequest, members_only, visible_or_404
from teams.errors import Refused


@require_safe
@members_only
def rates(request: UserRequest) -> HttpResponse:
    """Show what each model costs now, and to finance what waits for approval."""
    sees_proposals = request.user.has_perm("ledger.view_ledger")
    context = {
        "card": pages.rate_card(),
        "version": selectors.rate_card_version(),
        "proposals": pages.rate_proposals() if sees_proposals else [],
        "sees_proposals": sees_proposals,
    }
    return render(request, "ledger/rates.html", context)


@members_only
def rate_approve(request: UserRequest, pk: int) -> HttpResponseBase:
    """Say what approving a rate means, and approve it."""
    visible_or_404(request.user, "ledger.view_ledger", None)
    rate = get_object_or_404(Rate.objects.select_related("model__provider", "proposed_by"), pk=pk, base=None)
    visible_or_404(request.user, "ledger.approve_rate", rate)
    refusal = ""
    if request.method == "POST":
        try:
            services.rate_approve(actor=request.user, rate=rate)
        except Refused as error:
            refusal = error.message
        else:
            messages.success(request, f"The new price of {rate.model} is approved.")
            return redirect("ledger:rates")
    proposal = pages.ProposalRow(rate, selectors.rate_in_force(rate.model, timezone.now()))
    context = {"proposal": proposal, "rate": rate, "refusal": refusal}
    return render(request, "ledger/rate_approve.html", context, status=422 if refusal else 200)
