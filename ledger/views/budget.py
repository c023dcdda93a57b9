"""The budget of the year: its envelopes, and the actions that move them. Each action is one service call."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from ledger import services
from ledger.forms import ConvertForm, DelegateForm, FundForm, LapseForm, RateForm
from ledger.models import ExchangeRate, FiscalYear
from ledger.money import show
from ledger.selectors import desk, today
from ledger.views.act import act
from teams.access import UserRequest, allowed_only, members_only, visible_or_404


@require_safe
@allowed_only("ledger.view_ledger")
def budget(request: UserRequest) -> HttpResponse:
    """Show each fiscal year's envelopes, the delegated pools and the exchange rates, and what can be done."""
    context = {
        "years": desk.envelopes_by_year(),
        "delegated": desk.delegated_pools(),
        "rates": ExchangeRate.objects.select_related("recorded_by").order_by("-valid_on", "base", "quote")[:20],
        "may_fund": request.user.has_perm("ledger.fund_year"),
    }
    return render(request, "ledger/budget.html", context)


@dataclass(frozen=True, slots=True)
class Action:
    """What an action of the budget says and asks before, what it does, and what it says afterwards.

    `service` takes the form's data by name; `done` gets them and what the service returned. `aside` is a template,
    `year` the fiscal year that the form begins with.
    """

    title: str
    button: str
    words: str
    service: Callable[..., Any]
    form_class: type[forms.Form]
    done: Callable[[dict[str, Any], Any], str]
    permission: str = "ledger.fund_year"
    aside: str = ""
    year: Callable[[], FiscalYear | None] = lambda: desk.year_of(today())


ACTIONS = {
    "fund": Action(
        "Add to a year's budget",
        "Add",
        "It goes into the year's reserve. A year's first funding is its budget, later ones are supplementary.",
        services.year_fund,
        FundForm,
        lambda data, _: f"{_amount(data)} is added to {data['year']}.",
    ),
    "cut": Action(
        "Cut a year's budget",
        "Cut",
        "It is taken from the year's reserve: what is in pools, committed or spent is not touched.",
        services.year_cut,
        FundForm,
        lambda data, _: f"{data['year']} is cut by {_amount(data)}.",
    ),
    "delegate": Action(
        "Delegate a pool",
        "Delegate",
        "The head of the unit grants out of it, to the unit's own teams.",
        services.pool_delegate,
        DelegateForm,
        lambda data, _: f"{data['unit']} has {_amount(data)} more to grant.",
    ),
    "lapse": Action(
        "Let a year's rest lapse",
        "Let it lapse",
        "Pools return to the reserve and the reserve is given up. Allocations have to be returned first.",
        services.year_lapse,
        LapseForm,
        lambda data, entries: f"The rest of {data['year']} has lapsed: {len(entries)} entries.",
        aside="ledger/parts/lapse.html",
        year=desk.latest_year_over,
    ),
    "rate_record": Action(
        "Record an exchange rate",
        "Record",
        "A recorded rate never changes; another day's rate is another one. "
        "Who records a rate leaves it to another person to convert at it.",
        services.exchange_rate_record,
        RateForm,
        lambda _, rate: f"Recorded: {rate}.",
        permission="ledger.record_exchange_rate",
    ),
    "convert": Action(
        "Convert reserve",
        "Convert",
        "One entry through the trading accounts of both currencies, at the recorded rate of the day. "
        "It takes two people: whoever recorded that rate does not convert at it.",
        services.reserve_convert,
        ConvertForm,
        lambda _, entry: f"Converted: {entry.memo}.",
    ),
}


@members_only
def budget_action(request: UserRequest, name: str) -> HttpResponseBase:
    """Say what one of the actions means, and do it."""
    action = ACTIONS[name]
    visible_or_404(request.user, action.permission, None)

    def work(data: dict[str, Any]) -> str:
        return action.done(data, action.service(actor=request.user, **data))

    starts_with = {"year": action.year(), "valid_on": today(), "effective_on": today()}
    return act(
        request,
        action.form_class(request.POST or None, initial=starts_with),
        title=action.title,
        button=action.button,
        words=action.words,
        back=reverse("ledger:budget"),
        work=work,
        aside=action.aside,
    )


def _amount(data: dict[str, Any]) -> str:
    amount = data["amount"]
    return show(amount.amount, str(amount.currency))
