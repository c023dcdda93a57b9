"""The overview: where the year's money is, how fast it goes, and what waits for somebody."""

from datetime import UTC, datetime

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from ledger import tables
from ledger.exports import csv_response
from ledger.selectors import pages
from ledger.selectors.year import waterfall, year_burn, year_figures, year_figures_by_currency
from ledger.waiting import things_waiting
from teams.access import UserRequest, allowed_only


@require_safe
@allowed_only("ledger.view_ledger")
def overview(request: UserRequest) -> HttpResponse:
    """Show where the year's money is, how fast it goes, and what waits for somebody."""
    figures = year_figures_by_currency()
    year = figures[0] if figures else None
    burn = year_burn(year) if year else None
    steps = waterfall(year) if year else []
    context = {
        "year": year,
        "others": figures[1:],
        "steps": steps,
        "steps_plot": tables.waterfall_plot(steps, year) if year else None,
        "burn": burn,
        "burn_plot": tables.year_burn_plot(burn, year) if year and burn else None,
        "pools": pages.pool_rows(year.year) if year else [],
        "clearing": pages.clearing_rows(),
        "waiting": list(things_waiting()),
        "now": datetime.now(UTC),
    }
    return render(request, "ledger/overview.html", context)


@require_safe
@allowed_only("ledger.view_ledger")
def waterfall_csv(request: UserRequest) -> HttpResponseBase:
    """Send where the year's money is as CSV, one waterfall per currency."""
    name = f"year-{timezone.now().astimezone(UTC):%Y-%m-%d}.csv"
    return csv_response(name, tables.WATERFALL_HEADER, tables.waterfall_cells(year_figures_by_currency()))


@require_safe
@allowed_only("ledger.view_ledger")
def year_burn_csv(request: UserRequest) -> HttpResponseBase:
    """Send what the year's lines spent day by day as CSV."""
    year = year_figures()
    name = f"year-burn-{timezone.now().astimezone(UTC):%Y-%m-%d}.csv"
    return csv_response(name, tables.YEAR_BURN_HEADER, tables.year_burn_cells(year_burn(year)) if year else [])
