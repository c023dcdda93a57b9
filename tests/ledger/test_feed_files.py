"""Figures from files: read exactly, refused with every fault, imported whole or not at all, and once."""

import csv
import tracemalloc
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db.models import Sum

from ledger.models import Charge, Feed, FeedBody, FeedDay, FeedFetch, FeedFigure, Provider, UsageDay
from ledger.providers.base import FileRefused, Span
from ledger.providers.csv_file import Findings
from ledger.providers.focus import ADAPTER as FOCUS
from ledger.providers.focus import meter_of, moment, size_of
from ledger.providers.plain import ADAPTER as PLAIN
from ledger.selectors import today
from ledger.services import usage_post
from ledger.services.feed_files import file_check, file_feed_open, file_import
from teams.errors import NotAllowed, Refused
from teams.models import Role
from teams.selectors import system_user
from teams.services import role_grant, user_create
from tests.allocations.desk import open_desk
from tests.budget import Budget
from tests.conftest import FreshDatabase
from tests.ledger.history import Used, call_at, noon, open_year_from_last_month

HEADER = "day,model,key,requests,input_tokens,output_tokens,amount,currency"
ROWS = 200_000
TOKENS = "input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens"
FIGURES = f"requests, {TOKENS}, amount"
NO_END = "cannot be read (unexpected end of data): a quote inside quotes is written twice"
NO_ZONE = "is not a time with its zone: write it like 2026-11-05T00:00:00Z"


def file(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join((header, *lines, "")).encode()


def said(body: bytes, adapter: Any = PLAIN) -> list[tuple[int, str, str]]:
    """Return what is wrong with a file."""
    findings = Findings()
    list(adapter.read(body, findings))
    return [(fault.line, fault.column, fault.message) for fault in findings.faults]


def read(body: bytes, adapter: Any = PLAIN) -> list[Any]:
    findings = Findings()
    rows = [located.row for located in adapter.read(body, findings)]
    assert findings.faults == []
    return rows


@pytest.fixture
def feed(budget: Budget) -> Feed:
    return opened(budget, "plain")


def opened(budget: Budget, kind: str) -> Feed:
    provider = Provider.objects.get(name="sandbox")
    hana = budget.company.hana
    return file_feed_open(actor=hana, provider=provider, kind=kind, gives_tokens=True, gives_money=True)


# --- The plain CSV ------------------------------------------------------------------------------


def test_a_plain_file_is_read_as_it_is_written() -> None:
    body = file(
        '2026-11-01,"gpt-6\nastra",k1,2,1000,7,0.000000000001,USD',
        "2026-11-02,,,,,,-12.50,EUR",
        "",
        "2026-11-02,m,,,1e3,,,",
    )
    first, second, third = read(body)
    assert (first.day, first.model_name, first.provider_key) == (date(2026, 11, 1), "gpt-6\nastra", "k1")
    assert (first.requests, first.input_tokens, first.output_tokens) == (2, 1000, 7)
    assert (first.amount, first.currency, first.row_id) == (Decimal("0.000000000001"), "USD", "2")
    assert (second.amount, second.currency, second.row_id) == (Decimal("-12.50"), "EUR", "4")
    assert (third.input_tokens, third.row_id) == (1000, "6")
    other_ways = [b"\xef\xbb\xbf" + body, body.replace(b",", b";"), body.replace(b"\n", b"\r\n")]
    assert [len(read(way)) for way in other_ways] == [3, 3, 3]
    assert [row.amount for row in read(other_ways[1])] == [first.amount, second.amount, third.amount]


def test_every_fault_of_a_plain_file_is_told_with_its_line_and_column() -> None:
    body = file(
        "05.11.2026,m,,1,1,1,1,USD",
        '2026-11-05,"m\nm",,-1,1.5,NaN,"1,234.5",usd',
        "2026-11-05,m,,,,,,",
        "2026-11-05,m,,1",
        "2026-02-30,m,,1,1,1,0.0000000000001,USD",
    )
    number = "is not a number: write it like 1234.5, with a point and nothing between thousands"
    assert said(body) == [
        (2, "day", "“05.11.2026” is not a day: write it like 2026-11-05"),
        (3, "requests", "“-1” is not a count: a whole number, zero or more"),
        (3, "input_tokens", "“1.5” is not a count: a whole number, zero or more"),
        (3, "output_tokens", f"“NaN” {number}"),
        (3, "amount", f"“1,234.5” {number}"),
        (3, "currency", "“usd” is not a currency: three capital letters, like USD"),
        (5, "amount", "has no figure: the row says nothing"),
        (6, "the whole line", "has 4 cells, the header has 8"),
        (7, "day", "“2026-02-30” is not a day: write it like 2026-11-05"),
        (7, "amount", "“0.0000000000001” has more than 12 decimal places"),
    ]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", (1, "the file", "is empty")),
        (b"\xff\xfea\0", (1, "the file", "is not text: save it as CSV in UTF-8")),
        (b"day,amount\n2026-11-05,\xfc\n", (2, "the file", "is not UTF-8: save it as CSV in UTF-8")),
        (b"model,amount\nm,1\n", (1, "day", "is missing from the header")),
        (b"day,amount,amount\n2026-11-05,1,1\n", (1, "amount", "is there twice")),
        (b"day,model\n2026-11-05,m\n", (1, "the header", f"has no figure: one of {FIGURES}")),
        (b'day,amount\n2026-11-05,"1\n', (2, "the whole line", NO_END)),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_file_says_so(body: bytes, fault: tuple[int, str, str]) -> None:
    assert said(body) == [fault]


def test_an_unknown_column_is_refused_as_a_known_one_misspelt() -> None:
    [(line, column, message)] = said(b"day,amount,ouput_tokens\n2026-11-05,1,1\n")
    assert (line, column) == (1, "ouput_tokens")
    assert message.startswith("is not known: one of day, model, key, ")


def test_two_hundred_faults_are_listed_and_the_others_counted() -> None:
    body = file(*["2026-11-05,m,,x,1,1,1,USD"] * 250)
    with pytest.raises(FileRefused) as refused:
        list(PLAIN.rows(body, Span(date(2026, 1, 1), date(2026, 12, 31))))
    assert len(refused.value.faults) == 201
    assert refused.value.faults[-1].message == "and 50 more"
    assert refused.value.message.startswith("Line 2, requests: “x” is not a number")


def test_many_rows_take_no_more_memory_than_a_few() -> None:
    body = file(*["2026-11-05,gpt-6-astra,key_01,1,1000,70,0.000125,USD"] * ROWS)
    tracemalloc.start()
    count = sum(1 for _row in PLAIN.rows(body, Span(date(2026, 11, 5), date(2026, 11, 5))))
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == ROWS
    assert peak < len(body) + 2 * 1024 * 1024


@pytest.mark.parametrize("adapter", [PLAIN, FOCUS])
def test_the_sample_can_be_imported_as_it_is(adapter: Any) -> None:
    rows = read(adapter.sample().encode(), adapter)
    assert len(rows) in {3, 4}
    assert {row.day.year for row in rows} == {2026}


# --- FOCUS --------------------------------------------------------------------------------------

BASE = {
    "BilledCost": "1.5", "BillingCurrency": "USD", "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "ChargeCategory": "Usage", "ChargeClass": "", "ChargePeriodStart": "2026-11-05T00:00:00Z",
    "ChargePeriodEnd": "2026-11-06T00:00:00Z",
    "ChargeDescription": "", "ConsumedQuantity": "1500", "ConsumedUnit": "Tokens", "PricingQuantity": "0.0015",
    "PricingUnit": "1000000 Tokens", "ProviderName": "acme", "PublisherName": "acme",
    "ServiceCategory": "AI and Machine Learning", "ServiceName": "Models", "SkuMeter": "Input Tokens",
    "SubAccountId": "claims",    "ResourceId": "", "x_Model": "gpt-6-astra",
}  # fmt: skip


def focus(*rows: dict[str, str], base: dict[str, str] = BASE) -> bytes:
    written = StringIO()
    writer = csv.DictWriter(written, list(base))
    writer.writeheader()
    for row in rows:
        writer.writerow(base | row)
    return written.getvalue().encode()


def test_a_focus_row_says_day_model_class_and_tokens_whatever_the_cloud() -> None:
    amazon = {
        "ConsumedQuantity": "1.5",
        "ConsumedUnit": "1K tokens",
        "SkuMeter": "USE1-Claude4Sonnet-output-tokens",
        "x_Model": "",
    }
    azure = {"ConsumedQuantity": "0.0015", "ConsumedUnit": "1M", "x_Model": "",
             "SkuMeter": "gpt-4o 0806 cached Inp Tokens", "ChargePeriodStart": "2026-11-05T00:00Z",
             "BilledCost": "0.00000012345678949"}  # fmt: skip
    google = {"ConsumedQuantity": "", "ConsumedUnit": "", "ChargePeriodStart": "2026-11-05 22:00:00 UTC",
              "ChargePeriodEnd": "2026-11-05 23:00:00 UTC", "SkuMeter": "Cache Write Input Tokens (1h)"}  # fmt: skip
    east = {"ChargePeriodStart": "2026-11-05T01:00:00+02:00", "ChargePeriodEnd": "2026-11-05T02:00:00+02:00",
            "ResourceId": "arn:key/1"}  # fmt: skip
    findings = Findings()
    rows = [located.row for located in FOCUS.read(focus(amazon, azure, google, east), findings)]
    assert findings.faults == []
    told = [(row.day.day, row.model_name, row.token_class, row.amount) for row in rows]
    assert told == [
        (5, "Claude4Sonnet", "output", Decimal("1.5")),
        (5, "gpt-4o 0806", "cache_read", Decimal("0.000000123457")),
        (5, "gpt-6-astra", "cache_write_1h", Decimal("1.5")),
        (4, "gpt-6-astra", "input", Decimal("1.5")),
    ]
    assert [rows[0].output_tokens, rows[1].cache_read_tokens, rows[2].cache_write_1h_tokens] == [1500, 1500, 1500]
    assert (rows[3].input_tokens, rows[3].provider_key, rows[3].project) == (1500, "arn:key/1", "claims")
    assert (findings.rounded, findings.rounded_by) == (1, Decimal("0.00000000000021051"))


def test_tokens_whose_meter_says_no_class_are_money_alone_and_a_sku_may_say_it() -> None:
    unsure = {"SkuMeter": "gpt-image Tokens", "x_Model": ""}
    by_sku = {"SkuMeter": "Tokens", "SkuId": "gpt-6-astra/output"}
    findings = Findings()
    body = focus(unsure, by_sku, base=BASE | {"SkuId": ""})
    rows = [located.row for located in FOCUS.read(body, findings)]
    assert [(row.model_name, row.token_class, row.output_tokens, row.amount) for row in rows] == [
        ("gpt-image", "", 0, Decimal("1.5")),
        ("gpt-6-astra", "output", 1500, Decimal("1.5")),
    ]
    assert dict(findings.no_class) == {"gpt-image Tokens": 1}


def test_charges_are_what_their_category_says_and_corrections_keep_off_days_that_the_file_has_not() -> None:
    late = {"ChargeClass": "Correction", "ChargePeriodStart": "2026-10-15T00:00:00Z",
            "ChargePeriodEnd": "2026-10-16T00:00:00Z", "BilledCost": "-0.25",
            "ChargeDescription": "A refund"}  # fmt: skip
    search = {"ConsumedUnit": "Requests", "PricingUnit": "1000 Requests", "SkuMeter": "Web search"}
    other = {"ServiceCategory": "Compute", "ServiceName": "Virtual machines", "ConsumedUnit": "Hours"}
    categories = [{"ChargeCategory": name} for name in ("Credit", "Purchase", "Tax", "Adjustment")]
    findings = Findings()
    rows = [located.row for located in FOCUS.read(focus(late, search, other, *categories), findings)]
    assert findings.faults == []
    assert [(row.day.isoformat(), str(row.charge), row.detail) for row in rows] == [
        ("2026-11-01", "other", "Correction of 2026-10-15: A refund"),
        ("2026-11-05", "tool", "Web search"),
        ("2026-11-05", "credit", "Credit"),
        ("2026-11-05", "minimum", "Purchase"),
        ("2026-11-05", "other", "Tax"),
        ("2026-11-05", "other", "Adjustment"),
    ]
    assert sum(row.input_tokens for row in rows) == 0
    assert (findings.moved, dict(findings.left_out)) == (1, {"Virtual machines": 1})


def test_every_fault_of_a_focus_file_is_told_with_its_line_and_column() -> None:
    bad = [
        {"ChargePeriodStart": "2026-11-05T00:00:00"},
        {"ChargeCategory": "Use", "ChargeClass": "Late"},
        {"BilledCost": "1,5", "BillingCurrency": "dollars"},
        {"ConsumedQuantity": "1500.4"},
        {"ChargePeriodEnd": "2026-11-08T00:00:00Z"},
    ]
    assert said(focus(*bad), FOCUS) == [
        (2, "ChargePeriodStart", f"“2026-11-05T00:00:00” {NO_ZONE}"),
        (3, "ChargeCategory", "“Use” is not known: one of usage, credit, purchase, tax, adjustment"),
        (3, "ChargeClass", "“Late” is not known: one of correction"),
        (4, "BilledCost", "“1,5” is not a number: write it like 1234.5, with a point and nothing between thousands"),
        (4, "BillingCurrency", "“dollars” is not a currency: three capital letters, like USD"),
        (5, "ConsumedQuantity", "“1500.4” comes to 1500.4 tokens, which is no whole number"),
        (6, "ChargePeriodEnd", "is more than a day after ChargePeriodStart: tokens are compared by the day"),
    ]  # fmt: skip
    without = {name: value for name, value in BASE.items() if name not in {"ProviderName", "BilledCost"}}
    assert said(focus({}, base=without), FOCUS) == [
        (1, "BilledCost", "is missing from the header"),
        (1, "ProviderName", "is missing from the header"),
    ]
    newer = without | {"BilledCost": "1", "ServiceProviderName": "acme"}
    assert said(focus({}, base=newer), FOCUS) == [(1, "HostProviderName", "is missing from the header")]


def test_units_meters_and_times_are_read_as_clouds_write_them() -> None:
    units = [
        "1000000 Tokens",
        "1M tokens",
        "Million Tokens",
        "1K tokens",
        "Tokens",
        "token",
        "1,000 Tokens",
        "Hours",
        "1K",
    ]
    assert [size_of(unit) for unit in units] == [1_000_000, 1_000_000, 1_000_000, 1000, 1, 1, 1000, None, None]
    assert size_of("1K", says_tokens=True) == 1000
    meters = {
        "gpt 4.1 Outp glbl Tokens": ("output", False),
        "gpt-4o-mini-batch-Inp-glbl Tokens": ("input", True),
        "USE1-Claude4Sonnet-cache-read-input-token-count": ("cache_read", False),
        "CacheWriteInputTokenCount": ("cache_write_5m", False),
        "Requests": ("", False),
    }
    assert {words: (meter_of(words).token_class, meter_of(words).is_batch) for words in meters} == meters
    assert moment("2026-11-05T01:30:00.123+0530").isoformat() == "2026-11-04T20:00:00+00:00"


@pytest.fixture
def used_day(fresh_database: FreshDatabase, owner_connection: psycopg.Connection) -> date:
    """Give a day with usage of every class, an overage and a call without a count of tokens."""
    open_year_from_last_month(system_user())
    desk = open_desk()
    every = Used(input=1_000_001, cache_read=7, cache_write_5m=11, cache_write_1h=13, output=123_456)
    for used in (every, Used(output=1_000_000, overage=Decimal("0.25")), Used(cost=Decimal("0.5"))):
        call_at(owner_connection, desk, noon(today(), 0), used)
    usage_post(actor=desk.actor)
    return today()


def test_what_tank_exports_it_reads_back_exactly(used_day: date, tmp_path: Path) -> None:
    place = tmp_path / "focus.csv"
    call_command("export_focus", "--from", str(used_day), "--to", str(used_day), "--out", str(place), stdout=StringIO())
    hana = user_create(actor=system_user(), email="hana@acorn.example", name="Hana")
    role_grant(actor=system_user(), user=hana, role=Role.FINANCE)
    provider = UsageDay.objects.earliest("pk").provider
    feed = file_feed_open(actor=hana, provider=provider, kind="focus", gives_tokens=True, gives_money=True)

    file_import(actor=hana, feed=feed, name="focus.csv", content=place.read_bytes())

    names = ["input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens"]
    sums = {name: Sum(name) for name in names}
    assert FeedFigure.objects.aggregate(**sums) == UsageDay.objects.aggregate(**sums)
    charged = UsageDay.objects.aggregate(total=Sum("charged"))["total"]
    assert FeedFigure.objects.aggregate(total=Sum("amount"))["total"] == charged == Decimal("4.6204")
    model = UsageDay.objects.earliest("pk").model.name
    tokens = FeedFigure.objects.filter(charge=Charge.TOKENS)
    assert set(tokens.values_list("model_name", flat=True)) == {model}
    assert set(tokens.values_list("provider_key", flat=True)) == {str(UsageDay.objects.earliest("pk").key_id)}
    assert set(FeedFigure.objects.values_list("project", flat=True)) == {"blue"}


# --- Check and import ---------------------------------------------------------------------------


def day_before(days: int) -> date:
    return today() - timedelta(days=days)


def line(days: int, tokens: int, amount: str, model: str = "tank-small", key: str = "k1") -> str:
    return f"{day_before(days)},{model},{key},1,{tokens},0,{amount},USD"


def figures(feed: Feed) -> dict[tuple[int, str], Any]:
    rows = FeedFigure.objects.filter(feed=feed, superseded_by=None).order_by("pk")
    return {((today() - row.day).days, row.model_name): (row.input_tokens, row.amount) for row in rows}


def test_a_check_says_what_an_import_would_do_and_changes_nothing(budget: Budget, feed: Feed) -> None:
    hana = budget.company.hana
    file_import(actor=hana, feed=feed, name="a.csv", content=file(line(3, 100, "1"), line(1, 300, "3")))
    again = file(line(3, 100, "1"), line(3, 50, "0.5"), line(2, 200, "2", "mystery", "k2"))

    check = file_check(feed=feed, name="b.csv", content=again)

    assert check.is_good
    assert check.span == Span(day_before(3), day_before(2))
    assert (check.total.rows, check.total.input_tokens, check.total.amount) == (3, 350, Decimal("3.5"))
    assert {name: sums.amount for name, sums in check.by_model.items()} == {
        ("tank-small", "tokens"): Decimal("1.5"),
        ("mystery", "tokens"): Decimal(2),
    }
    days: list[Any] = [(day.is_new, day.amount_before, day.amount, day.tokens_before, day.tokens) for day in check.days]
    assert days == [
        (False, 1, Decimal("1.5"), 100, 150),
        (False, 0, 2, 0, 200),
    ]
    assert (check.unknown_models, check.unknown_keys) == (["mystery"], ["k1", "k2"])
    assert figures(feed) == {(3, "tank-small"): (100, 1), (1, "tank-small"): (300, 3)}
    assert FeedFetch.objects.count() == 1


def test_a_file_restates_its_days_rows_alike_are_added_and_the_period_can_be_named(budget: Budget, feed: Feed) -> None:
    hana = budget.company.hana
    file_import(
        actor=hana, feed=feed, name="a.csv", content=file(line(3, 100, "1"), line(2, 200, "2"), line(1, 300, "3"))
    )
    file_import(actor=hana, feed=feed, name="b.csv", content=file(line(2, 20, "0.5"), line(2, 20, "0.5")))
    assert figures(feed) == {
        (3, "tank-small"): (100, 1),
        (1, "tank-small"): (300, 3),
        (2, "tank-small"): (40, 1),
    }

    span = Span(day_before(3), day_before(2))
    found = file_import(actor=hana, feed=feed, name="c.csv", content=file(line(2, 5, "1"), line(1, 9, "9")), span=span)

    assert (found.fetch.first_day, found.fetch.last_day, found.fetch.rows_count) == (span.first, span.last, 1)
    assert figures(feed) == {(1, "tank-small"): (300, 3), (2, "tank-small"): (5, 1)}
    assert list(FeedDay.objects.order_by("day").values_list("fetch__file_name", flat=True)) == [
        "c.csv",
        "c.csv",
        "a.csv",
    ]


def test_the_same_file_is_the_same_import_until_another_took_its_days(budget: Budget, feed: Feed) -> None:
    hana, body = budget.company.hana, file(line(2, 100, "1"))
    first = file_import(actor=hana, feed=feed, name="a.csv", content=body)
    again = file_import(actor=budget.company.lou, feed=feed, name="renamed.csv", content=body)
    assert (first.is_new, again.is_new, again.fetch.pk) == (True, False, first.fetch.pk)
    assert (FeedFetch.objects.count(), FeedBody.objects.count()) == (1, 1)

    file_import(actor=hana, feed=feed, name="b.csv", content=file(line(2, 7, "7")))
    back = file_import(actor=hana, feed=feed, name="a.csv", content=body)
    assert back.is_new
    assert figures(feed) == {(2, "tank-small"): (100, 1)}


def test_nothing_is_imported_when_anything_is_wrong(budget: Budget, feed: Feed) -> None:
    tomorrow = today() + timedelta(days=1)
    body = file(line(2, 1, "1"), f"{tomorrow},m,,1,1,1,1,USD", f"{today()},m,,1,1,1,1,EUR")
    with pytest.raises(FileRefused) as refused:
        file_import(actor=budget.company.hana, feed=feed, name="a.csv", content=body)
    assert [(fault.line, fault.column) for fault in refused.value.faults] == [(3, "day"), (4, "currency")]
    assert refused.value.faults[1].message == "is EUR; the accounts of sandbox are kept in USD"
    elsewhere = file_check(
        feed=feed, name="a.csv", content=file(line(2, 1, "1")), span=Span(day_before(9), day_before(8))
    )
    assert elsewhere.findings.faults[0].message == "has no row of the period"
    long = file("2020-01-01,m,,1,1,1,1,USD", line(2, 1, "1"))
    assert "at most 400 days at once" in file_check(feed=feed, name="a.csv", content=long).findings.faults[0].message
    assert (FeedFetch.objects.count(), FeedFigure.objects.count(), FeedBody.objects.count()) == (0, 0, 0)


def test_only_finance_imports_and_a_provider_has_one_feed_of_each(budget: Budget, feed: Feed) -> None:
    for name in ("jo", "ivo", "ana"):
        with pytest.raises(NotAllowed):
            file_import(actor=budget.company.person(name), feed=feed, name="a.csv", content=file(line(1, 1, "1")))
    with pytest.raises(Refused, match="two would count it twice"):
        opened(budget, "focus")
    with pytest.raises(NotAllowed):
        file_feed_open(
            actor=budget.company.jo, provider=feed.provider, kind="plain", gives_tokens=True, gives_money=True
        )
