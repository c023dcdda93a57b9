"""Providers' invoices: entered by one person of finance, matched to their month, decided by another."""

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from djmoney.money import Money

from ledger import services
from ledger.forms import ConfirmForm, ReasonForm
from ledger.forms.invoices import MONTH, InvoiceForm
from ledger.models import InvoiceState, ProviderInvoice
from ledger.money import CURRENCY
from ledger.months import month_of
from ledger.reports.links import report_url
from ledger.selectors import today
from ledger.selectors.invoices import invoices_listed, match_of
from ledger.views.act import Decisions, decide
from teams.access import UserRequest, allowed_only, find_or_404, members_only
from teams.acting import done, submitted
from teams.forms import form_status


@require_safe
@allowed_only("ledger.view_ledger")
def invoices(request: UserRequest) -> HttpResponse:
    """Show the invoices that wait for a second person, and the latest of the others."""
    year_ago = today().replace(day=1) - timedelta(days=365)
    context = {
        "invoices": invoices_listed(),
        "may_enter": request.user.has_perm("ledger.enter_invoice"),
        "match_url": report_url("invoice-match", first=year_ago.replace(day=1), last=today()),
    }
    return render(request, "ledger/invoices.html", context)


@allowed_only("ledger.enter_invoice")
def invoice_new(request: UserRequest) -> HttpResponseBase:
    """Enter an invoice."""
    last_month = (today().replace(day=1) - timedelta(days=1)).strftime(MONTH)
    form = InvoiceForm(request.POST or None, initial={"month": last_month, "issued_on": today()})

    def work(_: dict[str, Any]) -> HttpResponseBase:
        invoice = services.invoice_enter(actor=request.user, **_entered(form))
        return done(request, f"{invoice} waits for a second person.", "ledger:invoice", pk=invoice.pk)

    context = {
        "form": form,
        "title": "Enter a provider's invoice",
        "button": "Enter it",
        "words": "Nothing is posted yet: a second person compares it with the month and decides.",
        "back": reverse("ledger:invoices"),
    }
    return submitted(request, form, work) or render(request, "ledger/act.html", context, status=form_status(form))


def _entered(form: InvoiceForm) -> dict[str, Any]:
    data = form.cleaned_data
    kept = {name: data[name] for name in ("provider", "number", "month", "issued_on", "note")}
    return kept | {"amount": Money(form.signed(), CURRENCY), "tax": data["tax"] or 0}


@require_safe
@allowed_only("ledger.view_ledger")
def invoice(request: UserRequest, pk: int) -> HttpResponse:
    """Show an invoice beside what its month was billed and metered, and who decided."""
    found = find_or_404(_rows(), request.user, "ledger.view_ledger", pk=pk)
    is_open = found.state == InvoiceState.ENTERED
    first, last = month_of(found.month)
    context = {
        "invoice": found,
        "match": match_of(found) if found.state in {InvoiceState.ENTERED, InvoiceState.AGREED} else None,
        "match_url": report_url("invoice-match", first=first, last=last, provider=found.provider.name),
        "usage_url": report_url("chargeback", first=first, last=last, provider=found.provider.name),
        "may_decide": is_open and request.user.has_perm("ledger.decide_invoice", found),
        "may_withdraw": is_open and request.user.has_perm("ledger.withdraw_invoice", found),
    }
    return render(request, "ledger/invoice.html", context)


NOWHERE = "Nothing is posted, and the invoice counts nowhere."
DECISIONS: Decisions = {
    "agree": ("Agree to", "What its month is not billed yet is posted at once.", ConfirmForm, "ledger.decide_invoice"),
    "refuse": ("Refuse", NOWHERE, ReasonForm, "ledger.decide_invoice"),
    "withdraw": ("Withdraw", NOWHERE, ConfirmForm, "ledger.withdraw_invoice"),
}


@members_only
def invoice_decide(request: UserRequest, pk: int, decision: str) -> HttpResponseBase:
    """Agree to an invoice, refuse it or take it back."""
    return decide(
        request,
        decision,
        DECISIONS,
        _rows(),
        pk,
        services=services,
        noun="invoice",
        argument="invoice",
        back=reverse("ledger:invoice", args=[pk]),
    )


def _rows() -> Any:
    return ProviderInvoice.objects.select_related("provider", "entered_by", "decided_by", "entry")
