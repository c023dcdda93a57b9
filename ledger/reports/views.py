"""Pages and files of every registered report."""

from collections.abc import Callable
from itertools import groupby, islice

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from ledger.exports import csv_response
from ledger.models import JournalEntry
from ledger.reports.base import Report, report_of, visible_to
from ledger.reports.files import Asked, csv_file, json_file, xlsx_file
from ledger.reports.forms import ChoiceForm
from ledger.reports.shown import figure_data, is_number, shown_rows
from ledger.reports.usage import RECORD_COLUMNS, record_rows
from ledger.selectors.entry_usage import EntryUsage, entry_records, entry_usage
from ledger.snapshot import snapshot
from ledger.streams import FileStream
from teams.access import UserRequest, find_or_404, members_only, visible_or_404
from teams.paging import page_mark

ROWS = 200
PAGE = 50
WRITERS: dict[str, Callable[[Asked], FileStream]] = {"csv": csv_file, "xlsx": xlsx_file, "json": json_file}


@require_safe
@members_only
def reports(request: UserRequest) -> HttpResponse:
    """List the reports that somebody may open, by group."""
    found = visible_to(request.user)
    if not found:
        raise Http404
    groups = [(group, list(members)) for group, members in groupby(found, key=lambda report: report.group)]
    return render(request, "ledger/reports.html", {"groups": groups})


@require_safe
@members_only
def report(request: UserRequest, slug: str) -> HttpResponse:
    """Show a report: filters, totals beside the ledger's, a picture, and the first rows."""
    found = _report(request, slug)
    form = ChoiceForm(found, request.user, request.GET)
    return _page(request, found, form) if form.is_valid() else _refused(request, found, form)


@require_safe
@members_only
def report_file(request: UserRequest, slug: str, suffix: str) -> HttpResponseBase:
    """Send a whole report as a file, with the filters of the page."""
    found = _report(request, slug)
    form = ChoiceForm(found, request.user, request.GET)
    if not form.is_valid():
        return _refused(request, found, form)
    choice = form.choice
    asked = Asked(found, choice, request.user, form.typed, found.columns(choice), found.ties(choice))
    return WRITERS[suffix](asked)


def _report(request: UserRequest, slug: str) -> Report:
    found = report_of(slug)
    if found is None:
        raise Http404
    visible_or_404(request.user, found.permission, None)
    return found


def _page(request: UserRequest, found: Report, form: ChoiceForm) -> HttpResponse:
    choice = form.choice
    columns = found.columns(choice)
    # Rows, totals and picture of one moment; and outside of a transaction the database would read all rows ahead.
    with snapshot():
        rows = list(shown_rows(columns, islice(found.rows(choice, request.user), ROWS + 1)))
        figure = found.plot(choice, request.user) if rows else None
        ties = found.ties(choice)
    context = {
        "report": found,
        "form": form,
        "choice": choice,
        "columns": [(column.heading, is_number(column)) for column in columns],
        "rows": rows[:ROWS],
        "most": ROWS if len(rows) > ROWS else None,
        "ties": ties,
        "notes": found.notes(choice),
        "plot": figure_data(figure, found.title) if figure else None,
    }
    return render(request, "ledger/report.html", context)


def _refused(request: UserRequest, found: Report, form: ChoiceForm) -> HttpResponse:
    return render(request, "ledger/report.html", {"report": found, "form": form}, status=422)


@require_safe
@members_only
def usage_of_entry(request: UserRequest, pk: int) -> HttpResponse:
    """Show the calls that an entry's sum is made of, newest first."""
    entry, usage = _entry_usage(request, pk)
    before = page_mark(request)
    records = entry_records(usage, before=before, limit=PAGE + 1)
    context = {
        "entry": entry,
        "usage": usage,
        "records": records[:PAGE],
        "older": records[PAGE - 1].pk if len(records) > PAGE else None,
        "before": before,
    }
    return render(request, "ledger/entry_usage.html", context)


@require_safe
@members_only
def usage_of_entry_csv(request: UserRequest, pk: int) -> HttpResponseBase:
    """Send the calls that an entry's sum is made of as CSV, oldest first."""
    entry, usage = _entry_usage(request, pk)
    cells = (row.cells for row in record_rows(usage.records))
    return csv_response(f"usage-{entry}.csv", [column.name for column in RECORD_COLUMNS], cells)


def _entry_usage(request: UserRequest, pk: int) -> tuple[JournalEntry, EntryUsage]:
    entry = find_or_404(JournalEntry.objects.all(), request.user, "ledger.view_journalentry", pk=pk)
    usage = entry_usage(entry)
    if usage is None:
        raise Http404
    return entry, usage
