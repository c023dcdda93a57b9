"""Resolved claims: what past claims came to, on which the calibration rests; finance records them."""

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from djmoney.money import Money

from ledger.exports import csv_response
from ledger.money import CURRENCY
from pitches import services
from pitches.forms.claims import ClaimForm
from pitches.questions import ValueKind
from pitches.selectors.claims import CLAIM_HEADER, claim_cells, claims_listed, factors
from teams.access import UserRequest, allowed_only
from teams.acting import done, submitted
from teams.forms import form_status


@require_safe
@allowed_only("pitches.view_claims")
def claims(request: UserRequest) -> HttpResponse:
    """Show every resolved claim, and the factor that follows for each team."""
    context = {
        "claims": claims_listed(),
        "factors": factors(),
        "may_resolve": request.user.has_perm("pitches.resolve_claim"),
    }
    return render(request, "pitches/claims.html", context)


@require_safe
@allowed_only("pitches.view_claims")
def claims_csv(request: UserRequest) -> HttpResponseBase:
    """Send the resolved claims as a CSV file."""
    return csv_response(f"claims-{timezone.now():%Y-%m-%d}.csv", CLAIM_HEADER, claim_cells())


@allowed_only("pitches.resolve_claim")
def claim_new(request: UserRequest) -> HttpResponseBase:
    """Record what a claim came to."""
    form = ClaimForm(request.POST or None)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        outturn = services.Outturn(
            value_kind=ValueKind(said["value_kind"]),
            claimed=Money(said["claimed"], CURRENCY),
            realised=Money(said["realised"], CURRENCY),
            resolved_on=said["resolved_on"],
            pitch=said["pitch"],
            replaces=said["replaces"],
        )
        claim = services.claim_resolve(actor=request.user, team=said["team"], outturn=outturn, reason=said["reason"])
        return done(request, f"Recorded for {claim.team}. It counts from the next choice on.", "pitches:claims")

    context = {
        "form": form,
        "title": "Record what a claim came to",
        "button": "Record it",
        "words": "The next choice multiplies this team's claims by a factor that counts it. A record is never changed; "
        "a wrong one is replaced by another.",
        "back": reverse("pitches:claims"),
    }
    return submitted(request, form, work) or render(
        request, "pitches/claim_new.html", context, status=form_status(form)
    )
