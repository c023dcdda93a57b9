"""Periods and their close: the checklist, each step of the close, what was accepted, reopening."""

from collections.abc import Callable
from datetime import date
from typing import Any

from django import forms
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from ledger import closing, services
from ledger.forms import ConfirmForm, ReasonForm
from ledger.models import Period, PeriodReopening, ReopeningState
from ledger.selectors import desk, today
from ledger.views.act import act
from teams.access import UserRequest, allowed_only, visible_or_404


@require_safe
@allowed_only("ledger.view_ledger")
def periods(request: UserRequest) -> HttpResponse:
    """Show every period by fiscal year, newest first, and where it stands."""
    return render(request, "ledger/periods.html", {"years": desk.periods_by_year(), "today": today()})


@require_safe
@allowed_only("ledger.view_ledger")
def period(request: UserRequest, name: str) -> HttpResponse:
    """Show a period's checklist and what may be done with it now."""
    found = _period(name)
    asked = found.reopenings.filter(state=ReopeningState.ASKED).select_related("asked_by").first()
    context = {
        "period": found,
        "is_over": found.ends_on < today(),
        "checklist": closing.checklist(found),
        "asked": asked,
        "history": desk.period_history(found),
        "may_close": request.user.has_perm("ledger.close_period"),
        "may_decide": asked is not None and request.user.has_perm("ledger.reopen_period", asked),
    }
    return render(request, "ledger/period.html", context)


STEPS: dict[str, tuple[str, str, str, Callable[..., Any], type[forms.Form]]] = {
    "begin": (
        "Begin to close",
        "From now on it takes only what its close needs: usage, accruals, corrections, providers' figures.",
        "is closing",
        services.period_close_begin,
        ConfirmForm,
    ),
    "stop": ("Open it again", "It takes every kind of entry again.", "is open", services.period_close_stop, ReasonForm),
    "accrue": (
        "Post the accrual",
        "What was metered and not billed yet is accrued on the last day, and reversed on the day after.",
        "is accrued",
        services.period_accrue,
        ConfirmForm,
    ),
    "close": (
        "Close",
        "A closed period takes nothing; a late fact goes into the next open one with its own date.",
        "is closed",
        services.period_close,
        ConfirmForm,
    ),
    "reopen": (
        "Ask to reopen",
        "A second person of finance decides. Until then the period stays closed.",
        "waits for a second person",
        services.period_reopen_ask,
        ReasonForm,
    ),
}


@allowed_only("ledger.close_period")
def period_step(request: UserRequest, name: str, step: str) -> HttpResponseBase:
    """Take one step of a period's close."""
    if step not in STEPS:
        raise Http404
    title, words, done, service, form_class = STEPS[step]
    found = _period(name)

    def work(data: dict[str, Any]) -> str:
        service(actor=request.user, period=found, **data)
        return f"Period {found} {done}."

    back = reverse("ledger:period", args=[name])
    form = form_class(request.POST if request.method == "POST" else None)
    return act(request, form, title=f"{title}: {found}", button=title, words=words, back=back, work=work)


@allowed_only("ledger.close_period")
def period_accept(request: UserRequest, name: str, item: str) -> HttpResponseBase:
    """Accept an open item of the checklist as it is."""
    found, known = _period(name), closing.item_of(item)
    if known is None:
        raise Http404
    finding = known.look(found)

    def work(data: dict[str, Any]) -> str:
        services.period_accept(actor=request.user, period=found, item=item, reason=data["reason"])
        return f"Accepted: {known.title}."

    return act(
        request,
        ReasonForm(request.POST or None),
        title=f"Accept as it is: {known.title}",
        button="Accept",
        words=f"{finding.words} If that changes, it has to be accepted again.",
        back=reverse("ledger:period", args=[name]),
        work=work,
    )


@allowed_only("ledger.close_period")
def reopening(request: UserRequest, pk: int, answer: str) -> HttpResponseBase:
    """Grant or refuse what another person asked."""
    asked = get_object_or_404(PeriodReopening.objects.select_related("period", "asked_by"), pk=pk)
    visible_or_404(request.user, "ledger.reopen_period", asked)
    is_granted = answer == "grant"

    def work(_: dict[str, Any]) -> str:
        services.period_reopen_decide(actor=request.user, reopening=asked, is_granted=is_granted)
        return f"Period {asked.period} is open again." if is_granted else f"Period {asked.period} stays closed."

    return act(
        request,
        ConfirmForm(request.POST if request.method == "POST" else None),
        title=f"Reopen {asked.period}?" if is_granted else f"Leave {asked.period} closed?",
        button="Reopen it" if is_granted else "Leave it closed",
        words=f"{asked.asked_by} asked: {asked.reason}",
        back=reverse("ledger:period", args=[str(asked.period)]),
        work=work,
    )


def _period(name: str) -> Period:
    try:
        first = date.fromisoformat(f"{name}-01")
    except ValueError as error:
        raise Http404 from error
    return get_object_or_404(Period.objects.select_related("fiscal_year"), starts_on=first)
