"""The schedule and the command that fetch and reconcile, and people told of a feed that is silent."""

import io
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from ledger import tasks
from ledger.models import Dialect, Feed, FeedFetch, FeedKind, ReconciliationLine
from ledger.providers import registry
from ledger.providers.base import FeedFailed, Page, Source, Span
from ledger.selectors.feeds import STALE_AFTER
from ledger.services import provider_add
from ledger.services.feed_runs import feeds_read
from ledger.waiting import things_waiting
from marketplace.celery import app
from teams.models import Notification
from tests.budget import Budget
from tests.ledger.reported import Reports, Said, day_ago, open_reports
from tests.pages import page_of, rows

pytestmark = pytest.mark.django_db


class Network(Said):
    """A source over the network that answers with the rows it was given, and fails at an address called down."""

    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []
        self.asked: list[Span] = []

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Answer with one page of the rows of the span."""
        self.asked.append(span)
        if "down" in source.base_url:
            raise FeedFailed("It does not answer.")
        told = [{**row, "day": row["day"].isoformat()} for row in self.told if row["day"] in span]  # type: ignore[attr-defined,operator]
        yield Page("/usage", json.dumps(told).encode())


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """Put an adapter of the test's own into the registry, as the file of a new source would be."""
    found = Network()
    monkeypatch.setitem(sys.modules, "ledger.providers.of_a_test", SimpleNamespace(ADAPTER=found))
    monkeypatch.setitem(registry.MODULES, FeedKind.SANDBOX, "of_a_test")
    return found


@pytest.fixture
def reports(budget: Budget) -> Reports:
    return open_reports(budget)


@pytest.fixture
def down(budget: Budget) -> Feed:
    """Add another provider whose source does not answer; it comes first by name."""
    provider = provider_add(actor=budget.company.system, name="acme", dialect=Dialect.SANDBOX)
    return Feed.objects.create(
        provider=provider, kind=FeedKind.SANDBOX, gives_tokens=True, gives_money=True, base_url="https://down.example"
    )


def command(*args: str) -> dict[str, object]:
    out = io.StringIO()
    call_command("reconcile", *args, "--json", stdout=out)
    told: dict[str, object] = json.loads(out.getvalue())
    return told


def test_the_command_fetches_reconciles_and_does_nothing_the_second_time(reports: Reports, network: Network) -> None:
    network.told = [reports.used(2, ago=5)]

    first = command("sandbox")
    again = command("sandbox", "--from", day_ago(9).isoformat(), "--to", day_ago(1).isoformat())

    assert network.asked == [Span(day_ago(30), day_ago(0)), Span(day_ago(9), day_ago(1))]
    names = ("fetches", "rows", "figures_changed", "lines_changed", "judged", "entries", "outcomes")
    assert [first[name] for name in names] == [1, 1, 1, 1, 0, 1, {"matched": 1}]
    assert [again[name] for name in names] == [1, 1, 0, 0, 0, 0, {"matched": 1}]


def test_the_command_says_in_one_line_what_is_wrong(reports: Reports, network: Network, down: Feed) -> None:
    provider_add(actor=reports.budget.company.system, name="mute", dialect=Dialect.SANDBOX)
    for args, words in {
        ("nobody",): "There is no provider 'nobody'; add_provider makes one.",
        ("acme",): "acme: Sandbox: It does not answer.",
        ("mute",): "mute has no feed that is switched on.",
        ("sandbox", "--from", "2026-13-01"): "Error: argument --from: '2026-13-01' is not a day such as 2026-03-31",
        ("sandbox", "--from", "2026-03-02", "--to", "2026-03-01"): "2026-03-02 lies after 2026-03-01.",
        ("sandbox", "--to", "2999-01-01"): "2999-01-01 lies in the future.",
    }.items():
        with pytest.raises(CommandError) as error:
            command(*args)
        assert words in str(error.value), args


def test_one_providers_failure_does_not_stop_another(reports: Reports, network: Network, down: Feed) -> None:
    network.told = [reports.used(2, ago=1), reports.used(3, ago=20)]

    assert tasks.fetch_feeds() == 2
    assert [fetch.state for fetch in FeedFetch.objects.order_by("pk")] == ["failed", "done"]
    assert [line.day for line in reports.lines()] == [day_ago(1)]

    assert tasks.reread_feeds() == 2
    assert [line.day for line in reports.lines()] == [day_ago(20), day_ago(1)]
    assert network.asked[-1] == Span(day_ago(30), day_ago(0))


def test_a_reader_that_breaks_stops_no_other_provider(
    reports: Reports, network: Network, down: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.MODULES, FeedKind.LITELLM, "no_such_file")
    Feed.objects.filter(pk=down.pk).update(kind=FeedKind.LITELLM)
    network.told = [reports.used(2, ago=1)]

    assert [read.provider for read in feeds_read(actor=reports.budget.company.system, days=3)] == ["sandbox"]
    assert ReconciliationLine.objects.count() == 1


def test_people_are_told_once_of_a_feed_that_is_silent_or_fails(reports: Reports, network: Network, down: Feed) -> None:
    assert tasks.tell_stale() == 0
    tasks.fetch_feeds()
    assert (tasks.tell_stale(), tasks.tell_stale()) == (1, 0)
    told = Notification.objects.filter(title="A provider's figures do not come in")
    assert set(told.values_list("user__email", flat=True)) == {
        person.email for person in (reports.budget.company.hana, reports.budget.company.lou, reports.budget.company.ivo)
    }
    assert told[0].body == "acme: Sandbox: no good fetch yet. It does not answer."
    assert [thing.title for thing in things_waiting() if "figures" in thing.title] == [
        "acme: Sandbox brings no figures"
    ]

    Feed.objects.filter(pk=down.pk).update(base_url="https://up.example")
    tasks.fetch_feeds()
    down.refresh_from_db()
    assert (down.told_stale_at, tasks.tell_stale()) == (None, 0)

    new = provider_add(actor=reports.budget.company.system, name="mute", dialect=Dialect.SANDBOX)
    mute = Feed.objects.create(provider=new, kind=FeedKind.SANDBOX, gives_tokens=True, gives_money=True)
    Feed.objects.filter(pk=mute.pk).update(created_at=datetime.now(UTC) - STALE_AFTER - timedelta(minutes=1))
    assert (tasks.tell_stale(), tasks.tell_stale()) == (1, 0)


@pytest.fixture
def at_once() -> Iterator[None]:
    """Let tasks be done where they are asked for."""
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.mark.usefixtures("at_once")
def test_finance_fetches_now_and_sees_how_it_went(reports: Reports, network: Network) -> None:
    network.told = [reports.used(2, ago=1)]
    company, url = reports.budget.company, f"/ledger/reconciliation/feeds/{reports.feed.pk}/"
    hana: Client = company.client(company.hana)

    assert company.client(company.jo).post(f"{url}fetch/").status_code == 404
    assert (hana.get(f"{url}fetch/").status_code, FeedFetch.objects.count()) == (405, 0)
    page = hana.post(f"{url}fetch/", follow=True)

    fetch = FeedFetch.objects.get()
    assert fetch.begun_by == company.hana
    words = page_of(page).one("div", id="progress").text
    assert words == f"{fetch}: 1 row on 1 page, 1 figure new or changed. Show all"
    assert rows(page, "Fetches, table")[0][2:] == ["Done", "1", "1", "1"]


def test_the_page_asks_on_until_the_fetch_has_ended(reports: Reports, network: Network) -> None:
    company, url = reports.budget.company, f"/ledger/reconciliation/feeds/{reports.feed.pk}/progress/"
    client: Client = company.client(company.ivo)

    waiting = page_of(client.get(f"{url}?asked=0")).one("div", id="progress")
    fetch = FeedFetch.objects.create(
        feed=reports.feed, first_day=day_ago(1), last_day=day_ago(0), begun_by=company.ivo, pages_count=3
    )
    running = page_of(client.get(f"{url}?asked=0")).one("div", id="progress")

    assert (waiting.attrs["hx-trigger"], waiting.text) == ("every 2s", "Asked for; it begins when a worker is free.")
    assert running.text.endswith("UTC : 3 pages so far.")
    FeedFetch.objects.filter(pk=fetch.pk).update(state="failed", failure="No.", ended_at=datetime.now(UTC))
    ended = page_of(client.get(f"{url}?asked=0")).one("div", id="progress")
    assert ("hx-get" in ended.attrs, ended.text) == (False, f"F-{fetch.pk}: No. Show all")


def test_fetching_is_on_the_schedule() -> None:
    scheduled = {job["task"] for job in app.conf.beat_schedule.values()}

    assert {"ledger.tasks.fetch_feeds", "ledger.tasks.reread_feeds", "ledger.tasks.tell_stale"} <= scheduled
