"""Finance's pages of allocations: what is unsettled, and what the allocations of a year that is over give back."""

from dataclasses import replace
from typing import Any

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from allocations import services
from allocations.forms import SettleForm
from allocations.selectors.unsettled import LostHold, lost_hold, lost_holds, models_of, unsettled_total
from allocations.selectors.year_end import left_by_currency, year_leftovers, years_over
from allocations.services.year_end import YearReturn
from ledger.forms import ReasonForm
from ledger.models import FiscalYear
from ledger.money import plain, show
from ledger.selectors import today
from teams.access import UserRequest, allowed_only
from teams.acting import done, submitted
from teams.forms import form_status


@require_safe
@allowed_only("allocations.view_hold")
def unsettled(request: UserRequest) -> HttpResponse:
    """Show what calls hold whose process went away: counted against the limit until it is known what they cost."""
    context = {
        "holds": lost_holds(),
        "total": unsettled_total(),
        "may_settle": request.user.has_perm("allocations.settle_hold"),
    }
    return render(request, "allocations/unsettled.html", context)


@allowed_only("allocations.settle_hold")
def settle(request: UserRequest, line: int, key: int) -> HttpResponseBase:
    """Say what a process that went away holds on a line for a key, and release it or charge what the provider says."""
    hold = lost_hold(line, key)
    if hold is None:
        return render(request, "allocations/settled.html", status=200 if request.method == "GET" else 409)
    seen = {"held": plain(hold.amount)}
    form = SettleForm(request.POST or None, models=models_of(hold.line), currency=hold.currency, initial=seen)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        return done(request, _settle(request, hold, data), "allocations:unsettled")

    context = {"hold": hold, "allocation": hold.line.allocation, "form": form}
    return submitted(request, form, work) or render(
        request, "allocations/settle.html", context, status=form_status(form)
    )


def _settle(request: UserRequest, hold: LostHold, data: dict[str, Any]) -> str:
    seen = replace(hold, amount=data["held"])
    if data["outcome"] == "release":
        services.hold_release(actor=request.user, hold=seen, reason=data["reason"])
        return f"{show(hold.amount, hold.currency)} is released."
    overage = services.hold_charge(
        actor=request.user, hold=seen, cost=data["cost"], model=data["model"], reason=data["reason"]
    )
    charged = f"{show(data['cost'] - overage, hold.currency)} is charged to {hold.line.allocation.number}."
    return f"{charged} {show(overage, hold.currency)} is overage." if overage else charged


@require_safe
@allowed_only("ledger.view_ledger")
def year_ends(request: UserRequest) -> HttpResponse:
    """Show the fiscal years that are over, and what their allocations still have."""
    return render(request, "allocations/year_ends.html", {"years": years_over()})


@allowed_only("ledger.view_ledger")
def year_end(request: UserRequest, name: str) -> HttpResponseBase:
    """Show what each allocation of a year that is over still has, and return all of it that can be returned.

    What was returned and what was not stands in the answer itself; sent again, nothing more is returned.
    """
    year = get_object_or_404(FiscalYear, name=name, ends_on__lt=today())
    if request.method == "POST" and not request.user.has_perm("allocations.grant_budget"):
        raise Http404
    form = ReasonForm(request.POST or None)

    def work(data: dict[str, Any]) -> HttpResponseBase:
        returned = services.year_return(actor=request.user, year=year, reason=data["reason"])
        return _year_page(request, year, ReasonForm(), returned)

    return submitted(request, form, work) or _year_page(request, year, form)


def _year_page(
    request: UserRequest, year: FiscalYear, form: ReasonForm, returned: YearReturn | None = None
) -> HttpResponse:
    leftovers = year_leftovers(year)
    context = {
        "year": year,
        "leftovers": leftovers,
        "left": left_by_currency(leftovers),
        "returnable": sum(not one.obstacle for one in leftovers),
        "may_return": request.user.has_perm("allocations.grant_budget"),
        "form": form,
        "done": returned,
    }
    return render(request, "allocations/year_end.html", context, status=form_status(form))
