"""The live view: what keys and lines do at this moment. A small script asks for it again every two seconds."""

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from allocations.models import Allocation
from allocations.selectors import allocation_by_number, pages
from allocations.selectors.live import MOST_RECORDS, live_allocations, live_view
from ledger.reports.base import visible_to
from teams.access import UserRequest, members_only, visible_or_404
from teams.errors import Refused
from teams.paging import page_mark
from teams.rules import oversees
from teams.selectors import teams_visible_to

PAGE = 20


@never_cache
@require_safe
@members_only
def live(request: UserRequest) -> HttpResponse:
    """Show calls in flight, held, spent, rates and refused calls of the allocations that somebody may see."""
    one, team, busy = _one(request), request.GET.get("team", ""), request.GET.get("busy") == "1"
    rows = pages.allocations_visible_to(request.user)
    if one is not None:
        rows = rows.filter(pk=one.pk)
    if team:
        rows = rows.filter(team__slug=team)
    before = page_mark(request)
    found = list(live_allocations(rows if before is None else rows.filter(pk__lt=before), busy=busy)[: PAGE + 1])
    sees_all = oversees(request.user) and one is None and not team and before is None
    context = {
        "live": live_view(found[:PAGE], strangers=sees_all),
        "older": found[PAGE - 1].pk if len(found) > PAGE else None,
        "before": before,
        "one": one,
        "team": team,
        "busy": busy,
        "most_records": MOST_RECORDS,
        "sees_report": any(report.slug == "denials" for report in visible_to(request.user)),
    }
    if request.headers.get("HX-Request"):
        return render(request, "allocations/parts/live.html", context)
    return render(request, "allocations/live.html", context | {"teams": teams_visible_to(request.user)})


def _one(request: UserRequest) -> Allocation | None:
    number = request.GET.get("allocation", "")
    if not number:
        return None
    try:
        allocation = allocation_by_number(number)
    except Refused as error:
        raise Http404 from error
    return visible_or_404(request.user, "allocations.view_allocation", allocation)
