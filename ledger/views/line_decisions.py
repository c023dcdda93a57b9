"""Decisions about lines: chosen from the list, sent to lines or to Variance, and decided by a second person."""

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.db.models import Case, Count, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from ledger.forms import ConfirmForm, ReasonForm
from ledger.forms.reconciliation import DecideForm
from ledger.models import Attribution, DecisionState, LineDecision, ReconciliationLine
from ledger.reconciliation.judging import policy_of
from ledger.selectors.reconciliation import provider_currencies
from ledger.services import line_decisions as services
from ledger.views.act import Decisions, decide
from teams.access import UserRequest, allowed_only, find_or_404, members_only
from teams.acting import done, submitted
from teams.forms import form_status

LATEST = 200


@allowed_only("ledger.judge_reconciliation")
def lines_decide(request: UserRequest) -> HttpResponseBase:
    """Decide about the lines that the address names with the revision that was seen, "line=12:1"."""
    lines = _chosen(request)
    if not lines:
        messages.error(request, "Choose the lines to decide about first.")
        return HttpResponseRedirect(f"{reverse('ledger:lines')}?waits=1")
    form = DecideForm(request.POST if request.method == "POST" else None)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        decision = services.lines_decide(
            actor=request.user, lines=lines, attribution=data["attribution"], reason=data["reason"]
        )
        return done(request, _said(decision), "ledger:line_decision", pk=decision.pk)

    threshold = policy_of(lines[0].provider).second_person_above
    alone = services.alone_to_variance(lines[0].provider, request.user)
    context = {
        "form": form,
        "lines": lines,
        "currency": lines[0].currency,
        "sizes": [(one.label, services.variance_of(lines, one)) for one in Attribution],
        "threshold": threshold,
        "alone": alone,
        "left": threshold - alone,
    }
    answer = submitted(request, form, work)
    return answer or render(request, "ledger/reconciliation/decide.html", context, status=form_status(form))


def _said(decision: LineDecision) -> str:
    if decision.state == DecisionState.PROPOSED:
        return f"{decision} waits for a second person."
    return f"{decision} is approved, and its days were reconciled."


def _chosen(request: HttpRequest) -> Sequence[ReconciliationLine]:
    """Return the lines that an address names, each with the revision that the person saw."""
    seen: dict[int, int] = {}
    for text in request.GET.getlist("line")[: services.MOST + 1]:
        pk, _, revision = text.partition(":")
        if pk.isascii() and pk.isdigit() and revision.isascii() and revision.isdigit() and len(text) < 30:
            seen[int(pk)] = int(revision)
    rows = (
        ReconciliationLine.objects.filter(pk__in=seen).select_related("provider", "provider_key").order_by("day", "pk")
    )
    lines = list(rows)
    for line in lines:
        line.gap = line.reported - line.metered  # type: ignore[attr-defined]
        line.revision = seen[line.pk]
    return lines


@require_safe
@allowed_only("ledger.view_ledger")
def line_decisions(request: UserRequest) -> HttpResponse:
    """Show the decisions that wait for a second person, and the latest of the others."""
    rows = LineDecision.objects.select_related("provider", "proposed_by", "decided_by").annotate(count=Count("lines"))
    order = Case(When(state=DecisionState.PROPOSED, then=Value(0)), default=Value(1))
    currencies = provider_currencies()
    decisions = [(one, currencies[one.provider.name]) for one in rows.order_by(order, "-pk")[:LATEST]]
    return render(request, "ledger/reconciliation/decisions.html", {"decisions": decisions})


@require_safe
@allowed_only("ledger.view_ledger")
def line_decision(request: UserRequest, pk: int) -> HttpResponse:
    """Show a decision: its lines as they were decided on and as they are, who proposed it and who decided."""
    rows = LineDecision.objects.select_related("provider", "proposed_by", "decided_by")
    found = find_or_404(rows, request.user, "ledger.view_ledger", pk=pk)
    is_open = found.state == DecisionState.PROPOSED
    context = {
        "decision": found,
        "currency": provider_currencies()[found.provider.name],
        "lines": found.lines.select_related("line__provider", "line__provider_key").order_by("line__day", "pk"),
        "may_decide": is_open and request.user.has_perm("ledger.decide_line", found),
        "may_withdraw": is_open and request.user.has_perm("ledger.withdraw_line_decision", found),
    }
    return render(request, "ledger/reconciliation/decision.html", context)


STAYS = "Nothing is posted, and the lines stay as they are."
DECISIONS: Decisions = {
    "approve": ("Approve", "The days of its lines are reconciled at once.", ConfirmForm, "ledger.decide_line"),
    "refuse": ("Refuse", STAYS, ReasonForm, "ledger.decide_line"),
    "withdraw": ("Withdraw", STAYS, ConfirmForm, "ledger.withdraw_line_decision"),
}


@members_only
def line_decision_decide(request: UserRequest, pk: int, decision: str) -> HttpResponseBase:
    """Approve a decision about lines, refuse it or take it back."""
    return decide(
        request,
        decision,
        DECISIONS,
        LineDecision.objects.select_related("provider"),
        pk,
        services=services,
        noun="line_decision",
        argument="decision",
        back=reverse("ledger:line_decision", args=[pk]),
    )
