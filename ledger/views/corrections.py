"""Corrections: adjustments and reversals, which one person proposes and another decides."""

from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from ledger import services
from ledger.forms import AdjustmentForm, ConfirmForm, ReasonForm
from ledger.models import Account, Correction, JournalEntry
from ledger.selectors import desk, today
from ledger.views.act import Decisions, act, decide
from teams.access import UserRequest, allowed_only, find_or_404, members_only
from teams.acting import done, submitted
from teams.forms import form_status


@require_safe
@allowed_only("ledger.view_ledger")
def corrections(request: UserRequest) -> HttpResponse:
    """Show the corrections that wait for a second person, and the latest that were decided."""
    context = {
        "waiting": desk.corrections_waiting(),
        "decided": desk.corrections_decided(),
        "may_propose": request.user.has_perm("ledger.propose_correction"),
    }
    return render(request, "ledger/corrections.html", context)


@allowed_only("ledger.propose_correction")
def adjustment_new(request: UserRequest) -> HttpResponseBase:
    """Propose an adjustment."""
    form = AdjustmentForm(request.POST or None, initial={"effective_on": today()})

    def work(data: dict[str, Any]) -> HttpResponseBase:
        said = {name: data[name] for name in ("legs", "reason", "memo", "effective_on")}
        correction = services.adjustment_propose(actor=request.user, **said)
        return done(request, f"{correction} waits for a second person.", "ledger:correction", pk=correction.pk)

    answer = submitted(request, form, work)
    context = {"form": form, "codes": Account.objects.order_by("code").values_list("code", "name")}
    return answer or render(request, "ledger/adjustment_new.html", context, status=form_status(form))


@allowed_only("ledger.propose_correction")
def reversal_new(request: UserRequest, pk: int) -> HttpResponseBase:
    """Propose to reverse an entry."""
    entry = get_object_or_404(JournalEntry, pk=pk)

    def work(data: dict[str, Any]) -> str:
        correction = services.reversal_propose(actor=request.user, entry=entry, reason=data["reason"])
        return f"{correction} waits for a second person."

    return act(
        request,
        ReasonForm(request.POST or None),
        title=f"Reverse {entry}?",
        button="Propose the reversal",
        words="A second person decides. The entry stays; its mirror is posted into the open period.",
        back=reverse("ledger:corrections"),
        work=work,
    )


@require_safe
@members_only
def correction(request: UserRequest, pk: int) -> HttpResponse:
    """Show what a correction would post or has posted, who proposed it and who decided."""
    rows = Correction.objects.select_related("proposed_by", "decided_by", "entry", "reverses")
    found = find_or_404(rows, request.user, "ledger.view_ledger", pk=pk)
    is_open = found.state == "proposed"
    context = {
        "correction": found,
        "legs": desk.correction_legs(found),
        "may_decide": is_open and request.user.has_perm("ledger.decide_correction", found),
        "may_withdraw": is_open and request.user.has_perm("ledger.withdraw_correction", found),
    }
    return render(request, "ledger/correction.html", context)


DECISIONS: Decisions = {
    "approve": ("Approve", "It is posted at once, with both names.", ConfirmForm, "ledger.decide_correction"),
    "refuse": ("Refuse", "Nothing is posted.", ReasonForm, "ledger.decide_correction"),
    "withdraw": ("Withdraw", "Nothing is posted.", ConfirmForm, "ledger.withdraw_correction"),
}


@members_only
def correction_decide(request: UserRequest, pk: int, decision: str) -> HttpResponseBase:
    """Approve, refuse or take back a correction."""
    return decide(
        request,
        decision,
        DECISIONS,
        Correction.objects.all(),
        pk,
        services=services,
        noun="correction",
        argument="correction",
        back=reverse("ledger:correction", args=[pk]),
    )
