"""Pages of large files: how far the background is with one, what its check found, and its import."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from ledger.models import FileRun
from ledger.services import file_runs
from ledger.services.file_found import check_of
from ledger.views.feed_files import IMPORT, check_context
from teams.access import UserRequest, allowed_only, find_or_404
from teams.acting import pressed

VIEW = "ledger.view_ledger"


@require_safe
@allowed_only(VIEW)
def file_run(request: UserRequest, pk: int) -> HttpResponse:
    """Show a large file: how far it is, and what its check found."""
    run = _run(request, pk)
    check = check_of(run) if run.found is not None else None
    context = {"run": run, "check": check, "may_import": request.user.has_perm(IMPORT)} | check_context(check)
    return render(request, "ledger/reconciliation/file.html", context)


@require_safe
@allowed_only(VIEW)
def file_progress(request: UserRequest, pk: int) -> HttpResponse:
    """Answer how far a file is; once nobody works at it, the whole page is asked for again."""
    run = _run(request, pk)
    answer = render(request, "ledger/reconciliation/parts/file_progress.html", {"run": run})
    if not run.is_at_work:
        answer.headers["HX-Refresh"] = "true"
    return answer


@require_POST
@allowed_only(IMPORT)
def file_import(request: UserRequest, pk: int) -> HttpResponseBase:
    """Have a checked file imported."""
    run = _run(request, pk)

    def work() -> str:
        file_runs.file_run_import(actor=request.user, run=run)
        return f"{run.name} is being imported, all of it or nothing."

    return pressed(request, work, "ledger:file_run", pk=run.pk)


@require_POST
@allowed_only(IMPORT)
def file_leave(request: UserRequest, pk: int) -> HttpResponseBase:
    """Leave a file: nothing of it is taken in."""
    run = _run(request, pk)

    def work() -> str:
        file_runs.file_run_leave(actor=request.user, run=run)
        return f"{run.name} is left: nothing of it was taken in."

    return pressed(request, work, "ledger:feed_import")


def _run(request: UserRequest, pk: int) -> FileRun:
    rows = FileRun.objects.select_related("feed__provider", "asked_by", "import_by", "fetch")
    return find_or_404(rows, request.user, VIEW, pk=pk)
