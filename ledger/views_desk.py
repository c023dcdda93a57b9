"""Finance's desk: the budget of the year, the close of its periods, corrections. Every write is one service call."""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from djmoney.money import Money

from ledger import closing, services
from ledger.forms_desk import (
    AdjustmentForm,
    ConfirmForm,
    ConvertForm,
    DelegateForm,
    FundForm,
    LapseForm,
    RateForm,
    ReasonForm,
)
from ledger.models import Account, Correction, ExchangeRate, JournalEntry, Period, PeriodReopening, ReopeningState
from ledger.money import CURRENCY, show, usd
from ledger.selectors import desk, today
from teams.access import UserRequest, allowed_only, find_or_404, members_only, visible_or_404
from teams.errors import Refused
from teams.forms import form_refuse, form_status

Work = Callable[[dict[str, Any]], str]


def act(
    request: UserRequest, form: forms.Form, *, title: str, button: str, words: str, back: str, work: Work
) -> HttpResponseBase:
    """Show what an action means, and do it: `work` calls the service and returns what to say afterwards."""
    if request.method == "POST" and form.is_valid():
        try:
            done = work(form.cleaned_data)
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, done)
            return redirect(back)
    context = {"form": form, "title": title, "button": button, "words": words, "back": back}
    return render(request, "ledger/act.html", context, status=form_status(form))


# --- The budget of the year ---------------------------------------------------------------------


@require_safe
@allowed_only("ledger.view_ledger")
def budget(request: UserRequest) -> HttpResponse:
    """Show each fiscal year's envelopes, the delegated pools and the exchange rates, and what can be done."""
    context = {
        "years": desk.year_rows(),
        "delegated": desk.delegated_pools(),
        "rates": ExchangeRate.objects.select_related("recorded_by").order_by("-valid_on", "base", "quote")[:20],
        "may_fund": request.user.has_perm("ledger.fund_year"),
    }
    return render(request, "ledger/budget.html", context)


@allowed_only("ledger.fund_year")
def fund(request: UserRequest) -> HttpResponseBase:
    """Add to a fiscal year's budget."""

    def work(data: dict[str, Any]) -> str:
        services.year_fund(actor=request.user, amount=usd(data["amount"]), reason=data["reason"], year=data["year"])
        return f"{show(data['amount'])} is added to {data['year']}."

    return act(
        request,
        FundForm(request.POST or None, initial={"year": desk.year_of(today())}),
        title="Add to a year's budget",
        button="Add",
        words="It goes into the year's reserve. A year's first funding is its budget, later ones are supplementary.",
        back=reverse("ledger:budget"),
        work=work,
    )


@allowed_only("ledger.fund_year")
def cut(request: UserRequest) -> HttpResponseBase:
    """Take budget back from a fiscal year's reserve."""

    def work(data: dict[str, Any]) -> str:
        services.year_cut(actor=request.user, year=data["year"], amount=usd(data["amount"]), reason=data["reason"])
        return f"{data['year']} is cut by {show(data['amount'])}."

    return act(
        request,
        FundForm(request.POST or None, initial={"year": desk.year_of(today())}),
        title="Cut a year's budget",
        button="Cut",
        words="It is taken from the year's reserve: what is in pools, committed or spent is not touched.",
        back=reverse("ledger:budget"),
        work=work,
    )


@allowed_only("ledger.fund_year")
def delegate(request: UserRequest) -> HttpResponseBase:
    """Give a business unit a pool of its own."""

    def work(data: dict[str, Any]) -> str:
        services.pool_delegate(actor=request.user, unit=data["unit"], amount=usd(data["amount"]), reason=data["reason"])
        return f"{data['unit']} has {show(data['amount'])} more to grant."

    return act(
        request,
        DelegateForm(request.POST or None),
        title="Delegate a pool",
        button="Delegate",
        words="The head of the unit grants out of it, to the unit's own teams.",
        back=reverse("ledger:budget"),
        work=work,
    )


@allowed_only("ledger.fund_year")
def lapse(request: UserRequest) -> HttpResponseBase:
    """Let what is left of a year that is over lapse."""

    def work(data: dict[str, Any]) -> str:
        entries = services.year_lapse(actor=request.user, year=data["year"], reason=data["reason"])
        return f"The rest of {data['year']} has lapsed: {len(entries)} entries."

    return act(
        request,
        LapseForm(request.POST or None),
        title="Let a year's rest lapse",
        button="Let it lapse",
        words="Pools return to the reserve and the reserve is given up. Allocations have to be returned first.",
        back=reverse("ledger:budget"),
        work=work,
    )


@allowed_only("ledger.record_exchange_rate")
def rate_record(request: UserRequest) -> HttpResponseBase:
    """Record what a currency was worth on a day."""

    def work(data: dict[str, Any]) -> str:
        recorded = services.exchange_rate_record(actor=request.user, **data)
        return f"Recorded: {recorded}."

    return act(
        request,
        RateForm(request.POST or None, initial={"valid_on": today()}),
        title="Record an exchange rate",
        button="Record",
        words="A recorded rate never changes; another day's rate is another one.",
        back=reverse("ledger:budget"),
        work=work,
    )


@allowed_only("ledger.fund_year")
def convert(request: UserRequest) -> HttpResponseBase:
    """Turn some of a reserve into another currency."""

    def work(data: dict[str, Any]) -> str:
        entry = services.reserve_convert(
            actor=request.user,
            year=data["year"],
            amount=Money(data["amount"], CURRENCY),
            into=data["into"],
            reason=data["reason"],
            key=uuid4().hex,
            effective_on=data["effective_on"],
        )
        return f"Converted: {entry.memo}."

    return act(
        request,
        ConvertForm(request.POST or None, initial={"year": desk.year_of(today()), "effective_on": today()}),
        title="Convert reserve",
        button="Convert",
        words="One entry through the trading accounts of both currencies, at the recorded rate of the day.",
        back=reverse("ledger:budget"),
        work=work,
    )


# --- The close of a period ----------------------------------------------------------------------


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


# --- Corrections --------------------------------------------------------------------------------


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
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            correction = services.adjustment_propose(
                actor=request.user,
                legs=data["legs"],
                reason=data["reason"],
                memo=data["memo"],
                effective_on=data["effective_on"],
            )
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, f"{correction} waits for a second person.")
            return redirect("ledger:correction", pk=correction.pk)
    context = {"form": form, "codes": Account.objects.order_by("code").values_list("code", "name")}
    return render(request, "ledger/adjustment_new.html", context, status=form_status(form))


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


DECISIONS: dict[str, tuple[str, str, type[forms.Form], str]] = {
    "approve": ("Approve", "It is posted at once, with both names.", ConfirmForm, "ledger.decide_correction"),
    "refuse": ("Refuse", "Nothing is posted.", ReasonForm, "ledger.decide_correction"),
    "withdraw": ("Withdraw", "Nothing is posted.", ConfirmForm, "ledger.withdraw_correction"),
}


@members_only
def correction_decide(request: UserRequest, pk: int, decision: str) -> HttpResponseBase:
    """Approve, refuse or take back a correction."""
    if decision not in DECISIONS:
        raise Http404
    title, words, form_class, permission = DECISIONS[decision]
    found = find_or_404(Correction.objects.all(), request.user, permission, pk=pk)

    def work(data: dict[str, Any]) -> str:
        service = getattr(services, f"correction_{decision}")
        service(actor=request.user, correction=found, **data)
        found.refresh_from_db()
        return f"{found}: {found.get_state_display().lower()}."

    return act(
        request,
        form_class(request.POST if request.method == "POST" else None),
        title=f"{title} {found}?",
        button=title,
        words=words,
        back=reverse("ledger:correction", args=[pk]),
        work=work,
    )
