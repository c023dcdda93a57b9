"""Pages of figures that come in files: a file is checked line by line, and then imported whole or not at all.

What is too large for a request goes to the background; its pages are in `file_runs.py`.
"""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from ledger.exports import CSV_TYPE
from ledger.forms.feed_files import MONEY, TOKENS, FeedFileForm, FeedImportForm, FeedNewForm, kind_of
from ledger.models import Charge, Feed, FeedFetch
from ledger.providers.plain import COLUMNS
from ledger.selectors.file_runs import files_shown
from ledger.services import feed_files
from ledger.services.feed_files import AT_ONCE_BYTES, FILE_KINDS, FileCheck
from ledger.services.file_found import MOST_SHOWN, models_shown
from ledger.services.file_runs import file_run_ask
from ledger.views.act import act
from teams.access import UserRequest, allowed_only, visible_or_404
from teams.acting import done
from teams.errors import Refused
from teams.forms import form_refuse, form_status

IMPORT = "ledger.import_feed_file"
MOST_IMPORTS = 50


@allowed_only("ledger.view_ledger")
def feed_import(request: UserRequest) -> HttpResponseBase:
    """Show how files come in and which did; check one that finance sends, a large one in the background."""
    may_import = request.user.has_perm(IMPORT)
    form = FeedFileForm(feeds=_feeds(), initial={"feed": request.GET.get("feed")})
    check, upload = None, None
    if request.method == "POST":
        visible_or_404(request.user, IMPORT, None)
        form = FeedFileForm(request.POST, request.FILES, feeds=_feeds())
        if form.is_valid() and form.cleaned_data["file"].size > AT_ONCE_BYTES:
            if (asked := _asked(request, form)) is not None:
                return asked
        elif form.is_valid():
            check, upload = _checked(request, form)
    context = {"form": form, "may_import": may_import, "feeds": _feeds(), "imports": _imports(), "columns": COLUMNS}
    context |= {"check": check, "upload": upload, "kinds": FILE_KINDS} | check_context(check)
    context |= {"files": files_shown(), "at_once": AT_ONCE_BYTES >> 20}
    status = 422 if check and not check.is_good else form_status(form)
    return render(request, "ledger/reconciliation/import.html", context, status=status)


def _asked(request: UserRequest, form: FeedFileForm) -> HttpResponseBase | None:
    """Have a large file checked in the background, and go to its page; None when it is refused."""
    data = form.cleaned_data
    try:
        run = file_run_ask(
            actor=request.user,
            feed=data["feed"],
            name=data["file"].name,
            content=data["file"].read(),
            span=form.span,
        )
    except Refused as error:
        form_refuse(form, error)
        return None
    return redirect("ledger:file_run", run.pk)


def _checked(request: UserRequest, form: FeedFileForm) -> tuple[FileCheck | None, forms.Form | None]:
    """Check a file, and keep it for its import when nothing is wrong with it."""
    data = form.cleaned_data
    content = data["file"].read()
    try:
        check = feed_files.file_check(feed=data["feed"], name=data["file"].name, content=content, span=form.span)
        if not check.is_good or check.imported:
            return check, None
        token = feed_files.upload_keep(actor=request.user, check=check, content=content, span=form.span)
    except Refused as error:
        form_refuse(form, error)
        return None, None
    return check, FeedImportForm(initial={"upload": token})


def _feeds() -> Any:
    feeds = Feed.objects.filter(kind__in=FILE_KINDS, is_enabled=True)
    return feeds.select_related("provider").order_by("provider__name", "pk")


def _imports() -> list[FeedFetch]:
    fetches = FeedFetch.objects.exclude(file_name="").select_related("feed__provider", "begun_by")
    return list(fetches.order_by("-pk")[:MOST_IMPORTS])


def check_context(check: FileCheck | None) -> dict[str, Any]:
    """Return what the part of a page needs that shows what a check found; without a check, nothing."""
    if check is None:
        return {}
    models = [(name, Charge(charge).label, sums) for (name, charge), sums in models_shown(check)]
    return {
        "models": models,
        "models_more": len(check.by_model) - len(models) + check.more_models,
        "changed_days": [day for day in check.days if day.is_changed],
        "left_out": check.findings.left_out.most_common(MOST_SHOWN),
        "no_class": check.findings.no_class.most_common(MOST_SHOWN),
    }


@require_POST
@allowed_only(IMPORT)
def feed_import_now(request: UserRequest) -> HttpResponseBase:
    """Import the very bytes that were checked."""
    try:
        upload = feed_files.upload_of(actor=request.user, token=request.POST.get("upload", ""))
        found = feed_files.file_import(
            actor=request.user, feed=upload.feed, name=upload.name, content=upload.content, span=upload.span
        )
    except Refused as error:
        messages.error(request, error.message)
        return redirect("ledger:feed_import")
    fetch = found.fetch
    if not found.is_new:
        words = f"Imported already on {fetch.ended_at:%-d %b %Y, %H:%M} UTC as {fetch}: nothing changed."
    else:
        words = f"{fetch.file_name} is imported as {fetch}: {fetch.rows_count:,} rows, {fetch.changes_count:,} figures."
    return done(request, words, "ledger:feed_import")


@allowed_only("ledger.import_feed_file")
def feed_new(request: UserRequest) -> HttpResponseBase:
    """Make a feed for files of a provider."""

    def work(data: dict[str, Any]) -> str:
        feed = feed_files.file_feed_open(
            actor=request.user,
            provider=data["provider"],
            kind=data["kind"],
            gives_tokens=TOKENS in data["gives"],
            gives_money=MONEY in data["gives"],
        )
        return f"{feed} takes files now."

    return act(
        request,
        FeedNewForm(request.POST if request.method == "POST" else None),
        title="A feed of files",
        button="Make it",
        words="What its files say is what metered usage of the provider is reconciled with from then on.",
        back=reverse("ledger:feed_import"),
        work=work,
    )


@require_safe
@allowed_only("ledger.view_ledger")
def feed_sample(request: UserRequest, kind: str) -> HttpResponse:
    """Send a short file of a kind that can be imported as it is."""
    found = kind_of(kind)
    if found is None:
        raise Http404
    sample = feed_files.file_adapter(found).sample()
    headers = {"Content-Disposition": f'attachment; filename="sample-{found.value}.csv"'}
    return HttpResponse(sample, content_type=CSV_TYPE, headers=headers)
