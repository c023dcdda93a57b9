"""A provider that stumbles: the figures are the same in the end, and what fails changes none of them."""

import json
from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from ledger.models import FeedFetch, FeedFigure, FeedKind, FeedPage, FetchState, KeyStanding, ProviderKey
from ledger.providers import http
from ledger.providers.registry import MODULES, adapter_for
from teams.models import AuditEvent
from tests.ledger.feeds import account as at
from tests.ledger.feeds.account import KEY, Account, Document, sample
from tests.ledger.feeds.conftest import Feeds
from tests.ledger.feeds.test_samples import current, fetched

SOURCES = {
    FeedKind.OPENAI_USAGE: (at.COMPLETIONS, "openai/usage_completions"),
    FeedKind.OPENAI_COSTS: (at.COSTS, "openai/costs"),
    FeedKind.ANTHROPIC_USAGE: (at.ANALYTICS_USAGE, "anthropic/analytics_usage"),
    FeedKind.ANTHROPIC_COST: (at.ANALYTICS_COST, "anthropic/analytics_cost"),
    FeedKind.ANTHROPIC_USAGE_REPORT: (at.USAGE_REPORT, "anthropic/usage_report_messages"),
    FeedKind.ANTHROPIC_COST_REPORT: (at.COST_REPORT, "anthropic/cost_report"),
}
EACH = pytest.mark.parametrize("kind", SOURCES)


def in_pages(document: Document) -> list[Document]:
    """Return a document as one page for each row, and the first row on the last page once more."""
    pages = []
    for item in document["data"]:
        results = item.get("results", [None])
        parts = [[result] for result in results]
        pages += [document | {"data": [item | ({"results": part} if part != [None] else {})]} for part in parts]
    return [*pages, pages[0]]


@EACH
def test_a_fetch_over_pages_with_faults_ends_with_the_same_figures(
    their: Account, feed_of: Feeds, kind: FeedKind
) -> None:
    path, name = SOURCES[kind]
    feed = feed_of(kind)
    their.has(path, sample(name))
    fetched(feed)
    before = current(feed)

    their.has(path, *in_pages(sample(name)))
    their.faults = ["429", "500", "", "cut", "503", "529", "not-json"]
    fetch = fetched(feed)

    assert (fetch.state, fetch.failure, fetch.changes_count) == (FetchState.DONE, "", 0)
    assert current(feed) == before
    assert their.faults == []


@EACH
def test_what_was_received_is_kept_byte_for_byte(their: Account, feed_of: Feeds, kind: FeedKind) -> None:
    path, name = SOURCES[kind]
    their.has(path, *in_pages(sample(name)))

    fetch = fetched(feed_of(kind))

    kept = FeedPage.objects.filter(fetch=fetch).order_by("number")
    assert [page.body.content for page in kept] == their.served
    assert all(KEY not in page.request and page.request in their.asked for page in kept)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("500", "OpenAI (127.0.0.1) answered 500 Internal Server Error. It was asked 5 times, and"),
        ("429", "OpenAI (127.0.0.1) answered 429 Too Many Requests. It was asked 5 times, and"),
        ("cut", "OpenAI (127.0.0.1) broke off its answer 4 times."),
        ("not-json", "An answer is no JSON that can be read; the page is kept as received."),
        ("302", "OpenAI (127.0.0.1) answered 302 Found. It points elsewhere, where the credential is not sent"),
        ("400", "OpenAI (127.0.0.1) answered 400 Bad Request. It says: Not now."),
        ("403", "OpenAI (127.0.0.1) answered 403 Forbidden. This credential may not read it"),
    ],
)
def test_a_failed_fetch_says_why_keeps_its_pages_and_changes_no_figure(
    their: Account, feed_of: Feeds, fault: str, why: str
) -> None:
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.has(at.COSTS, sample("openai/costs"))
    fetched(feed)
    before = current(feed)
    changed = sample("openai/costs")
    changed["data"][0]["results"][0]["amount"]["value"] = 99.5

    their.has(at.COSTS, *in_pages(changed))
    their.faults = ["", "", *[fault] * 5]
    fetch = fetched(feed)

    assert (fetch.state, fetch.rows_count, fetch.changes_count) == (FetchState.FAILED, 0, 0)
    assert fetch.failure.startswith(why)
    assert fetch.pages_count == FeedPage.objects.filter(fetch=fetch).count() == (3 if fault == "not-json" else 2)
    assert current(feed) == before
    assert AuditEvent.objects.filter(verb="fetch.failed", reason=fetch.failure).count() == 1


def test_a_wrong_key_is_told_without_the_key(their: Account, feed_of: Feeds, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = feed_of(FeedKind.OPENAI_USAGE)
    monkeypatch.setattr(at, "KEY", "sk-admin-another")

    fetch = fetched(feed)

    assert fetch.failure == (
        "OpenAI (127.0.0.1) answered 401 Unauthorized. "
        "It does not know this credential: set an admin key of the organization on the feed."
    )
    assert len(their.asked) == 1


def test_a_message_that_repeats_the_key_is_passed_on_without_it(their: Account, feed_of: Feeds) -> None:
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.words = f"Key {KEY} is out of credit."
    their.faults = ["402"]

    assert fetched(feed).failure == (
        "OpenAI (127.0.0.1) answered 402 Payment Required. It says: Key … is out of credit."
    )


def test_a_provider_that_does_not_answer_is_given_up_in_time(their: Account, feed_of: Feeds, settings: Any) -> None:
    settings.FEED_READ_SECONDS = 0.05
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.faults = ["slow"] * 5

    assert fetched(feed).failure == (
        "OpenAI (127.0.0.1) did not answer within 0.05 s, 5 times. It is fetched again at the next run."
    )


def test_a_whole_fetch_takes_no_longer_than_it_may(their: Account, feed_of: Feeds, settings: Any) -> None:
    settings.FEED_TOTAL_SECONDS = 0
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.has(at.COSTS, sample("openai/costs"))

    assert fetched(feed).failure == ("The fetch took longer than 0 s and was given up: fetch fewer days at once.")


def test_a_provider_that_answers_byte_by_byte_holds_nobody_up(their: Account, feed_of: Feeds, settings: Any) -> None:
    settings.FEED_TOTAL_SECONDS = 0.2
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.has(at.COSTS, sample("openai/costs"))
    their.faults = ["drip"]

    assert fetched(feed).failure.startswith("The fetch took longer than 0.2 s and was given up")


def test_an_address_where_nobody_listens_fails_in_words(their: Account, feed_of: Feeds) -> None:
    feed = feed_of(FeedKind.OPENAI_COSTS)
    feed.base_url = "http://127.0.0.1:1"
    feed.save()

    assert fetched(feed).failure == ("OpenAI (127.0.0.1) could not be reached. It is fetched again at the next run.")


def test_an_answer_beyond_all_measure_is_not_read_to_its_end(
    their: Account, feed_of: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 1 << 10)
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.has(at.COSTS, sample("openai/costs"))

    assert fetched(feed).failure.startswith("OpenAI (127.0.0.1) answered more than 0 MiB at once")


def test_a_provider_that_asks_to_wait_is_heard_within_a_cap() -> None:
    client = http.Client(http.Access("OpenAI", "authorization"), "https://api.openai.com/v1/", KEY)
    patient = client._retry()

    assert [patient.parse_retry_after(told) for told in ("7", "86400")] == [7, 60]
    assert patient.new(total=1).until == patient.until


def test_a_page_that_names_itself_as_the_next_ends_the_fetch(their: Account, feed_of: Feeds) -> None:
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.has(at.COSTS, sample("openai/costs") | {"has_more": True})
    their.loops = True

    assert fetched(feed).failure == (
        "It says that there is another page, but not which: its figures would not be whole."
    )


def test_a_revision_supersedes_a_figure_and_keeps_what_it_was(their: Account, feed_of: Feeds) -> None:
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.has(at.COSTS, sample("openai/costs"))
    first = fetched(feed)
    revised = deepcopy(sample("openai/costs"))
    revised["data"][0]["results"][0]["amount"]["value"] = 4.5
    del revised["data"][0]["results"][9]
    their.has(at.COSTS, revised)

    second, third = fetched(feed), fetched(feed)

    assert (first.changes_count, second.changes_count, third.changes_count) == (10, 2, 0)
    old = FeedFigure.objects.filter(feed=feed, superseded_by=second).order_by("-amount")
    assert [figure.amount for figure in old] == [Decimal("4.12"), Decimal("0.1024")]
    now = FeedFigure.objects.filter(feed=feed, superseded_by=None)
    assert sum(figure.amount for figure in now) == Decimal("15.8625")
    day = feed.days.get()
    assert (day.fetch, day.changed_by) == (third, second)


def test_an_endpoint_that_the_account_lacks_is_passed_over(their: Account, feed_of: Feeds) -> None:
    feed = feed_of(FeedKind.OPENAI_USAGE)
    their.has(at.COMPLETIONS, sample("openai/usage_completions"))
    their.missing = {at.EMBEDDINGS, "/v1/organization/usage/decisions"}

    assert fetched(feed).rows_count == 3

    their.missing = set()
    their.faults = ["", "403"]
    assert fetched(feed).failure.startswith("OpenAI (127.0.0.1) answered 403 Forbidden.")

    their.missing = {at.COMPLETIONS}
    assert fetched(feed).failure.startswith("OpenAI (127.0.0.1) answered 404 Not Found. Is the feed's address right?")


def test_the_providers_keys_are_noted_with_their_hints(their: Account, feed_of: Feeds) -> None:
    keys = json.loads((at.DATA / "openai" / "project_api_keys.sample.json").read_text())["data"]
    their.lists = {
        "/v1/organization/projects": [{"id": "proj_search"}],
        "/v1/organization/projects/proj_search/api_keys": keys,
    }
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.has(at.COSTS, sample("openai/costs"))

    assert fetched(feed).state == FetchState.DONE

    key = ProviderKey.objects.get(external_id="key_gw01")
    assert (key.name, key.hint, key.standing) == ("gateway search", "sk-abc...def", KeyStanding.UNKNOWN)


def test_anthropics_keys_too(their: Account, feed_of: Feeds) -> None:
    keys = json.loads((at.DATA / "anthropic" / "api_keys.sample.json").read_text())["data"]
    their.lists = {"/v1/organizations/api_keys": keys}

    assert fetched(feed_of(FeedKind.ANTHROPIC_COST)).state == FetchState.DONE

    assert [(key.name, key.hint) for key in ProviderKey.objects.all()] == [
        ("gateway search", "sk-ant-api03-R2D...igAA")
    ]


def test_a_list_of_keys_that_stumbles_fails_the_fetch(their: Account, feed_of: Feeds) -> None:
    feed = feed_of(FeedKind.OPENAI_COSTS)
    their.has(at.COSTS, sample("openai/costs"))
    their.faults = ["", *["500"] * 5]

    assert fetched(feed).state == FetchState.FAILED
    assert FeedFetch.objects.count() == 1
    assert current(feed) == []


def test_every_kind_over_the_network_has_its_adapter() -> None:
    read_here = [*SOURCES, FeedKind.SANDBOX]
    assert [kind for kind in read_here if kind not in MODULES] == []
    gives = [(adapter_for(kind).gives_tokens, adapter_for(kind).gives_money) for kind in read_here]
    assert gives == [(True, False), (False, True)] * 3 + [(True, False)]
