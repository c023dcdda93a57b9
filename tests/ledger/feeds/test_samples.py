"""Each source's sample is read token for token and cent for cent."""

import json
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ledger.models import Feed, FeedFetch, FeedFigure, FeedKind, FetchState
from ledger.models.feeds import Charge
from ledger.providers.base import FeedFailed, Row, Span
from ledger.providers.openai_costs import line_item
from ledger.providers.registry import adapter_for
from ledger.services.fetching import feed_fetch
from teams.selectors import system_user
from tests.ledger.feeds import account as at
from tests.ledger.feeds.account import Account, sample
from tests.ledger.feeds.conftest import DAY, THAT_DAY, Feeds

SEARCH, KEY_ID = "wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ", "apikey_01Rj2N8SVvo6BePZj99NhmiT"
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens")


def fetched(feed: Feed, span: Span = THAT_DAY) -> FeedFetch:
    return feed_fetch(actor=system_user(), feed=feed, span=span)


def current(feed: Feed) -> list[dict[str, Any]]:
    """Return a feed's figures as they stand, each with what it says and nothing that is blank."""
    unsaid = {"id", "feed_id", "identity", "fetch_id", "superseded_by_id", "day", "currency"}
    rows = FeedFigure.objects.filter(feed=feed, superseded_by=None).order_by("day", "pk").values()
    said = [{name: value for name, value in row.items() if name not in unsaid and value} for row in rows]
    return sorted(said, key=repr)


def row(**facts: Any) -> dict[str, Any]:
    return {"charge": "tokens"} | facts


def test_openai_usage_in_classes_that_exclude_one_another(their: Account, feed_of: Feeds) -> None:
    their.has(at.COMPLETIONS, sample("openai/usage_completions"))
    their.has(at.EMBEDDINGS, sample("openai/usage_embeddings"))
    search = {"provider_key": "key_gw01", "project": "proj_search"}

    feed = feed_of(FeedKind.OPENAI_USAGE)
    fetch = fetched(feed)

    assert (fetch.state, fetch.failure, fetch.rows_count, fetch.changes_count) == (FetchState.DONE, "", 4, 4)
    assert current(feed) == sorted(
        [
            row(
                **search,
                model_name="gpt-6-astra",
                service_tier="default",
                requests=412,
                input_tokens=412_000,
                cache_read_tokens=1_850_000,
                cache_write_5m_tokens=96_000,
                output_tokens=58_400,
            ),
            row(
                **search,
                model_name="gpt-6.1-sol",
                service_tier="default",
                is_batch=True,
                requests=1300,
                input_tokens=1_250_000,
                output_tokens=91_000,
            ),
            row(
                provider_key="key_gw02",
                project="proj_agents",
                model_name="gpt-6-astra",
                service_tier="priority",
                requests=64,
                input_tokens=88_000,
                cache_read_tokens=240_000,
                output_tokens=17_250,
            ),
            row(
                **search, model_name="text-embedding-3-small", detail="embeddings", requests=640, input_tokens=5_120_000
            ),
        ],
        key=_in_order,
    )


def _in_order(said: dict[str, Any]) -> str:
    names = [field.attname for field in FeedFigure._meta.fields]
    return repr({name: said[name] for name in names if name in said})


def test_openai_costs_to_the_cent_with_the_tokens_that_they_are_for(their: Account, feed_of: Feeds) -> None:
    their.has(at.COSTS, sample("openai/costs"))

    feed = feed_of(FeedKind.OPENAI_COSTS)
    fetch = fetched(feed)

    figures = FeedFigure.objects.filter(feed=feed)
    assert (fetch.state, fetch.rows_count) == (FetchState.DONE, 10)
    assert sum(figure.amount for figure in figures) == Decimal("15.5849")
    classes = figures.filter(model_name="gpt-6-astra", service_tier="").values_list("token_class", "amount")
    assert dict(classes) == {
        "input": Decimal("4.12"),
        "cache_read": Decimal("1.85"),
        "cache_write_5m": Decimal("1.2"),
        "output": Decimal("2.92"),
    }
    batch = figures.get(model_name="gpt-6.1-sol", token_class="output")
    assert (batch.is_batch, batch.amount, batch.output_tokens) == (True, Decimal("0.91"), 91_000)
    fast = figures.get(service_tier="priority", token_class="cache_read")
    assert (fast.provider_key, fast.amount, fast.cache_read_tokens) == ("key_gw02", Decimal("0.24"), 240_000)


@pytest.mark.parametrize(
    ("words", "charge"),
    [
        ("web search tool calls", Charge.TOOL),
        ("code interpreter sessions", Charge.TOOL),
        ("gpt-image-2, 1024x1024 images", Charge.TOOL),
        ("Promotional credit", Charge.CREDIT),
        ("Scale tier commitment", Charge.MINIMUM),
        ("Monthly minimum", Charge.MINIMUM),
        ("Sundry", Charge.OTHER),
        ("", Charge.OTHER),
    ],
)
def test_a_line_item_that_is_for_no_tokens_is_a_charge_of_its_own(words: str, charge: Charge) -> None:
    assert line_item(words, Decimal("3.0"), "images") == {"charge": charge}


def test_a_float_beyond_twelve_places_is_rounded_half_to_even_from_its_text() -> None:
    body = b"""{"object": "page", "has_more": false, "next_page": null, "data": [{"object": "bucket",
        "start_time": 1791331200, "end_time": 1791417600, "results": [
        {"object": "organization.costs.result", "line_item": "a, input", "amount": {"value": 0.1000000000005,
        "currency": "usd"}}, {"object": "organization.costs.result", "line_item": "b, input",
        "amount": {"value": 1e-7}}]}]}"""
    amounts = [row.amount for row in adapter_for(FeedKind.OPENAI_COSTS).rows(body, THAT_DAY)]

    assert amounts == [Decimal("0.100000000000"), Decimal("0.0000001")]


def test_anthropic_usage_analytics_and_its_watermark(their: Account, feed_of: Feeds) -> None:
    their.has(at.ANALYTICS_USAGE, sample("anthropic/analytics_usage"))

    feed = feed_of(FeedKind.ANTHROPIC_USAGE)
    fetch = fetched(feed, Span(DAY, date(2026, 10, 8)))

    place = {"provider_key": KEY_ID, "project": SEARCH, "service_tier": "standard"}
    assert current(feed) == sorted(
        [
            row(
                **place,
                model_name="claude-sonnet-5-5",
                requests=412,
                input_tokens=1_204_310,
                cache_read_tokens=8_800_123,
                cache_write_5m_tokens=300_000,
                cache_write_1h_tokens=1000,
                output_tokens=187_654,
            ),
            row(**place, charge="tool", detail="web_search; model=claude-sonnet-5-5", requests=10),
        ],
        key=_in_order,
    )
    assert str(fetch.complete_until) == "2026-10-08 08:00:00+00:00"
    assert list(feed.days.order_by("day").values_list("day", "is_complete")) == [
        (DAY, True),
        (date(2026, 10, 8), False),
    ]


def test_analytics_that_name_no_watermark_are_complete_for_no_day(their: Account, feed_of: Feeds) -> None:
    their.has(at.ANALYTICS_USAGE, sample("anthropic/analytics_usage") | {"data_refreshed_at": None})

    feed = feed_of(FeedKind.ANTHROPIC_USAGE)
    fetched(feed)

    assert [day.is_complete for day in feed.days.all()] == [False]


def test_anthropic_cost_analytics_in_dollars_from_cents(their: Account, feed_of: Feeds) -> None:
    their.has(at.ANALYTICS_COST, sample("anthropic/analytics_cost"))

    feed = feed_of(FeedKind.ANTHROPIC_COST)
    fetched(feed)

    amounts = dict(FeedFigure.objects.filter(feed=feed).values_list("token_class", "amount"))
    assert amounts == {
        "input": Decimal("2.167758"),
        "cache_read": Decimal("0.79201107"),
        "cache_write_5m": Decimal("0.675"),
        "cache_write_1h": Decimal("0.0036"),
        "output": Decimal("1.688886"),
    }


def test_the_legacy_usage_report_keeps_the_default_workspace_apart(their: Account, feed_of: Feeds) -> None:
    their.has(at.USAGE_REPORT, sample("anthropic/usage_report_messages"))

    feed = feed_of(FeedKind.ANTHROPIC_USAGE_REPORT)
    fetched(feed)

    tokens = FeedFigure.objects.filter(feed=feed, charge="tokens").order_by("-input_tokens")
    assert [(one.project, *(getattr(one, name) for name in TOKENS)) for one in tokens] == [
        (SEARCH, 1_204_310, 8_800_123, 300_000, 1000, 187_654),
        ("", 12_043, 88_001, 3000, 10, 1876),
    ]
    assert {one.detail for one in tokens} == {"context_window=0-200k; inference_geo=global"}
    assert FeedFigure.objects.get(feed=feed, charge="tool").requests == 10


def test_the_legacy_cost_report_in_dollars_from_cents(their: Account, feed_of: Feeds) -> None:
    their.has(at.COST_REPORT, sample("anthropic/cost_report"))

    feed = feed_of(FeedKind.ANTHROPIC_COST_REPORT)
    fetched(feed)

    figures = FeedFigure.objects.filter(feed=feed)
    assert sum(figure.amount for figure in figures) == Decimal("6.0741723")
    tools = figures.filter(charge="tool").order_by("-amount")
    assert [(one.model_name, one.project, one.amount) for one in tools] == [
        ("", SEARCH, Decimal("0.1")),
        ("", "", Decimal("0.055")),
    ]


def test_rows_of_other_dimensions_never_fall_together(their: Account, feed_of: Feeds) -> None:
    document = sample("anthropic/cost_report")
    (bucket,) = document["data"]
    one = bucket["results"][0]
    bucket["results"] = [one | {"inference_geo": geo} for geo in ("us", "eu; us", 'eu="us"', None)]
    their.has(at.COST_REPORT, document)

    feed = feed_of(FeedKind.ANTHROPIC_COST_REPORT)
    fetched(feed)

    assert [figure.amount for figure in FeedFigure.objects.filter(feed=feed)] == [Decimal("2.40862")] * 4


@pytest.mark.parametrize(
    ("name", "value"), [("input_cached_tokens", 2_358_001), ("input_uncached_tokens", 1), ("output_tokens", -1)]
)
def test_counts_that_cannot_be_right_fail_the_reading(name: str, value: int) -> None:
    document = sample("openai/usage_completions")
    document["data"][0]["results"][0][name] = value

    with pytest.raises(FeedFailed):
        read(document)


def test_a_row_that_is_about_no_whole_day_fails_the_reading() -> None:
    document = sample("openai/usage_completions")
    document["data"][0]["start_time"] += 3600

    with pytest.raises(FeedFailed, match="not the start of a day"):
        read(document)


def read(document: dict[str, Any]) -> list[dict[str, Any]]:
    body = json.dumps(document).encode()
    rows: list[Row] = list(adapter_for(FeedKind.OPENAI_USAGE).rows(body, THAT_DAY))
    return [asdict(one) for one in rows]
