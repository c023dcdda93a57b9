"""Large files: kept and checked in the background, imported there when a person says so, whole or not at all."""

import signal
import sys
from datetime import timedelta

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client

from ledger import tasks
from ledger.models import Feed, FeedBody, FeedDay, FeedFetch, FeedFigure, FileRun
from ledger.providers.base import Span
from ledger.providers.csv_file import lines_of
from ledger.selectors import today
from ledger.services.bodies import bodies_clear
from ledger.services.feed_files import AT_ONCE_BYTES, FileCheck, file_check, file_import, upload_keep, upload_of
from ledger.services.feeds import feed_switch
from ledger.services.fetching import at_work
from ledger.services.file_found import check_of
from ledger.services.file_runs import file_run_ask, file_run_import, file_run_leave, file_runs_clear, file_runs_work
from ledger.waiting import things_waiting
from marketplace.celery import app
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification
from tests.budget import Budget, open_budget
from tests.cast import PEOPLE, build_company
from tests.conftest import FreshDatabase
from tests.ledger.test_feed_files import day_before, figures, file, line, opened
from tests.pages import assert_readable, page_of, rows
from tests.processes import start_process, until

WORKER = (sys.executable, "-m", "marketplace.runtime.worker")
PAGE = "/ledger/reconciliation/import/"
GOOD = file(line(3, 100, "1"), line(3, 50, "0.5"), line(2, 200, "2", "mystery", "k2"))


@pytest.fixture
def feed(budget: Budget) -> Feed:
    return opened(budget, "plain")


def sent(budget: Budget, feed: Feed, content: bytes = GOOD, name: str = "a.csv", span: Span | None = None) -> FileRun:
    return file_run_ask(actor=budget.company.hana, feed=feed, name=name, content=content, span=span)


def worked(run: FileRun) -> FileRun:
    """Let the background do what there is to do."""
    assert file_runs_work() == 1
    run.refresh_from_db()
    return run


def imported(budget: Budget, run: FileRun) -> FileRun:
    file_run_import(actor=budget.company.lou, run=worked(run))
    return worked(run)


def notices(name: str = "") -> list[tuple[str, str]]:
    said = Notification.objects.filter(url__startswith=f"{PAGE}files/", title__contains=name).order_by("pk")
    return [(one.user.name.split()[0], one.title) for one in said.select_related("user")]


def findings(check: FileCheck) -> tuple[object, ...]:
    """Return all that a page shows of a check."""
    found = check.findings
    told = (found.faults, found.more, found.left_out, found.no_class, found.moved, found.rounded, found.rounded_by)
    of_days = (check.span, check.outside, check.days, check.replaced)
    names = (check.unknown_models, check.unknown_keys, check.more_models)
    return (*told, *of_days, *names, check.currency, check.total, check.by_model, check.is_good)


# --- Checked, then imported ---------------------------------------------------------------------


def test_a_large_file_is_checked_and_imported_in_the_background(budget: Budget, feed: Feed) -> None:
    run = sent(budget, feed)
    assert (run.state, run.lines, run.lines_read, FeedFetch.objects.count()) == ("check", 4, 0, 0)

    assert (worked(run).state, run.lines_read, FeedFetch.objects.count()) == ("checked", 4, 0)
    assert file_runs_work() == 0

    file_run_import(actor=budget.company.lou, run=run)
    assert (worked(run).state, run.attempts, run.words, run.body) == ("done", 1, "", None)
    assert figures(feed) == {(3, "tank-small"): (150, 1.5), (2, "mystery"): (200, 2)}
    fetch = FeedFetch.objects.get()
    assert (run.fetch, fetch.begun_by, fetch.file_name, fetch.rows_count) == (fetch, budget.company.lou, "a.csv", 3)
    assert notices() == [("Hana", "Nothing is wrong with a.csv"), ("Lou", f"a.csv is imported as {fetch}")]
    audit = AuditEvent.objects.get(verb="feed.imported")
    days = [str(day_before(3)), str(day_before(2))]
    assert audit.details == {"file": "a.csv", "sha256": run.sha256, "days": days, "rows": 3, "amount": "$3.50"}
    assert audit.actor == budget.company.lou


def test_what_the_check_found_is_kept_whole(budget: Budget, feed: Feed) -> None:
    file_import(actor=budget.company.hana, feed=feed, name="first.csv", content=file(line(3, 100, "1")))
    span = Span(day_before(3), day_before(2))
    for name, content in {
        "good.csv": file(line(3, 7, "0.000000000001"), line(1, 1, "1"), line(2, 9, "-2", "mystery", "k2")),
        "bad.csv": file(*["2026-11-05,m,,x,1,1,1,USD"] * 250),
    }.items():
        run = worked(sent(budget, feed, content, name, span))
        assert findings(check_of(run)) == findings(file_check(feed=feed, name=name, content=content, span=span))
        if run.is_open:
            file_run_leave(actor=budget.company.hana, run=run)


def test_of_very_many_models_the_largest_are_kept_and_the_others_counted(budget: Budget, feed: Feed) -> None:
    content = file(*[line(2, 1, str(number), f"m-{number}", f"k-{number}") for number in range(1, 131)])

    check = check_of(worked(sent(budget, feed, content)))

    assert (len(check.by_model), check.more_models, check.total.rows) == (100, 30, 130)
    assert min(sums.amount for sums in check.by_model.values()) == 31
    assert (len(check.unknown_models), len(check.unknown_keys)) == (101, 101)


def test_a_checked_file_waits_for_finance_until_it_is_imported(budget: Budget, feed: Feed) -> None:
    def waits() -> list[tuple[str, str]]:
        return [(thing.title, thing.why) for thing in things_waiting() if thing.url.startswith(PAGE)]

    run = sent(budget, feed)
    before = waits()
    worked(run)
    assert (before, waits()) == (
        [],
        [("Import a.csv", "Nothing is wrong with it; Hana Example sent it for sandbox: CSV")],
    )
    file_run_import(actor=budget.company.hana, run=run)
    assert waits() == []


def test_a_file_with_problems_ends_and_gives_its_bytes_back(budget: Budget, feed: Feed) -> None:
    run = worked(sent(budget, feed, file(line(2, 1, "1"), line(2, 1, "x"))))

    assert (run.state, run.words, run.body) == ("failed", "1 problem. Nothing was taken in.", None)
    assert [(fault.line, fault.column) for fault in check_of(run).findings.faults] == [(3, "amount")]
    assert notices() == [("Hana", "a.csv cannot be imported")]
    with pytest.raises(WrongState, match="does not wait for its import any more"):
        file_run_import(actor=budget.company.hana, run=run)


def test_the_same_file_again_changes_nothing(budget: Budget, feed: Feed) -> None:
    run = sent(budget, feed)
    assert sent(budget, feed, name="again.csv") == run
    done = imported(budget, run)

    again = worked(sent(budget, feed))

    assert (again.state, again.fetch, again.import_by) == ("done", done.fetch, None)
    assert FeedFetch.objects.count() == 1
    assert notices("already") == [("Hana", f"a.csv is imported already as {done.fetch}")]


def test_what_was_imported_between_check_and_import_is_not_imported_twice(budget: Budget, feed: Feed) -> None:
    run = worked(sent(budget, feed))
    between = file_import(actor=budget.company.hana, feed=feed, name="a.csv", content=GOOD)
    file_run_import(actor=budget.company.hana, run=run)

    assert (worked(run).state, run.fetch, FeedFetch.objects.count()) == ("done", between.fetch, 1)


def test_a_feed_has_one_file_at_a_time_and_one_that_waits_gives_way(budget: Budget, feed: Feed) -> None:
    first = sent(budget, feed)
    with pytest.raises(Refused, match=r"a\.csv of this feed is being checked: wait until it has ended"):
        sent(budget, feed, file(line(1, 1, "1")), "b.csv")
    worked(first)

    second = sent(budget, feed, file(line(1, 1, "1")), "b.csv")

    first.refresh_from_db()
    assert (first.state, first.words) == ("left", "Hana Example sent b.csv for the same feed.")
    assert imported(budget, second).state == "done"
    assert figures(feed) == {(1, "tank-small"): (1, 1)}


def test_a_file_that_is_left_is_not_imported(budget: Budget, feed: Feed) -> None:
    run = sent(budget, feed)
    file_run_leave(actor=budget.company.lou, run=run)

    assert file_runs_work() == 0
    run.refresh_from_db()
    assert (run.state, run.words, run.body) == ("left", "Lou Example left it.", None)
    with pytest.raises(WrongState, match="cannot be left any more"):
        file_run_leave(actor=budget.company.lou, run=run)


def test_only_finance_sends_imports_and_leaves(budget: Budget, feed: Feed) -> None:
    run = worked(sent(budget, feed))
    for name in ("ana", "cy", "ivo", "jo", "gil"):
        person = budget.company.person(name)
        with pytest.raises(NotAllowed):
            file_run_ask(actor=person, feed=feed, name="a.csv", content=GOOD)
        with pytest.raises(NotAllowed):
            file_run_import(actor=person, run=run)
        with pytest.raises(NotAllowed):
            file_run_leave(actor=person, run=run)


# --- What comes between -------------------------------------------------------------------------


def test_a_feed_that_was_switched_off_meanwhile_takes_nothing(budget: Budget, feed: Feed) -> None:
    run = worked(sent(budget, feed))
    file_run_import(actor=budget.company.hana, run=run)
    feed_switch(actor=budget.company.hana, feed=feed, is_enabled=False)

    assert (worked(run).state, run.words) == ("failed", "This feed is switched off.")
    assert (FeedFetch.objects.count(), notices("cannot")) == (0, [("Hana", "a.csv cannot be imported")])


def test_what_breaks_off_again_and_again_is_given_up(budget: Budget, feed: Feed) -> None:
    run = sent(budget, feed)
    FileRun.objects.filter(pk=run.pk).update(attempts=5)

    assert file_runs_work() == 0

    run.refresh_from_db()
    assert (run.state, run.words.split(".")[0]) == ("failed", "It broke off 5 times before it was done")


def test_while_somebody_is_at_the_feed_or_at_files_a_run_waits(fresh_database: FreshDatabase) -> None:
    budget = open_budget(build_company())
    feed = opened(budget, "plain")
    run = worked(sent(budget, feed))
    file_run_import(actor=budget.company.hana, run=run)

    with psycopg.connect(fresh_database.url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(7246886, %s)", [feed.pk])
        assert file_runs_work() == 0
        other.execute("SELECT pg_advisory_unlock_all(), pg_advisory_lock(7246889, 0)")
        assert file_runs_work() == 0
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("import", 0)
    until(lambda: file_runs_work() == 1)
    with at_work(feed):
        run.refresh_from_db()
    assert run.state == "done"


def test_killed_in_the_middle_of_an_import_nothing_is_in_and_the_next_worker_takes_it(
    fresh_database: FreshDatabase,
) -> None:
    budget = open_budget(build_company())
    feed = opened(budget, "plain")
    run = worked(sent(budget, feed))
    file_run_import(actor=budget.company.hana, run=run)

    with start_process(WORKER, fresh_database.env) as worker:
        with transaction.atomic():
            Feed.objects.select_for_update(no_key=True).get(pk=feed.pk)  # what an import changes last
            until(is_waited_for, within=120)
            # All is read, which is seen from outside of the import's transaction.
            assert FileRun.objects.get(pk=run.pk).lines_read == 4
            worker.send(signal.SIGKILL)
            worker.ended()
        run.refresh_from_db()
        assert (run.state, run.attempts, FeedFigure.objects.count(), FeedDay.objects.count()) == ("import", 1, 0, 0)
    with start_process(WORKER, fresh_database.env):
        until(lambda: not FileRun.objects.get(pk=run.pk).is_open, within=120)

    run.refresh_from_db()
    assert (run.state, run.attempts) == ("done", 2)
    assert figures(feed) == {(3, "tank-small"): (150, 1.5), (2, "mystery"): (200, 2)}
    ended = [(fetch.state, fetch.failure) for fetch in FeedFetch.objects.order_by("pk")]
    assert ended == [("failed", "Its process went away; the next fetch does it again."), ("done", "")]
    assert AuditEvent.objects.filter(verb="feed.imported").count() == 1


def is_waited_for() -> bool:
    """Say whether another session waits for a lock of this one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid)))")
        return bool(cursor.fetchone()[0])


# --- What goes, and what stays ------------------------------------------------------------------


def older(hours: int) -> None:
    """Let bytes and checks have come some hours earlier."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ledger_feedbody SET kept_at = kept_at - make_interval(hours => %s)", [hours])
        cursor.execute(
            "UPDATE ledger_filerun SET checked_at = checked_at - make_interval(hours => %s) WHERE ended_at IS NULL",
            [hours],
        )


def test_bytes_that_nobody_imported_go_after_a_day_and_what_came_in_stays(budget: Budget, feed: Feed) -> None:
    hana = budget.company.hana
    file_import(actor=hana, feed=feed, name="in.csv", content=file(line(5, 1, "1")))
    small = file(line(4, 1, "1"))
    check = file_check(feed=feed, name="small.csv", content=small)
    upload_keep(actor=hana, check=check, content=small, span=None)
    older(23)
    token = upload_keep(actor=hana, check=check, content=small, span=None)
    older(2)
    assert (bodies_clear(), upload_of(actor=hana, token=token).content) == (0, small)

    older(23)

    assert [bodies_clear(), bodies_clear()] == [1, 0]
    with pytest.raises(Refused, match="choose it again"):
        upload_of(actor=hana, token=token)
    assert FeedBody.objects.get().pk == FeedFetch.objects.get().pages.get().body_id


def test_a_checked_file_that_nobody_imports_goes_after_three_days(budget: Budget, feed: Feed) -> None:
    run = worked(sent(budget, feed))
    older(71)
    assert (tasks.clear_files(), FeedBody.objects.count()) == (0, 1)

    older(2)

    assert (file_runs_clear(), bodies_clear(), FeedBody.objects.count()) == (1, 1, 0)
    run.refresh_from_db()
    assert (run.state, run.words) == ("left", "Nobody imported it for 3 days.")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            "UPDATE ledger_filerun SET state = 'import', ended_at = NULL, fetch_id = NULL, body_id = sha256",
            "the run of file [0-9]+ has ended",
        ),
        ("DELETE FROM ledger_filerun", "permission denied"),
        ("UPDATE ledger_feedbody SET compressed = ''", "permission denied"),
        ("UPDATE ledger_feedbody SET kept_at = now() + interval '1 year', size = 0", "permission denied"),
        ("DELETE FROM ledger_feedbody", "something refers to them"),
        ("SET ROLE NONE; DELETE FROM ledger_feedbody", "something refers to them"),
        ("SET ROLE NONE; UPDATE ledger_feedbody SET compressed = ''", "are kept as they came"),
    ],
)
def test_a_run_that_ended_and_the_bytes_of_a_fetch_stay_so(budget: Budget, feed: Feed, change: str, why: str) -> None:
    imported(budget, sent(budget, feed))
    older(1000)

    with pytest.raises(DatabaseError, match=why), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_bytes_that_came_today_stay_even_if_nothing_refers_to_them(budget: Budget, feed: Feed) -> None:
    file_run_leave(actor=budget.company.hana, run=sent(budget, feed))
    older(23)

    with pytest.raises(DatabaseError, match="they came today"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger_feedbody")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("name = 'b.csv'", "stays as it was asked for"),
        ("found = '{}'", "stays as it was asked for"),
        ("state = 'failed', ended_at = now(), body_id = NULL", "file_run_ends_with_a_fetch_or_words"),
        ("state = 'failed', words = 'No.', ended_at = now()", "file_run_has_its_bytes_until_it_ends"),
        ("state = 'gone'", "file_run_(state_known|ends_with_a_fetch_or_words)"),
        ("state = 'import'", "file_run_ends_with_a_fetch_or_words"),
        ("lines_read = lines + 1", "file_run_read_within_lines"),
        ("checked_at = NULL", "file_run_found_has_time"),
        (
            "body_id = (SELECT max(sha256) FROM ledger_feedbody b WHERE b.sha256 <> body_id)",
            "file_run_body_is_its_file",
        ),
        (
            "state = 'done', ended_at = now(), body_id = NULL, fetch_id = (SELECT max(id) FROM ledger_feedfetch)",
            "is not done by fetch",
        ),
    ],
)
def test_a_run_is_in_the_database_what_it_says_that_it_is(budget: Budget, feed: Feed, change: str, why: str) -> None:
    file_import(actor=budget.company.hana, feed=feed, name="other.csv", content=file(line(9, 1, "1")))
    worked(sent(budget, feed))

    with pytest.raises(DatabaseError, match=why), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE ledger_filerun r SET {change}")  # noqa: S608 - a change of this table of changes


def test_a_feed_has_one_open_run_whatever_a_program_says(budget: Budget, feed: Feed) -> None:
    run = sent(budget, feed)
    run.pk = None

    with pytest.raises(IntegrityError, match="file_run_one_open"), transaction.atomic():
        run.save(force_insert=True)


def test_lines_are_counted_whatever_they_end_with() -> None:
    assert [lines_of(body) for body in (b"a\nb\n", b"a\nb", b"a\r\nb\r\n", b"a\rb", b"")] == [2, 2, 2, 2, 1]


# --- Pages --------------------------------------------------------------------------------------


@pytest.fixture
def hana(budget: Budget) -> Client:
    return budget.company.client(budget.company.hana)


def large(*ends: str) -> bytes:
    """Return a file that is too large for a request."""
    detail = "x" * 300
    many = (f"{today() - timedelta(days=1)},m,10,0.5,{detail}" for _ in range(AT_ONCE_BYTES // 300))
    return "\n".join(("day,model,input_tokens,amount,detail", *many, *ends, "")).encode()


def upload(client: Client, feed: Feed, content: bytes) -> Client:
    return client.post(PAGE, {"feed": feed.pk, "file": SimpleUploadedFile("big.csv", content)}, follow=True)  # type: ignore[return-value]


def test_finance_sends_a_large_file_sees_how_far_it_is_and_imports_it(feed: Feed, hana: Client) -> None:
    asked = upload(hana, feed, large())
    assert_readable(asked)
    run = FileRun.objects.get()
    url = f"{PAGE}files/{run.pk}/"
    assert "Waits to be checked; it begins when a worker is free." in page_of(asked).text
    FileRun.objects.update(attempts=1, lines_read=1234)
    meanwhile = hana.get(f"{url}progress/")
    assert "Being checked: 1,234 of 6,991 lines are read." in page_of(meanwhile).text
    file_runs_work()
    after = hana.get(f"{url}progress/")
    assert ("HX-Refresh" in meanwhile.headers, after.headers["HX-Refresh"]) == (False, "true")

    checked = hana.get(url)
    assert_readable(checked)
    assert "Nothing is wrong with big.csv" in page_of(checked).text
    assert rows(checked, "By model, table") == [["m", "Tokens", "6,990", "0", "69,900", "0", "$3,495.00"]]
    assert FeedFetch.objects.count() == 0
    said = hana.post(f"{url}import/", follow=True)
    assert "big.csv is being imported, all of it or nothing." in page_of(said).text
    assert "Waits to be imported" in page_of(said).text
    file_runs_work()

    done = hana.get(url)
    assert_readable(done)
    assert f"Imported as {FeedFetch.objects.get()}" in page_of(done).text
    assert "6,990 rows, 1 figure new or changed." in page_of(done).text
    assert "Import all of it" not in page_of(done).text
    [listed] = rows(hana.get(PAGE), "Large files, table")
    state = f"Imported as {FeedFetch.objects.get()}"
    assert listed[:5] == ["big.csv", "sandbox: CSV", state, "6,991", "6,991"]


def test_every_problem_of_a_large_file_is_shown_on_its_page(feed: Feed, hana: Client) -> None:
    upload(hana, feed, large("2026-11-05,m,1.5,x,"))
    file_runs_work()

    page = hana.get(f"{PAGE}files/{FileRun.objects.get().pk}/")

    assert_readable(page)
    assert "It was not imported. 2 problems. Nothing was taken in." in page_of(page).text
    assert [row[:2] for row in rows(page, "Problems, table")] == [["6992", "input_tokens"], ["6992", "amount"]]


def test_a_second_large_file_is_refused_in_words_while_the_first_is_at_work(feed: Feed, hana: Client) -> None:
    upload(hana, feed, large())
    refused = upload(hana, feed, large("2026-11-05,m,1,1,"))
    assert "big.csv of this feed is being checked: wait until it has ended." in page_of(refused).text
    left = hana.post(f"{PAGE}files/{FileRun.objects.get().pk}/leave/", follow=True)
    assert "big.csv is left: nothing of it was taken in." in page_of(left).text
    assert rows(left, "Large files, table")[0][2] == "Left Hana Example left it."


def test_the_pages_are_there_for_finance_and_auditors_and_for_nobody_else(budget: Budget, feed: Feed) -> None:
    run = worked(sent(budget, feed))
    url = f"{PAGE}files/{run.pk}/"
    clients = {name: budget.company.client(budget.company.person(name)) for name in PEOPLE}
    for path in (url, f"{url}progress/"):
        assert {name for name, one in clients.items() if one.get(path).status_code == 200} == {"hana", "jo"}
    assert "Import all of it" not in page_of(clients["jo"].get(url)).text
    for action in ("leave", "import"):
        assert {clients[name].post(f"{url}{action}/").status_code for name in PEOPLE if name != "hana"} == {404}
        assert clients["hana"].get(f"{url}{action}/").status_code == 405
    assert budget.company.client().get(url).status_code == 302
    assert clients["hana"].get(f"{PAGE}files/999999/").status_code == 404


def test_without_a_large_file_the_page_says_what_becomes_of_one(feed: Feed, hana: Client) -> None:
    assert "No large file was sent yet" in page_of(hana.get(PAGE)).text


def test_reading_and_clearing_are_on_the_schedule() -> None:
    assert {"ledger.tasks.read_files", "ledger.tasks.clear_files"} <= {
        job["task"] for job in app.conf.beat_schedule.values()
    }
