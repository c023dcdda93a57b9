"""FOCUS 1.4 Cost and Usage: an independent program finds the file valid, and its sum is what was charged."""

import csv
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum
from focus_data_toolkit import detect_focus_schema, lint_focus_1_4_structure

from ledger.models import Account, EntryKind, RateSource, UsageDay
from ledger.price_list import PriceStep
from ledger.selectors import today
from ledger.services import Leg, entry_post, rate_approve, rate_propose, usage_post
from teams.models import Role
from teams.selectors import system_user
from teams.services import role_grant, user_create
from tests.allocations.desk import Desk, open_desk
from tests.conftest import FreshDatabase
from tests.ledger.history import Used, call_at, last_month, month_end, noon, open_year_from_last_month, period_to

ALL_CLASSES = Used(
    input=1_000_001,
    cache_read=7,
    cache_write_5m=11,
    cache_write_1h=13,
    output=123_456,
    reasoning=17,
    tags={"workflow": "triage", "step": "=1+1"},
)
CONDITIONS = ("SupportsUnitPricing", "SupportsMultiplePricingCategories")


@pytest.fixture
def desk(fresh_database: FreshDatabase) -> Desk:
    open_year_from_last_month(system_user())
    return open_desk()


def exported(folder: Path, starts_on: Any, ends_on: Any) -> list[dict[str, str]]:
    file, said = folder / "focus.csv", StringIO()
    call_command("export_focus", "--from", str(starts_on), "--to", str(ends_on), "--out", str(file), stdout=said)
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def assert_valid(rows: list[dict[str, str]]) -> None:
    report = lint_focus_1_4_structure("Cost and Usage", rows, supported_conditions=CONDITIONS)
    assert [(v.column, v.rule, v.message) for v in report.violations] == []
    assert report.ok
    # Judged as a 1.4 file; which version a header looks like most is a guess, since the versions share columns.
    found = detect_focus_schema(list(rows[0]), dataset="Cost and Usage", version="1.4")
    assert (found.unknown_columns, found.additional_focus_columns) == ((), ())
    assert set(found.extension_columns) == {name for name in rows[0] if name.startswith("x_tank_")}


def step_at(above: int, dollars: int) -> PriceStep:
    price = Decimal(dollars)
    return PriceStep(above, price, price, price, price, price)


def billed(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))


def charged() -> Decimal:
    total: Decimal = UsageDay.objects.aggregate(total=Sum("charged"))["total"]
    return total


def test_each_token_class_is_a_row_and_the_sum_is_what_was_charged(
    desk: Desk, owner_connection: psycopg.Connection, tmp_path: Path
) -> None:
    call_at(owner_connection, desk, noon(today(), 0), ALL_CLASSES)
    usage_post(actor=desk.actor)

    rows = exported(tmp_path, today(), today())

    assert_valid(rows)
    told = [(row["SkuMeter"], row["ConsumedQuantity"], row["ListUnitPrice"], row["BilledCost"]) for row in rows]
    assert told == [
        ("Input Tokens", "1000001", "1", "1.000001"),
        ("Cache Read Input Tokens", "7", "1", "0.000007"),
        ("Cache Write Input Tokens (5m)", "11", "1", "0.000011"),
        ("Cache Write Input Tokens (1h)", "13", "1", "0.000013"),
        ("Output Tokens", "123456", "3", "0.370368"),
    ]
    assert billed(rows) == charged() == Decimal("1.3704")
    first = rows[0]
    assert (first["PricingQuantity"], first["PricingUnit"]) == ("1.000001", "1000000 Tokens")
    assert (first["ChargeCategory"], first["ChargeClass"], first["BillingCurrency"]) == ("Usage", "", "USD")
    assert first["ChargePeriodStart"] == f"{today()}T00:00:00Z"
    assert first["BillingPeriodStart"] == f"{today().replace(day=1)}T00:00:00Z"
    assert first["BillingPeriodEnd"] == f"{month_end(today()) + timedelta(days=1)}T00:00:00Z"
    assert first["Tags"] == '{"step": "=1+1", "workflow": "triage"}'
    assert (first["x_tank_team"], first["x_tank_line"], first["x_tank_tier"]) == (
        "blue",
        desk.line.account.code,
        "standard",
    )
    assert first["x_tank_cost_centre"] == desk.allocation.team.cost_centre


def test_overage_is_given_back_and_a_call_without_usage_is_there_at_its_bound(
    desk: Desk, owner_connection: psycopg.Connection, tmp_path: Path
) -> None:
    call_at(owner_connection, desk, noon(today(), 0), Used(output=1_000_000, overage=Decimal("0.25")))
    call_at(owner_connection, desk, noon(today(), 1), Used(cost=Decimal("0.5")))
    usage_post(actor=desk.actor)

    rows = exported(tmp_path, today(), today())

    assert_valid(rows)
    assert [(row["ChargeCategory"], row["BilledCost"], row["SkuMeter"]) for row in rows] == [
        ("Usage", "3", "Output Tokens"),
        ("Adjustment", "0.5", ""),
        ("Credit", "-0.25", ""),
    ]
    assert billed(rows) == charged() == Decimal("3.25")


def test_a_negotiated_price_stands_beside_the_published_one(
    desk: Desk, owner_connection: psycopg.Connection, tmp_path: Path
) -> None:
    published = rate_propose(
        actor=desk.actor,
        model=desk.model,
        source=RateSource.PUBLISHED,
        input_price=Decimal(2),
        output_price=Decimal(6),
        valid_from=noon(last_month()),
    )
    rate_approve(actor=desk.actor, rate=published)
    call_at(owner_connection, desk, noon(today(), 0), Used(input=500_000))
    usage_post(actor=desk.actor)

    [row] = exported(tmp_path, today(), today())

    assert_valid([row])
    assert (row["ListUnitPrice"], row["ListCost"], row["ContractedUnitPrice"], row["ContractedCost"]) == (
        "2",
        "1",
        "1",
        "0.5",
    )


def test_long_calls_stand_at_their_step_beside_the_published_step(
    desk: Desk, owner_connection: psycopg.Connection, tmp_path: Path
) -> None:
    rates = [
        rate_propose(
            actor=desk.actor,
            model=desk.model,
            source=source,
            input_price=Decimal(dollars),
            output_price=Decimal(dollars),
            further_steps=[step_at(100_000, dollars * 2)],
            valid_from=noon(last_month(), hour),
        )
        for source, dollars, hour in ((RateSource.PUBLISHED, 4, 1), (RateSource.NEGOTIATED, 3, 2))
    ]
    for rate in rates:
        rate_approve(actor=desk.actor, rate=rate)
    for step, tokens in zip(rates[1].steps, (100_000, 100_001), strict=True):
        call_at(owner_connection, replace(desk, rate=step), noon(today(), 0), Used(input=tokens))
    usage_post(actor=desk.actor)

    rows = exported(tmp_path, today(), today())

    assert_valid(rows)
    assert billed(rows) == charged() == Decimal("0.900006")
    assert [(row["ConsumedQuantity"], row["ContractedUnitPrice"], row["ListUnitPrice"]) for row in rows] == [
        ("100000", "3", "4"),
        ("100001", "6", "8"),
    ]


def test_usage_that_came_after_the_close_is_a_correction_in_the_month_that_took_it(
    desk: Desk, owner_connection: psycopg.Connection, tmp_path: Path
) -> None:
    first = last_month()
    on_time, mixed, late = noon(first), noon(first + timedelta(days=1)), noon(first + timedelta(days=2))
    call_at(owner_connection, desk, on_time, Used(input=1_000_000))
    call_at(owner_connection, desk, mixed, Used(input=2_000_000))
    usage_post(actor=desk.actor)
    period_to(owner_connection, first, "closing", "closed")
    call_at(owner_connection, desk, mixed, Used(input=4_000_000))
    call_at(owner_connection, desk, late, Used(input=8_000_000))
    usage_post(actor=desk.actor, since=on_time)

    rows = exported(tmp_path, first, month_end(first))

    assert_valid(rows)
    here, there = f"{first}T00:00:00Z", f"{today().replace(day=1)}T00:00:00Z"
    told = [(row["ChargePeriodStart"][8:10], row["BillingPeriodStart"], row["ChargeClass"]) for row in rows]
    assert told == [
        ("01", here, ""),
        ("02", here, ""),
        ("03", there, "Correction"),
        ("02", here, ""),
        ("02", there, "Correction"),
    ]
    assert [row["BilledCost"] for row in rows] == ["1", "6", "8", "-4", "4"]
    assert billed(rows) == charged() == 15
    # And what a month is billed is what its period has in the ledger.
    assert billed([row for row in rows if row["BillingPeriodStart"] == here]) == 3


def test_what_two_people_adjusted_is_there_with_its_reason(
    desk: Desk, owner_connection: psycopg.Connection, tmp_path: Path
) -> None:
    call_at(owner_connection, desk, noon(today(), 0), Used(input=1_000_000))
    usage_post(actor=desk.actor)
    second = user_create(actor=desk.actor, email="lou@acorn.example", name="Lou")
    role_grant(actor=desk.actor, user=second, role=Role.FINANCE)
    metered = Account.objects.get(code="metered:sandbox")
    for day, amount in ((last_month(), "0.5"), (today(), "-0.125")):
        entry_post(
            actor=desk.actor,
            kind=EntryKind.ADJUSTMENT,
            source="test",
            key=str(day),
            legs=[Leg(desk.line.account, Decimal(amount)), Leg(metered, -Decimal(amount))],
            effective_on=day,
            reason="The provider's\ncredit note 7",
            approved_by=second,
        )

    rows = exported(tmp_path, last_month(), today())

    assert_valid(rows)
    told = [(r["ChargeCategory"], r["ChargeClass"], r["BilledCost"], r["ServiceProviderName"]) for r in rows[1:]]
    # The period of the last month is still open and took its own adjustment: no correction of something billed.
    assert told == [("Adjustment", "", "-0.5", "sandbox"), ("Adjustment", "", "0.125", "sandbox")]
    assert rows[1]["ChargeDescription"].endswith(": The provider's credit note 7")
    assert rows[1]["x_tank_entry"].startswith("J-")
    assert billed(rows) == charged() - Decimal("0.375")


def test_a_day_without_usage_is_a_header_alone_and_bad_days_are_refused(desk: Desk, tmp_path: Path) -> None:
    assert exported(tmp_path, today(), today()) == []
    assert (tmp_path / "focus.csv").read_text().startswith("BilledCost,BillingAccountId,")
    with pytest.raises(CommandError, match=r"--to 2026-01-01 lies before --from 2026-01-02\."):
        call_command("export_focus", "--from", "2026-01-02", "--to", "2026-01-01")
