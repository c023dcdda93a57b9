"""Large files of figures: a row says which file was sent, and the background checks it, and imports it when told to.

The row is the queue: every sweep takes what stands there. One file is read at a time, so that files leave a worker free
for everything else. Who reads holds a session's advisory lock, which the database gives back as soon as that process is
gone, however it went: the next sweep takes the run again. An import ends its run in its own transaction.
"""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from time import monotonic

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

from ledger.models import FILES_AT_WORK, OPEN_FILES, Feed, FeedFetch, FileRun, FileRunState
from ledger.providers.base import Span
from ledger.providers.csv_file import Tell, lines_of
from ledger.services.bodies import body_keep, body_of
from ledger.services.feed_files import ONLY_FINANCE, FileCheck, check_import, file_check, require_file
from ledger.services.fetching import at_work
from ledger.services.file_found import check_of, found_of
from teams.access import require
from teams.alone import FILE_RUNS, alone_at
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record, notification_send

IMPORT = "ledger.import_feed_file"
WAIT_DAYS = 3
"""How long a checked file waits for its import."""
MOST_ATTEMPTS = 5
TELL_SECONDS = 1.0
TELL = "UPDATE ledger_filerun SET lines_read = %s WHERE id = %s AND ended_at IS NULL"

logger = logging.getLogger(__name__)


@transaction.atomic
def file_run_ask(*, actor: User, feed: Feed, name: str, content: bytes, span: Span | None = None) -> FileRun:
    """Keep a file and have it checked in the background; the same one, sent again while it is open, is the same run.

    A file of the feed that is checked and waits gives way to it. Raises NotAllowed, Refused (feed_not_file,
    feed_disabled, file_too_large, file_at_work).
    """
    require(actor, IMPORT, message=ONLY_FINANCE)
    require_file(feed, len(content))
    sha256 = hashlib.sha256(content).hexdigest()
    body_keep(sha256, content)
    Feed.objects.select_for_update(no_key=True).get(pk=feed.pk)
    run = FileRun(feed=feed, name=name[-200:], sha256=sha256, body_id=sha256, asked_by=actor)
    run.size, run.lines = len(content), lines_of(content)
    run.first_day, run.last_day = (span.first, span.last) if span else (None, None)
    if (same := _make_way(actor, run)) is not None:
        return same
    run.save()
    run.refresh_from_db()
    audit_record(actor=actor, verb="feed.file_sent", target=feed, details={"file": run.name, "sha256": sha256})
    return run


def _make_way(actor: User, run: FileRun) -> FileRun | None:
    """Return the open run of the same file, if there is one; another one that waits is left for it."""
    there = FileRun.objects.select_for_update().filter(feed=run.feed, state__in=OPEN_FILES).first()
    if there is None:
        return None
    if (there.sha256, there.first_day, there.last_day) == (run.sha256, run.first_day, run.last_day):
        return there
    if there.is_at_work:
        words = f"{there.name} of this feed is {there.get_state_display().lower()}: wait until it has ended."
        raise Refused(words, code="file_at_work", field="file")
    _end(there, FileRunState.LEFT, words=f"{actor} sent {run.name} for the same feed.")
    there.save()
    return None


@transaction.atomic
def file_run_import(*, actor: User, run: FileRun) -> FileRun:
    """Have a checked file imported in the background. Raises NotAllowed, WrongState."""
    require(actor, IMPORT, message=ONLY_FINANCE)
    run = _locked(run)
    if run.state != FileRunState.CHECKED:
        raise WrongState(f"{run.name} does not wait for its import any more.")
    run.state, run.import_by, run.attempts, run.lines_read = FileRunState.IMPORT, actor, 0, 0
    run.save()
    return run


@transaction.atomic
def file_run_leave(*, actor: User, run: FileRun) -> FileRun:
    """Leave a file that is being checked or waits for its import: its bytes go. Raises NotAllowed, WrongState."""
    require(actor, IMPORT, message=ONLY_FINANCE)
    run = _locked(run)
    if run.state not in (FileRunState.CHECK, FileRunState.CHECKED):
        raise WrongState(f"{run.name} cannot be left any more.")
    _end(run, FileRunState.LEFT, words=f"{actor} left it.")
    run.save()
    audit_record(actor=actor, verb="feed.file_left", target=run.feed, details={"file": run.name, "sha256": run.sha256})
    return run


@transaction.atomic
def file_runs_clear() -> int:
    """Leave files that nobody imported in three days after their check; returns how many."""
    runs = FileRun.objects.select_for_update().filter(state=FileRunState.CHECKED)
    late = list(runs.filter(checked_at__lt=Now() - timedelta(days=WAIT_DAYS)).order_by("pk"))
    for run in late:
        _end(run, FileRunState.LEFT, words=f"Nobody imported it for {WAIT_DAYS} days.")
        run.save()
    return len(late)


# --- In the background --------------------------------------------------------------------------


def file_runs_work() -> int:
    """Check and import what was asked for, in the name of who asked; returns how many steps were done.

    Safe to run twice, and at once. Call it outside a transaction.
    """
    with alone_at(FILE_RUNS) as is_ours:
        due = FileRun.objects.filter(state__in=FILES_AT_WORK).order_by("pk") if is_ours else FileRun.objects.none()
        return sum(_work(run) for run in list(due.select_related("feed")))


def _work(run: FileRun) -> bool:
    try:
        with _feed_of(run):
            return _step(run)
    except Refused:
        return False  # Somebody is at the feed just now: the next sweep tries again.


def _feed_of(run: FileRun) -> AbstractContextManager[None]:
    return at_work(run.feed) if run.state == FileRunState.IMPORT else nullcontext()


def _step(run: FileRun) -> bool:
    begun = _begin(run)
    if begun is None:
        return False
    try:
        with _telling(begun) as tell:
            return _check(begun, tell) if begun.state == FileRunState.CHECK else _import(begun, tell)
    except Refused as error:
        return _failed(begun, error.message)
    except Exception:
        # A fault of ours: it is tried again, and must not keep other files waiting.
        logger.exception("the run of file %s broke off", run.pk)
        return False


@transaction.atomic
def _begin(run: FileRun) -> FileRun | None:
    """Return the run, begun once more; None when it ended meanwhile or broke off too often."""
    run = _locked(run)
    if not run.is_at_work:
        return None
    if run.attempts >= MOST_ATTEMPTS:
        _fail(run, f"It broke off {MOST_ATTEMPTS} times before it was done. Nothing was taken in; report it.")
        return None
    run.attempts, run.lines_read = run.attempts + 1, 0
    run.save(update_fields=["attempts", "lines_read"])
    return run


def _check(run: FileRun, tell: Tell) -> bool:
    span = Span(run.first_day, run.last_day) if run.first_day and run.last_day else None
    check = file_check(feed=run.feed, name=run.name, content=body_of(run.sha256), span=span, tell=tell)
    return _checked(run, check)


@transaction.atomic
def _checked(run: FileRun, check: FileCheck) -> bool:
    run = _locked(run)
    if not run.is_open:
        return False  # It was left meanwhile.
    run.found, run.checked_at, run.lines_read = found_of(check), Now(), run.lines
    if count := check.findings.count:
        _fail(run, f"{count:,} problem{'s' if count != 1 else ''}. Nothing was taken in.")
    elif check.imported:
        _done(run, check.imported, "is imported already")
    else:
        run.state = FileRunState.CHECKED
        run.save()
        _tell_person(run, f"Nothing is wrong with {run.name}", f"Its import waits for {WAIT_DAYS} days.")
    return True


def _import(run: FileRun, tell: Tell) -> bool:
    actor = run.import_by or run.asked_by

    def then(fetch: FeedFetch) -> None:
        with transaction.atomic():
            _done(_locked(run), fetch, "is imported")

    check_import(actor=actor, check=check_of(run), content=_content(run), tell=tell, then=then)
    return True


def _content(run: FileRun) -> bytes:
    content = body_of(run.sha256)
    require_file(run.feed, len(content))
    return content


# --- How a run ends -----------------------------------------------------------------------------


def _locked(run: FileRun) -> FileRun:
    rows = FileRun.objects.select_for_update(of=("self",))
    return rows.select_related("feed__provider", "asked_by", "import_by").get(pk=run.pk)


def _end(run: FileRun, state: FileRunState, *, words: str = "", fetch: FeedFetch | None = None) -> None:
    run.state, run.ended_at, run.words, run.fetch, run.body = state, Now(), words, fetch, None


def _done(run: FileRun, fetch: FeedFetch, what: str) -> None:
    _end(run, FileRunState.DONE, fetch=fetch)
    run.lines_read = run.lines
    run.save()
    body = f"{fetch.rows_count:,} rows, {fetch.changes_count:,} figures new or changed."
    _tell_person(run, f"{run.name} {what} as {fetch}", body)


@transaction.atomic
def _failed(run: FileRun, words: str) -> bool:
    run = _locked(run)
    if run.is_open:
        _fail(run, words)
    return True


def _fail(run: FileRun, words: str) -> None:
    _end(run, FileRunState.FAILED, words=words)
    run.save()
    _tell_person(run, f"{run.name} cannot be imported", words)


def _tell_person(run: FileRun, title: str, body: str) -> None:
    url = f"/ledger/reconciliation/import/files/{run.pk}/"
    notification_send(user=run.import_by or run.asked_by, title=title, body=body, url=url)


# --- How far it is ------------------------------------------------------------------------------


class _Teller:
    """Writes about once a second into the row how many lines are read.

    On a connection of its own: that of an import is in the middle of a COPY, which nothing else may use meanwhile, and
    in a transaction, out of which nobody sees anything.
    """

    def __init__(self, run: FileRun, other: BaseDatabaseWrapper) -> None:
        self._run, self._other = run, other
        self._told, self._told_at = 0, 0.0

    def __call__(self, line: int) -> None:
        line = min(line, self._run.lines)
        is_last = self._told < line == self._run.lines
        if not is_last and monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told, self._told_at = line, monotonic()
        with self._other.cursor() as cursor:
            cursor.execute(TELL, [line, self._run.pk])


@contextmanager
def _telling(run: FileRun) -> Iterator[Tell]:
    other = connection.copy()
    try:
        yield _Teller(run, other)
    finally:
        other.close()
