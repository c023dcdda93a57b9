"""The books: trial balance, statements of accounts, journal entries. All read."""

from datetime import UTC, datetime

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from ledger import selectors, tables
from ledger.exports import csv_response
from ledger.forms import JournalFilter, OnForm
from ledger.models import Account, JournalEntry
from ledger.selectors import pages
from teams.access import UserRequest, allowed_only, find_or_404, members_only
from teams.paging import page_mark

PAGE = 50


@require_safe
@allowed_only("ledger.view_ledger")
def trial_balance(request: UserRequest) -> HttpResponse:
    """Show every account by class, and that the sum is zero; now, or at the end of a day."""
    form = OnForm(request.GET)
    on = form.cleaned_data["on"] if form.is_valid() else None
    rows = pages.trial_rows(on)
    totals = pages.trial_totals(rows)
    context = {
        "form": form,
        "on": on,
        "sections": pages.trial_sections(rows),
        "totals": totals,
        "balanced": all(total.balance == 0 for total in totals),
    }
    return render(request, "ledger/trial_balance.html", context, status=422 if form.errors else 200)


@require_safe
@allowed_only("ledger.view_ledger")
def trial_balance_csv(request: UserRequest) -> HttpResponseBase:
    """Send the trial balance as CSV."""
    form = OnForm(request.GET)
    on = form.cleaned_data["on"] if form.is_valid() else None
    name = f"trial-balance-{on or timezone.now().astimezone(UTC):%Y-%m-%d}.csv"
    return csv_response(name, tables.TRIAL_HEADER, tables.trial_cells(pages.trial_rows(on)))


@require_safe
@members_only
def account(request: UserRequest, code: str) -> HttpResponse:
    """Show an account's statement with its running balance, newest first."""
    found = _account(request, code)
    before = page_mark(request)
    postings = selectors.statement(found, before=before, limit=PAGE + 1)
    context = {
        "account": found,
        "balance": selectors.balance(found),
        "postings": postings[:PAGE],
        "older": postings[PAGE - 1].account_version if len(postings) > PAGE else None,
        "before": before,
        "now": datetime.now(UTC),
    }
    return render(request, "ledger/account.html", context)


@require_safe
@members_only
def account_csv(request: UserRequest, code: str) -> HttpResponseBase:
    """Send an account's whole statement as CSV, oldest first."""
    found = _account(request, code)
    name = f"statement-{found.code.replace(':', '-')}.csv"
    return csv_response(name, tables.STATEMENT_HEADER, tables.statement_cells(pages.statement_whole(found)))


def _account(request: UserRequest, code: str) -> Account:
    accounts = Account.objects.select_related("team__business_unit", "business_unit", "provider")
    return find_or_404(accounts, request.user, "ledger.view_account", code=code)


@require_safe
@allowed_only("ledger.view_ledger")
def entries(request: UserRequest) -> HttpResponse:
    """Show the journal, newest first, all kinds or one."""
    form = JournalFilter(request.GET)
    kind = form.cleaned_data["kind"] if form.is_valid() else ""
    before = page_mark(request)
    rows = pages.entries(kind=kind, before=before, limit=PAGE + 1)
    context = {
        "form": form,
        "kind": kind,
        "entries": rows[:PAGE],
        "older": rows[PAGE - 1].pk if len(rows) > PAGE else None,
        "before": before,
    }
    return render(request, "ledger/entries.html", context, status=422 if form.errors else 200)


@require_safe
@members_only
def entry(request: UserRequest, pk: int) -> HttpResponse:
    """Show one journal entry: its postings, who and why, its seal."""
    found = find_or_404(pages.entry_whole(JournalEntry.objects.all()), request.user, "ledger.view_journalentry", pk=pk)
    seal = getattr(found, "seal", None)
    context = {
        "entry": found,
        "postings": pages.entry_postings(found),
        "seal": seal,
        "seal_hash": bytes(seal.hash).hex() if seal else "",
        "seal_before": bytes(seal.prev_hash).hex() if seal else "",
        "reversed_by": getattr(found, "reversed_by", None),
        "may_reverse": request.user.has_perm("ledger.propose_correction") and not hasattr(found, "reversed_by"),
    }
    return render(request, "ledger/entry.html", context)
