"""The finance overview: where the year's money is, how fast it goes, and what waits; every figure to the last digit."""

import csv
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from ledger.models import (
    Account,
    AccountClass,
    Correction,
    EntryKind,
    FiscalYear,
    Period,
    PeriodReopening,
    RateSource,
    UsageDay,
    UsageRecord,
)
from ledger.money import usd
from ledger.selectors import spend, today
from ledger.selectors.year import waterfall, year_burn, year_figures, year_figures_by_currency
from ledger.services import Leg, account_open, entry_post, fiscal_year_open, rate_propose, usage_post, usage_roll
from ledger.services.currency import exchange_rate_record, reserve_convert
from ledger.waiting import of_the_ledger, register, things_waiting
from tests.budget import Budget
from tests.cast import Company
from tests.pages import assert_readable, page_of, rows

pytestmark = pytest.mark.django_db


def lines_of(response: Any) -> list[list[str]]:
    return list(csv.reader(b"".join(response.streaming_content).decode().splitlines()))


def dollars_of(*amounts: int) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, amounts))


def post(company: Company, kind: EntryKind, debit: Account, credit: Account, amount: str) -> None:
    key = f"{kind}:{amount}"
    legs = [Leg(debit, Decimal(amount)), Leg(credit, -Decimal(amount))]
    entry_post(actor=company.system, kind=kind, source="test", key=key, legs=legs)


def test_the_waterfall_goes_from_the_authority_to_zero(budget: Budget) -> None:
    budget.past_call(40)
    usage_post(actor=budget.company.system)
    metered, billed = Account.objects.get(code="metered:sandbox"), Account.objects.get(code="billed:sandbox")
    variance = Account.objects.get(code="variance:sandbox")
    accrued = account_open(code="accrued:sandbox", name="Accrued: sandbox", account_class=AccountClass.ACCRUED)
    post(budget.company, EntryKind.BILLED, billed, metered, "25")
    post(budget.company, EntryKind.OVERAGE, metered, variance, "3")
    post(budget.company, EntryKind.ACCRUAL, accrued, metered, "7.25")

    figures = year_figures()
    page = budget.company.client(budget.company.hana).get("/ledger/")

    assert figures is not None
    assert (figures.funded, figures.reserve, figures.promised, figures.used) == dollars_of(1000, 400, 560, 40)
    assert figures.other_years == 0
    assert rows(page, "Where it is, table") == [
        ["Budget authority", "$1,000.00", "$1,000.00"],
        ["In the reserve", "−$400.00", "$600.00"],  # noqa: RUF001
        ["In pools", "−$150.00", "$450.00"],  # noqa: RUF001
        ["Committed, not released", "$0.00", "$450.00"],
        ["Available on lines", "−$410.00", "$40.00"],  # noqa: RUF001
        ["Spent, not yet billed", "−$10.75", "$29.25"],  # noqa: RUF001
        ["Accrued", "−$7.25", "$22.00"],  # noqa: RUF001
        ["Billed", "−$25.00", "−$3.00"],  # noqa: RUF001
        ["Variance", "$3.00", "$0.00"],
        ["Not accounted for", "$0.00", "$0.00"],
    ]


def test_the_waterfall_is_a_plot_a_table_and_a_csv_of_the_same_numbers(budget: Budget) -> None:
    budget.call(tokens=41)
    usage_post(actor=budget.company.system)
    client = budget.company.client(budget.company.jo)

    page, exported = client.get("/ledger/"), lines_of(client.get("/ledger/year.csv"))
    figure = json.loads(page_of(page).one("script", id="waterfall").text)["figure"]

    name = f"FY{today().year}"
    assert exported[0] == ["fiscal_year", "currency", "step", "label", "amount", "left", "as_of"]
    assert exported[1][:6] == [name, "USD", "authority", "Budget authority", "1000", "1000"]
    assert exported[6][:6] == [name, "USD", "metered", "Spent, not yet billed", "-0.000041", "0"]
    assert exported[-1][2:6] == ["rest", "Not accounted for", "0", "0"]
    used, kept, given = figure["data"]
    assert (used["x"], used["base"]) == (["0.000041", "0", "0", "0"], ["0", "0", "0", "0"])
    assert (kept["x"], kept["base"]) == (["400", "150", "0", "449.999959"], ["600", "450", "450", "0.000041"])
    assert (given["y"], given["x"], given["base"]) == (["Budget authority"], ["1000"], ["0"])


def test_another_year_is_not_counted_but_for_what_the_providers_accounts_hold(budget: Budget) -> None:
    company, day = budget.company, today()
    budget.call()
    usage_post(actor=company.system)
    later = fiscal_year_open(actor=company.system, first_day=date(day.year + 1, 1, 1))
    reserve, authority = (Account.objects.get(code=f"{name}:{later.name}") for name in ("reserve", "authority"))
    line = account_open(code="line:old", name="Old", account_class=AccountClass.LINE, fiscal_year=later)
    pool = account_open(code="pool:old", name="Old", account_class=AccountClass.POOL, fiscal_year=later)
    committed = account_open(code="committed:old", name="Old", account_class=AccountClass.COMMITTED, fiscal_year=later)
    post(company, EntryKind.FUND, reserve, authority, "500")
    post(company, EntryKind.POOL_OPEN, pool, reserve, "100")
    post(company, EntryKind.AWARD, committed, pool, "60")
    post(company, EntryKind.RELEASE, line, committed, "60")
    post(company, EntryKind.USAGE, Account.objects.get(code="metered:sandbox"), line, "15")

    figures = year_figures()

    assert figures is not None
    assert (figures.funded, figures.reserve, figures.pools, figures.lines, figures.used) == dollars_of(
        1000, 400, 150, 449, 1
    )
    assert (figures.metered, figures.other_years) == dollars_of(16, 15)
    others, rest = waterfall(figures)[-2:]
    assert (others.name, rest.name) == ("other_years", "rest")
    assert (others.amount, others.left, rest.left) == dollars_of(15, 0, 0)
    page = company.client(company.hana).get("/ledger/")
    assert [row[0] for row in rows(page, "Pools, table")] == ["Round Q1"]


def test_other_currencies_have_rows_of_their_own(budget: Budget) -> None:
    company, year = budget.company, FiscalYear.objects.get()
    exchange_rate_record(
        actor=company.lou, base="USD", quote="EUR", valid_on=today(), rate=Decimal("0.9"), source="ECB"
    )
    reserve_convert(actor=company.hana, year=year, amount=usd("100"), into="EUR", reason="Paris pays in euro", key="1")

    dollars, euros = year_figures_by_currency()
    page = company.client(company.hana).get("/ledger/")

    assert (dollars.currency, euros.currency) == ("USD", "EUR")
    assert (dollars.authority, dollars.converted, dollars.reserve) == dollars_of(1000, -100, 300)
    assert (dollars.used, waterfall(dollars)[-1].left) == dollars_of(0, 0)
    assert (euros.funded, euros.reserve, euros.used, waterfall(euros)[-1].left) == dollars_of(90, 90, 0, 0)
    assert rows(page, "Other currencies, table") == [
        ["EUR", "€90.00", "€90.00", "€0.00", "€0.00", "€0.00", "€0.00"],
    ]
    assert ["Converted from other currencies", "−$100.00", "$900.00"] in rows(page, "Where it is, table")  # noqa: RUF001


def test_the_burn_adds_up_days_to_what_the_quotas_say(budget: Budget) -> None:
    budget.past_call(7, days=3)
    budget.past_call(14, days=40)
    usage_roll()
    budget.call(tokens=1_000_000)
    figures = year_figures()

    assert figures is not None
    burn = year_burn(figures)

    year, now = figures.year, today()
    place = (now - year.starts_on).days
    length = (year.ends_on - year.starts_on).days + 1
    assert burn.spent == 22
    assert burn.days[place].used == 22
    assert burn.plan == Decimal(1000) * (place + 1) / length
    assert burn.days[-1].plan == 1000
    assert burn.pace == Decimal(8) / 7
    # 978 dollars at 8 dollars a week: 855.75 days.
    assert burn.runs_out_on == now + timedelta(days=856)
    assert not burn.is_early


def test_money_that_runs_out_before_the_year_is_an_alarm(budget: Budget) -> None:
    budget.past_call(280, days=1)
    page = page_of(budget.company.client(budget.company.hana).get("/ledger/"))
    exported = lines_of(budget.company.client(budget.company.hana).get("/ledger/year-burn.csv"))

    # 720 dollars at 40 a day.
    day = today() + timedelta(days=18)
    words = page.one("main").text
    if day < FiscalYear.objects.get().ends_on:
        assert f"runs out early Lasts until {day:%-d %b %Y} at this pace" in words
    else:
        assert f"Lasts beyond the year at this pace, until {day:%-d %b %Y}" in words
    assert exported[0] == ["day", "currency", "spent", "spent_so_far", "plan", "forecast"]
    row = next(line for line in exported if line[0] == today().isoformat())
    assert (row[1:4], row[5]) == (["USD", "0", "280"], "280")


def test_days_that_are_rolled_up_are_read_from_the_roll_up_and_the_rest_from_records(budget: Budget) -> None:
    lines = Account.objects.filter(line__allocation=budget.claims)
    budget.past_call(3, days=5)
    budget.past_call(5, days=5, hours=1, key=budget.test)
    budget.past_call(2, hours=3)
    usage_post(actor=budget.company.system)
    budget.call()

    spent = sum(spend.charged_by_day(lines).values())
    assert spent == sum(quota.spent for quota in [budget.line.quota]) == 11

    # What is rolled up stays when its records have been detached; what came since is still counted.
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE")
        cursor.execute("ALTER TABLE ledger_usagerecord DISABLE TRIGGER USER")
        cursor.execute("DELETE FROM ledger_usagerecord WHERE settled_at < now() - interval '2 days'")
        cursor.execute("ALTER TABLE ledger_usagerecord ENABLE ALWAYS TRIGGER append_only_row")
        cursor.execute("SET ROLE tank_app")
    assert UsageRecord.objects.count() == 2
    assert sum(spend.charged_by_day(lines).values()) == 11
    assert UsageDay.objects.count() > 0


def test_the_last_day_of_a_key_is_exact_at_both_ends(budget: Budget) -> None:
    lines = Account.objects.filter(line__allocation=budget.claims)
    for hours in (25, 23, 10, 1):
        budget.past_call(hours, hours=hours)
    usage_roll()
    budget.past_call(100)
    with connection.cursor() as cursor:
        cursor.execute("SELECT now() - interval '24 hours'")
        since = cursor.fetchone()[0]

    assert spend.use_by_key(lines, since=since)[budget.prod.pk] == spend.KeyUse(4, Decimal(134))


def test_what_is_not_posted_yet_is_known_exactly(budget: Budget) -> None:
    lines = Account.objects.filter(line__allocation=budget.claims)
    budget.past_call(4, days=2)
    assert spend.charged_not_posted(lines) == 4

    usage_post(actor=budget.company.system)
    assert spend.charged_not_posted(lines) == 0

    budget.call()
    assert spend.charged_not_posted(lines) == 1


def test_everything_that_waits_for_a_decision_is_listed_with_its_page(budget: Budget) -> None:
    company = budget.company
    rate_propose(
        actor=company.ivo,
        model=budget.model,
        source=RateSource.PUBLISHED,
        input_price=Decimal(2),
        output_price=Decimal(2),
    )
    budget.till.admit(budget.prod, budget.line, "2.5")
    budget.till.die()
    entry = budget.line.account.postings.first()
    assert entry is not None
    correction = Correction.objects.create(
        reverses=entry.entry, reason="Released twice", effective_on=today(), proposed_by=company.hana
    )
    period = Period.objects.get(starts_on=today().replace(day=1))
    PeriodReopening.objects.create(period=period, reason="A late bill", asked_by=company.hana)

    page = page_of(company.client(company.lou).get("/ledger/"))
    at_home = page_of(company.client(company.jo).get("/"))

    listed = [item.text for item in page.one("ul", class_="todo").all("li")]
    over = today().month - 1
    to_close = {
        0: [],
        1: [f"Close period {today().year}-01 It is over"],
    }.get(over, [f"Close {over} periods {today().year}-01 to {today().year}-{over:02d} are over"])
    assert listed == [
        "1 proposed price to approve Rate card",
        f"Decide on the reversal of {entry.entry} ({correction}) Hana Example: Released twice",
        f"Decide on reopening period {period} Hana Example: A late bill",
        *to_close,
        "$2.50 unsettled on 1 line Held by calls whose process went away",
    ]
    links = {link.text: link.attrs["href"] for link in page.one("ul", class_="todo").all("a")}
    assert links["1 proposed price to approve"] == "/ledger/rates/"
    assert links[f"Decide on the reversal of {entry.entry} ({correction})"] == f"/ledger/corrections/{correction}/"
    assert links[f"Decide on reopening period {period}"] == f"/ledger/periods/{period}/"
    assert links["$2.50 unsettled on 1 line"] == "/allocations/unsettled/"
    # An auditor decides nothing.
    assert [item.text for item in at_home.one("ul", class_="todo").all("li")] == [listed[-1]]


def test_a_source_that_is_registered_again_says_its_things_once(budget: Budget) -> None:
    before = list(things_waiting())
    register(of_the_ledger)

    assert list(things_waiting()) == before


def test_a_year_without_a_dollar_spent_says_so(budget: Budget) -> None:
    page = budget.company.client(budget.company.hana).get("/ledger/")

    assert "Nothing was spent yet." in page_of(page).one("main").text
    assert page_of(page).one("div", class_="big").text == "$400.00 of $1,000.00"
    assert_readable(page)


def test_before_the_first_funding_there_is_nothing_to_plot(company: Company) -> None:
    client = company.client(company.hana)

    page = page_of(client.get("/ledger/"))

    assert not page.all("figure")
    assert lines_of(client.get("/ledger/year.csv"))[1:] == []
    assert lines_of(client.get("/ledger/year-burn.csv"))[1:] == []
