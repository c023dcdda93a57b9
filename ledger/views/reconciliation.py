"""Reconciliation: how the days stand, their lines, one line whole, and the clearing balance."""

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from ledger import reconciliation_tables as tables
from ledger.exports import csv_response
from ledger.forms.reconciliation import MONTH, LinesForm, month_asked
from ledger.models import ReconciliationLine
from ledger.months import month_of
from ledger.selectors import line_facts, today
from ledger.selectors.clearing import clearing_days
from ledger.selectors.reconciliation import (
    STATES,
    DayState,
    calendar,
    decisions_waiting,
    lines_chosen,
    lines_page,
    totals_of,
)
from ledger.services.line_decisions import is_to_decide
from teams.access import UserRequest, allowed_only

PAGE = 50


@require_safe
@allowed_only("ledger.view_ledger")
def overview(request: UserRequest) -> HttpResponse:
    """Show how each provider's days of a month stand."""
    first, last = _month(request)
    rows = calendar(first, last)
    context = {
        **_months_around(first),
        "rows": rows,
        "days": [first + timedelta(days=n) for n in range((last - first).days + 1)],
        "told": [cell for row in rows for cell in row.cells if cell.state != DayState.NONE],
        "legend": [(state, *STATES[state]) for state in DayState if state != DayState.NONE],
        "today": today(),
    }
    return render(request, "ledger/reconciliation/calendar.html", context)


@require_safe
@allowed_only("ledger.view_ledger")
def calendar_csv(request: UserRequest) -> HttpResponseBase:
    """Send how each provider's days of a month stand as CSV."""
    first, last = _month(request)
    name = f"reconciliation-{first:%Y-%m}.csv"
    return csv_response(name, tables.CALENDAR_HEADER, tables.calendar_cells(calendar(first, last)))


def _month(request: HttpRequest) -> tuple[date, date]:
    return month_of(month_asked(request.GET.get("month", ""), today()))


def _months_around(first: date) -> dict[str, Any]:
    after = (first + timedelta(days=31)).replace(day=1)
    return {
        "first": first,
        "month": first.strftime(MONTH),
        "earlier": (first - timedelta(days=1)).strftime(MONTH),
        "later": after.strftime(MONTH) if after <= today() else "",
    }


@require_safe
@allowed_only("ledger.view_ledger")
def lines(request: UserRequest) -> HttpResponse:
    """Show the lines of a span, their sums beside what was posted, and let finance choose some to decide about."""
    form = LinesForm(request.GET)
    if not form.is_valid():
        return render(request, "ledger/reconciliation/lines.html", {"form": form}, status=422)
    before = _mark(request)
    found = lines_page(form.chosen, before=before, limit=PAGE + 1)
    older, waiting = found[PAGE - 1] if len(found) > PAGE else None, decisions_waiting(found[:PAGE])
    query = urlencode({name: value for name, value in request.GET.items() if name != "before" and value})
    context = {
        "form": form,
        "chosen": form.chosen,
        "lines": [(line, is_to_decide(line), waiting.get(line.pk)) for line in found[:PAGE]],
        "totals": totals_of(form.chosen),
        "is_narrow": bool(form.chosen.outcome or form.chosen.cause or form.chosen.waits),
        "older": f"{older.day}.{older.pk}" if older else "",
        "before": before,
        "query": query,
        "may_decide": request.user.has_perm("ledger.judge_reconciliation"),
    }
    return render(request, "ledger/reconciliation/lines.html", context)


def _mark(request: HttpRequest) -> tuple[date, int] | None:
    """Return the day and id that a page's link carries; None on the first page and for anything else."""
    day, _, pk = request.GET.get("before", "").partition(".")
    try:
        return date.fromisoformat(day), int(pk)
    except ValueError:
        return None


@require_safe
@allowed_only("ledger.view_ledger")
def lines_csv(request: UserRequest) -> HttpResponseBase:
    """Send all lines of a span as CSV, with the filters of the page."""
    form = LinesForm(request.GET)
    if not form.is_valid():
        return render(request, "ledger/reconciliation/lines.html", {"form": form}, status=422)
    found = lines_chosen(form.chosen).iterator(chunk_size=1000)
    return csv_response("reconciliation-lines.csv", tables.LINES_HEADER, tables.line_cells(found))


@require_safe
@allowed_only("ledger.view_ledger")
def line(request: UserRequest, pk: int) -> HttpResponse:
    """Show a line whole: both sides by token class, why they differ, who takes it, what was posted, where from."""
    rows = ReconciliationLine.objects.select_related("provider", "model", "provider_key__owner")
    found = get_object_or_404(rows, pk=pk)
    rate, waiting = line_facts.rate_of(found), decisions_waiting([found]).get(found.pk)
    context = {
        "line": found,
        "difference": found.reported - found.metered,
        "rate": rate,
        "classes": line_facts.classes_of(found, rate),
        "whys": line_facts.whys_of(found),
        "attributions": line_facts.attributions_of(found),
        "decided": line_facts.decided_of(found),
        "postings": line_facts.postings_of(found),
        "figures": line_facts.figures_of(found),
        "past": line_facts.past_of(found),
        "waiting": waiting,
        "to_decide": not waiting and is_to_decide(found) and request.user.has_perm("ledger.judge_reconciliation"),
    }
    return render(request, "ledger/reconciliation/line.html", context)


@require_safe
@allowed_only("ledger.view_ledger")
def clearing(request: UserRequest) -> HttpResponse:
    """Show what each provider's clearing account held day by day."""
    form, first, last = _span(request)
    days = clearing_days(first, last, form.cleaned_data.get("provider")) if form.is_valid() else []
    context = {
        "form": form,
        "first": first,
        "last": last,
        "days": days,
        "plot": tables.clearing_plot(days) if days else None,
        "query": request.GET.urlencode(),
    }
    return render(request, "ledger/reconciliation/clearing.html", context, status=422 if form.errors else 200)


@require_safe
@allowed_only("ledger.view_ledger")
def clearing_csv(request: UserRequest) -> HttpResponseBase:
    """Send what each provider's clearing account held day by day as CSV."""
    form, first, last = _span(request)
    if form.errors:
        return render(request, "ledger/reconciliation/clearing.html", {"form": form}, status=422)
    days = clearing_days(first, last, form.cleaned_data.get("provider"))
    return csv_response("clearing-balance.csv", tables.CLEARING_HEADER, tables.clearing_cells(days))


def _span(request: HttpRequest) -> tuple[LinesForm, date, date]:
    """Read a span from an address; by default the last 31 days."""
    form = LinesForm(request.GET)
    for name in ("outcome", "cause", "waits"):
        del form.fields[name]
    data = form.cleaned_data if form.is_valid() else {}
    last = data.get("to") or today()
    return form, data.get("from") or last - timedelta(days=30), last
