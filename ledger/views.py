"""Pages of the ledger. All read, but for the approval of a rate."""

from datetime import UTC, datetime

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from ledger import selectors, services, tables
from ledger.exports import csv_response
from ledger.forms import JournalFilter, OnForm
from ledger.models import Account, JournalEntry, Rate
from ledger.selectors import pages
from ledger.selectors.year import waterfall, year_burn, year_figures, year_figures_by_currency
from ledger.waiting import things_waiting
from teams.access import UserRequest, allowed_only, find_or_404, members_only, visible_or_404
from teams.errors import Refused
from teams.paging import page_mark

PAGE = 50


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


@require_safe
@members_only
def rates(request: UserRequest) -> HttpResponse:
    """Show what each model costs now, and to finance what waits for approval."""
    sees_proposals = request.user.has_perm("ledger.view_ledger")
    context = {
        "card": pages.rate_card(),
        "version": selectors.rate_card_version(),
        "proposals": pages.rate_proposals() if sees_proposals else [],
        "sees_proposals": sees_proposals,
    }
    return render(request, "ledger/rates.html", context)


@members_only
def rate_approve(request: UserRequest, pk: int) -> HttpResponseBase:
    """Say what approving a rate means, and approve it."""
    visible_or_404(request.user, "ledger.view_ledger", None)
    rate = get_object_or_404(Rate.objects.select_related("model__provider", "proposed_by"), pk=pk)
    visible_or_404(request.user, "ledger.approve_rate", rate)
    refusal = ""
    if request.method == "POST":
        try:
            services.rate_approve(actor=request.user, rate=rate)
        except Refused as error:
            refusal = error.message
        else:
            messages.success(request, f"The new price of {rate.model} is approved.")
            return redirect("ledger:rates")
    proposal = pages.ProposalRow(rate, selectors.rate_in_force(rate.model, timezone.now()))
    context = {"proposal": proposal, "rate": rate, "refusal": refusal}
    return render(request, "ledger/rate_approve.html", context, status=422 if refusal else 200)
