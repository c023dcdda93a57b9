"""How amounts, envelopes and times look on every page."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.template import Context, Template
from django.utils import timezone
from djmoney.money import Money

from ledger.exports import cell_text
from ledger.templatetags import money as tags
from tests.pages import Element, page_of


def drawn(source: str, **values: object) -> Element:
    text = Template("{% load money %}" + source).render(Context(values))
    return page_of(SimpleNamespace(content=text.encode()))


@pytest.mark.parametrize(
    ("value", "shown", "exact"),
    [
        (Decimal("1234.5"), "$1,234.50", "1,234.50 USD"),
        (Decimal("311.8802"), "$311.8802", "311.8802 USD"),
        (Decimal("0.041"), "$0.0410", "0.041 USD"),
        (Decimal("0.00000125"), "$0.0000012", "0.00000125 USD"),
        (Decimal("1234567.123456789012"), "$1,234,567.12", "1,234,567.123456789012 USD"),
        (Decimal("-1500"), "\N{MINUS SIGN}$1,500.00", "-1,500.00 USD"),
        (Money("7", "EUR"), "€7.00", "7.00 EUR"),
        (Decimal(0), "$0.00", "0.00 USD"),
    ],
)
def test_an_amount_is_short_and_exact_on_hover(value: Decimal, shown: str, exact: str) -> None:
    data = drawn("{{ value|money_exact }}", value=value).one("data")

    assert (data.text, data.attrs["title"]) == (shown, exact)


def test_no_amount_is_a_dash() -> None:
    assert drawn("{{ value|money_exact }} {{ value|cents }} {{ value|moment }}", value=None).text == "— — —"
    assert tags.plain(None) == ""


@pytest.mark.parametrize(
    ("spent", "held", "limit", "widths"),
    [
        ("21034.55", "553.38", "40000", ("52.59%", "1.38%")),
        ("0", "0", "40000", ("0.00%", "0.00%")),
        ("40000", "0", "40000", ("100.00%", "0.00%")),
        ("0.01", "0.01", "40000", ("0.60%", "0.60%")),
        ("39999.99", "0.01", "40000", ("100.00%", "0.00%")),
        ("0", "0", "0", ("0.00%", "0.00%")),
    ],
)
def test_a_gauge_shows_what_is_there_at_all_and_never_more_than_everything(
    spent: str, held: str, limit: str, widths: tuple[str, str]
) -> None:
    page = drawn("{% gauge spent held limit %}", spent=Decimal(spent), held=Decimal(held), limit=Decimal(limit))

    assert tuple(part.attrs["width"] for part in page.all("rect")) == widths


def test_a_gauge_says_its_numbers() -> None:
    page = drawn("{% gauge 10 5 40 'awarded,offered' %}")

    picture = page.one("svg", role="img")
    words = "$10.00 awarded and $5.00 offered of $40.00: 25 percent awarded, 12 percent offered, $25.00 left"
    assert (picture.attrs["aria-label"], picture.one("title").text) == (words, words)


def test_a_tier_has_its_word() -> None:
    tier = drawn("{% tier 'frontier' '92 % quality' %}").one("span")

    assert (tier.text, tier.attrs["class"]) == ("Frontier, 92 % quality", "tier frontier")


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=2), "2 s ago"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(days=5), "5 days ago"),
        (timedelta(seconds=-5), "0 s ago"),
    ],
)
def test_a_time_that_passed_is_said_in_words(passed: timedelta, words: str) -> None:
    assert drawn("{{ value|ago }}", value=timezone.now() - passed).one("time").text == words


def test_a_long_time_ago_is_a_date() -> None:
    assert drawn("{{ value|ago }}", value=datetime(2026, 3, 14, 9, 30, tzinfo=UTC)).text == "14 Mar 2026"
    assert drawn("{{ value|ago }}", value=None).text == "never"
    assert drawn("{{ value|moment }}", value=datetime(2026, 3, 14, 9, 30, tzinfo=UTC)).text == "14 Mar 2026, 09:30 UTC"


def test_as_of_names_the_day_only_when_it_is_not_today() -> None:
    assert drawn("{% as_of value %}", value=datetime(2026, 3, 14, 9, 30, tzinfo=UTC)).text == (
        "as of 14 Mar 2026, 09:30 UTC"
    )
    now = timezone.now()
    assert drawn("{% as_of value %}", value=now).text == f"as of {now:%H:%M:%S} UTC"


@pytest.mark.parametrize(
    ("value", "words"), [("12.55", "+12.6 %"), ("-20", "\N{MINUS SIGN}20 %"), ("0", "0 %"), ("0.04", "0 %")]
)
def test_a_change_has_its_sign(value: str, words: str) -> None:
    assert tags.signed_percent(Decimal(value)) == words


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Decimal("-12.500"), "-12.5"),
        (Decimal("1E-12"), "0.000000000001"),
        ("-12.5", "'-12.5"),
        ("=1+1", "'=1+1"),
        ("@home", "'@home"),
        ("plain", "plain"),
        (None, ""),
        (datetime(2026, 3, 14, 9, 30, tzinfo=UTC), "2026-03-14T09:30:00Z"),
    ],
)
def test_a_cell_keeps_its_digits_and_runs_nothing(cell: object, text: str) -> None:
    assert cell_text(cell) == text  # type: ignore[arg-type]
