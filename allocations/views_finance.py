"""Finance's pages of allocations: what is unsettled, and what the allocations of a year that is over give back."""

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from allocations import services
from allocations.selectors import pages
from allocations.selectors.year_end import left_by_currency, year_leftovers, years_over
from allocations.services.year_end import YearReturn
from ledger.forms import ReasonForm
from ledger.models import FiscalYear
from ledger.selectors import today
from teams.access import UserRequest, allowed_only
from teams.errors import Refused
from teams.forms import form_refuse, form_status


@require_safe
@allowed_only("allocations.view_hold")
def unsettled(request: UserRequest) -> HttpResponse:
    """Show what calls hold whose process went away: counted against the limit until it is known what they cost."""
    context = {"holds": pages.unsettled_holds(), "total": pages.unsettled_total()}
    return render(request, "allocations/unsettled.html", context)


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
    may_return = request.user.has_perm("allocations.grant_budget")
    if request.method == "POST" and not may_return:
        raise Http404
    form = ReasonForm(request.POST or None)
    done: YearReturn | None = None
    if request.method == "POST" and form.is_valid():
        try:
            done = services.year_return(actor=request.user, year=year, reason=form.cleaned_data["reason"])
        except Refused as error:
            form_refuse(form, error)
        else:
            form = ReasonForm()
    leftovers = year_leftovers(year)
    context = {
        "year": year,
        "leftovers": leftovers,
        "left": left_by_currency(leftovers),
        "returnable": sum(not one.obstacle for one in leftovers),
        "may_return": may_return,
        "form": form,
        "done": done,
    }
    return render(request, "allocations/year_end.html", context, status=form_status(form))
