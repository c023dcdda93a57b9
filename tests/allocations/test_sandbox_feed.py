"""The sandbox's own usage feed: what it answered, counted apart from Tank's metering, and able to differ from it."""

import asyncio
import json
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from jsonschema import Draft202012Validator

from allocations.sandbox.app import application
from allocations.sandbox.tally import Tally, tally
from ledger.models import (
    Account,
    FeedFigure,
    FeedKind,
    FetchState,
    KeyStanding,
    Outcome,
    ProviderKey,
    ReconciliationLine,
)
from ledger.providers.base import Source, Span
from ledger.providers.sandbox import ADAPTER
from ledger.selectors import balance, today
from ledger.services.feeds import feed_add
from ledger.services.fetching import feed_fetch
from ledger.services.reconciliation import reconcile
from tests.allocations.gateways import House, Server, chat, gateway, message, sandbox
from tests.allocations.sdks import HELLO, MEDIUM, Attempts, of_anthropic, of_openai
from tests.allocations.test_sandbox import PATHS, ask, used
from tests.conftest import FreshDatabase

FEED = "/sandbox/v1/organization/usage/completions"
SCHEMA = Path(__file__).resolve().parent.parent / "data" / "feeds" / "openai" / "usage_completions.schema.json"


@pytest.fixture
def counted(settings: Any, tmp_path: Path) -> Iterator[Tally]:
    """Let the sandbox of this process count from nothing."""
    settings.DATA_DIR = tmp_path
    tally.cache_clear()
    yield tally()
    tally.cache_clear()


def feed(query: str) -> Any:
    """Return what the feed says, after its schema has been held against it."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": FEED, "headers": [], "query_string": query.encode()}
    asyncio.run(application(scope, None, send))  # type: ignore[arg-type]
    document = json.loads(sent[1]["body"])
    if sent[0]["status"] == 200:
        Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    return document


def start(days: int = 0) -> int:
    return int(datetime.combine(today() + timedelta(days=days), datetime.min.time(), UTC).timestamp())


def results() -> dict[tuple[str, str | None], tuple[int, int, int]]:
    """Return calls, input and output tokens of today by model and key."""
    (bucket,) = feed(f"start_time={start()}&bucket_width=1d")["data"]
    return {
        (one["model"], one["api_key_id"]): (one["num_model_requests"], one["input_tokens"], one["output_tokens"])
        for one in bucket["results"]
    }


def test_it_counts_what_it_answered_in_both_dialects(counted: Tally) -> None:
    first = used("openai", ask(PATHS["openai"], chat(model="a", text="x" * 400)))
    second = used("anthropic", ask(PATHS["anthropic"], message(model="b")))
    ask(PATHS["openai"], chat(model="a", text="x" * 400, stream=True))
    silent = ask(PATHS["openai"], chat(model="a", text="x" * 400), x_sandbox_fault="no-usage")
    ask(PATHS["openai"], chat(model="a"), x_sandbox_fault="500")

    assert "usage" not in silent.json
    assert results() == {("a", None): (3, 3 * first[0], 3 * first[1]), ("b", None): (1, *second)}


def test_it_differs_as_a_call_asks(counted: Tally) -> None:
    input_tokens, output_tokens = used("openai", ask(PATHS["openai"], chat(model="a"), x_sandbox_feed_calls="0"))
    ask(PATHS["openai"], chat(model="a"), x_sandbox_feed_calls="2")
    ask(PATHS["openai"], chat(model="a"), x_sandbox_feed_tokens="1000", x_sandbox_feed_key="key_elsewhere")

    assert results() == {
        ("a", None): (2, 2 * input_tokens, 2 * output_tokens),
        ("a", "key_elsewhere"): (1, input_tokens, output_tokens + 1000),
    }


def test_another_process_goes_on_where_the_first_was_killed(counted: Tally, tmp_path: Path) -> None:
    counted.add("a", "", calls=1, input_tokens=5, output_tokens=7)
    with (tmp_path / "sandbox" / f"usage-{today()}.jsonl").open("ab") as file:
        file.write(b'["a","",1,5')  # a disk that was full
    other = Tally(tmp_path / "sandbox")
    assert other.of_day(today()) == {
        ("a", ""): {"requests": 1, "input_tokens": 5, "cached_tokens": 0, "output_tokens": 7}
    }

    other.add("lost with it", "", calls=1, input_tokens=1, output_tokens=1)
    other.add("b\0", "", calls=1, input_tokens=2, output_tokens=3)

    assert results() == {("a", None): (1, 5, 7), (None, None): (1, 2, 3)}


def test_days_come_in_pages(counted: Tally) -> None:
    counted.add("a", "", calls=1, input_tokens=5, output_tokens=7)
    query = f"start_time={start(-3)}&end_time={start(1)}&limit=3"

    first = feed(query)
    second = feed(f"{query}&page={first['next_page']}")

    assert [bucket["start_time"] for bucket in first["data"]] == [start(-3), start(-2), start(-1)]
    assert [bucket["results"][0]["model"] for bucket in second["data"]] == ["a"]
    assert (first["has_more"], second["has_more"], second["next_page"]) == (True, False, None)


@pytest.mark.parametrize("query", ["", "start_time=1", "start_time=x", "start_time=0&limit=32", "start_time=0&limit=a"])
def test_a_query_that_it_cannot_answer_is_told(counted: Tally, query: str) -> None:
    assert feed(query)["error"]["type"] == "invalid_request_error"


def test_reconciliation_matches_what_went_through_tank_and_shows_what_went_past_it(
    fresh_database: FreshDatabase,
) -> None:
    with sandbox(fresh_database) as box, gateway(fresh_database, box.url) as tank:
        house = House()
        purse = house.purse()
        place = f"{box.url}/sandbox"
        source = feed_add(actor=house.actor, provider=house.provider("sandbox"), kind=FeedKind.SANDBOX, base_url=place)
        call(tank, purse.bearer)
        call(box, {"x-sandbox-feed-key": "key_past_tank"}, "/sandbox")

        fetch = feed_fetch(actor=house.actor, feed=source, span=Span(today(), today()))
        reconcile(actor=house.actor, provider=source.provider)

    assert (fetch.state, fetch.failure) == (FetchState.DONE, "")
    figures = FeedFigure.objects.order_by("provider_key").values_list("provider_key", "requests", "input_tokens")
    assert list(figures) == [("", 1, purse.record.input_tokens), ("key_past_tank", 1, purse.record.input_tokens)]
    assert ReconciliationLine.objects.get(provider_key=None).outcome == Outcome.MATCHED
    assert ReconciliationLine.objects.exclude(provider_key=None).get().metered_records == 0
    assert ProviderKey.objects.get().standing == KeyStanding.UNKNOWN


def test_what_was_counted_on_this_machine_is_read_without_a_server(counted: Tally) -> None:
    for number in range(40):
        counted.put_day(today() - timedelta(days=number), {("a", ""): (1, number, 0, 2)})
    span = Span(today() - timedelta(days=39), today())

    pages = list(ADAPTER.pages(Source("", ""), span))

    rows = [row for page in pages for row in ADAPTER.rows(page.body, span)]
    assert len(pages) == 2
    assert [row.input_tokens for row in rows] == list(range(39, -1, -1))


def test_every_surface_of_the_stock_sdks_is_matched(fresh_database: FreshDatabase) -> None:
    with sandbox(fresh_database) as box, gateway(fresh_database, box.url) as tank:
        house = House()
        purse = house.purse()
        place = f"{box.url}/sandbox"
        source = feed_add(actor=house.actor, provider=house.provider("sandbox"), kind=FeedKind.SANDBOX, base_url=place)
        web = Attempts()
        by_openai, by_anthropic = of_openai(tank.url, purse, web), of_anthropic(tank.url, purse, web)
        by_openai.chat.completions.create(model=MEDIUM, messages=HELLO)
        list(by_openai.chat.completions.create(model=MEDIUM, messages=HELLO, stream=True))
        by_openai.responses.create(model=MEDIUM, input="Say something, please.")
        by_openai.embeddings.create(model=MEDIUM, input=["one", "two"])
        by_anthropic.messages.create(model=MEDIUM, max_tokens=40, messages=HELLO)
        with by_anthropic.messages.stream(model=MEDIUM, max_tokens=40, messages=HELLO) as stream:
            stream.get_final_message()
        web.client.close()

        feed_fetch(actor=house.actor, feed=source, span=Span(today(), today()))
        reconcile(actor=house.actor, provider=source.provider)

    line = ReconciliationLine.objects.get()
    assert (line.outcome, line.metered_records, line.reported_requests) == (Outcome.MATCHED, 6, 6)
    assert (line.metered_input, line.metered_output) == (line.reported_input, line.reported_output)
    metered, billed = (Account.objects.get(code=f"{name}:sandbox") for name in ("metered", "billed"))
    assert (balance(metered).amount, balance(billed).amount) == (Decimal(0), line.metered)


def call(server: Server, headers: dict[str, str], prefix: str = "") -> None:
    body = chat(model="tank-medium")
    httpx.post(f"{server.url}{prefix}/v1/chat/completions", json=body, headers=headers).raise_for_status()
