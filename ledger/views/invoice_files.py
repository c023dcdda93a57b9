"""Pages of invoices that come in a file: it is checked line by line, and then entered whole or not at all."""

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from ledger.exports import CSV_TYPE
from ledger.forms.feed_files import FeedImportForm
from ledger.forms.invoice_files import InvoiceFileForm
from ledger.services import invoice_files
from ledger.services.invoice_files import COLUMNS, ENTER, MOST_INVOICES, InvoicesCheck
from teams.access import UserRequest, allowed_only
from teams.acting import done
from teams.errors import Refused
from teams.forms import form_refuse, form_status


@allowed_only(ENTER)
def invoice_import(request: UserRequest) -> HttpResponse:
    """Show how a file of invoices must look, and check one."""
    form = InvoiceFileForm(*((request.POST, request.FILES) if request.method == "POST" else ()))
    check, upload = _checked(request, form) if form.is_valid() else (None, None)
    status = 422 if check and not check.is_good else form_status(form)
    context = {"form": form, "check": check, "upload": upload, "columns": COLUMNS, "most": MOST_INVOICES}
    return render(request, "ledger/invoices_import.html", context, status=status)


def _checked(request: UserRequest, form: InvoiceFileForm) -> tuple[InvoicesCheck | None, forms.Form | None]:
    """Check a file, and keep it for its import when nothing is wrong with it."""
    file = form.cleaned_data["file"]
    content = file.read()
    try:
        check = invoice_files.invoices_check(content=content, name=file.name)
    except Refused as error:
        form_refuse(form, error)
        return None, None
    if not check.is_good:
        return check, None
    token = invoice_files.invoices_keep(actor=request.user, check=check, content=content)
    return check, FeedImportForm(initial={"upload": token})


@require_POST
@allowed_only(ENTER)
def invoice_import_now(request: UserRequest) -> HttpResponseBase:
    """Enter the invoices of the very bytes that were checked."""
    try:
        name, content = invoice_files.invoices_kept(actor=request.user, token=request.POST.get("upload", ""))
        invoices = invoice_files.invoices_import(actor=request.user, content=content, name=name)
    except Refused as error:
        messages.error(request, f"Nothing was entered. {error.message}")
        return redirect("ledger:invoice_import")
    what = "1 invoice waits" if len(invoices) == 1 else f"{len(invoices):,} invoices wait"
    return done(request, f"{name} is imported: {what} for a second person.", "ledger:invoices")


@require_safe
@allowed_only(ENTER)
def invoice_sample(request: UserRequest) -> HttpResponse:
    """Send a short file that can be imported as it is."""
    headers = {"Content-Disposition": 'attachment; filename="sample-invoices.csv"'}
    return HttpResponse(invoice_files.invoices_sample(), content_type=CSV_TYPE, headers=headers)
