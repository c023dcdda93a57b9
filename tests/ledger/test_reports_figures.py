"""What the reports say of a small company, to the last digit, and that it ties to the ledger.

Claims: 2.50 + 1.300001 on tank-small, 1 + 0.90 + 1.50 = 3.40 on tank-big. Fraud: 2 and 50 on tank-small, of which the
line held 50 together, so 2 are overage.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from allocations.metering.types import Tokens
from ledger.models import Account, EntryKind, JournalEntry, Period, Tier
from ledger.months import month_of
from ledger.reports.base import Choice, Report, Tie, report_of
from ledger.selectors import today
from ledger.services import usage_post
from ledger.services.posting import Leg, entry_post
from tests.budget import Budget
from tests.ledger.calls import Usage, usage
from tests.pages import page_of, rows

__all__ = ["usage"]
pytestmark = pytest.mark.django_db

WHOLE = Decimal("59.200001")
LINES = Decimal("57.200001")


def now() -> Choice:
    first, last = month_of(today())
    return Choice(first, last, datetime.now(UTC))


def named(slug: str) -> Report:
    found = report_of(slug)
    assert found is not None
    return found


def cells(slug: str, choice: Choice, usage: Usage) -> list[tuple[Any, ...]]:
    return [tuple(row.cells) for row in named(slug).rows(choice, usage.budget.company.hana)]


def ties(slug: str, choice: Choice) -> dict[str, Tie]:
    return {tie.label: tie for tie in named(slug).ties(choice)}


def sums(slug: str, choice: Choice) -> list[tuple[Any, ...]]:
    """Return label, reported figure and difference of each tie."""
    return [(tie.label, tie.reported, tie.difference) for tie in named(slug).ties(choice)]


def test_a_chargeback_statement_has_a_row_per_token_class_and_sums_to_the_cost(usage: Usage) -> None:
    usage_post(actor=usage.budget.company.system)

    found = cells("chargeback", now(), usage)

    claims, fraud = usage.budget.claims.number, usage.budget.fraud.number
    small = ("CC-100", "Claims", f"line:{claims}:standard", "sandbox", "tank-small")
    big = ("CC-100", "Claims", f"line:{claims}:frontier", "sandbox", "tank-big")
    other = ("CC-200", "Fraud", f"line:{fraud}:economy", "sandbox", "tank-small")
    assert found == [
        (*big, "Input, uncached", 100_000, 10, 1),
        (*big, "Cache read", 900_000, 1, Decimal("0.9")),
        (*big, "Output, with reasoning", 50_000, 30, Decimal("1.5")),
        (*small, "Input, uncached", 2_000_001, 1, Decimal("2.000001")),
        (*small, "Output, with reasoning", 600_000, 3, Decimal("1.8")),
        (*other, "Input, uncached", 52_000_000, 1, 52),
    ]
    assert sum(row[-1] for row in found) == WHOLE
    assert sums("chargeback", now()) == [
        ("Cost", WHOLE, 0),
        ("Charged to allocation lines", LINES, 0),
        ("Beyond what lines held", 2, 0),
    ]


def test_usage_that_is_not_posted_yet_is_said_and_is_no_alarm(usage: Usage) -> None:
    cost = ties("chargeback", now())["Cost"]

    assert [cost.reported, cost.in_ledger] == [WHOLE, 0]
    assert cost.explained == "$59.2000 was not posted yet: the ledger gets usage every hour."


def test_what_nothing_explains_is_an_alarm(usage: Usage) -> None:
    company, line = usage.budget.company, usage.budget.line.account
    usage_post(actor=company.system)
    metered = Account.objects.get(code="metered:sandbox")
    legs = [Leg(metered, Decimal(7)), Leg(line, Decimal(-7))]
    entry_post(actor=company.system, kind=EntryKind.USAGE, source="test", key="stray", legs=legs)

    page = company.client(company.hana).get("/ledger/reports/chargeback/")

    alarms = [note.text for note in page_of(page).all("div", role="alert")]
    assert alarms[0] == (
        "Cost: $59.2000 ; Metered accounts of the ledger: $66.2000 ; difference −$7.00 . "  # noqa: RUF001
        "Nothing explains it: tell finance and a platform admin."
    )


def test_a_team_s_part_ties_to_its_lines(usage: Usage) -> None:
    usage_post(actor=usage.budget.company.system)
    choice = replace(now(), team=usage.budget.company.claims)

    assert sum(row[-1] for row in cells("chargeback", choice, usage)) == Decimal("7.200001")
    assert sums("chargeback", choice) == [("Charged to allocation lines", Decimal("7.200001"), 0)]
    narrower = replace(now(), unit=usage.budget.company.insurance, tier=Tier.FRONTIER)
    assert sums("chargeback", narrower) == [("Charged to allocation lines", Decimal("3.4"), 0)]


@pytest.mark.parametrize(
    ("filters", "cost"),
    [
        ({"model": "tank-big"}, Decimal("3.4")),
        ({"provider": "sandbox"}, WHOLE),
        ({"tag": "workflow"}, Decimal("7.200001")),
        ({"tag": "workflow", "tag_value": "sort"}, Decimal("3.800001")),
        ({"tag": "nothing"}, 0),
        ({"tier": "economy"}, 52),
        ({"unit": "security"}, 52),
        ({"from": "2020-01-01", "to": "2020-12-31"}, 0),
    ],
)
def test_each_filter_narrows(usage: Usage, filters: dict[str, str], cost: Decimal) -> None:
    client = usage.budget.company.client(usage.budget.company.hana)

    data = b"".join(client.get("/ledger/reports/chargeback.json", filters).streaming_content)  # type: ignore[attr-defined]

    found = json.loads(data)
    assert sum(Decimal(row["cost"]) for row in found["rows"]) == cost
    assert filters.items() <= found["filters"].items()


def test_showback_by_team_has_calls_and_shares(usage: Usage) -> None:
    assert cells("showback-teams", now(), usage) == [
        ("Fraud", "Security", "CC-200", 2, 52_000_000, 0, 52, 50, 2, Decimal("87.837836354091")),
        (
            "Claims",
            "Insurance",
            "CC-100",
            3,
            3_000_001,
            650_000,
            Decimal("7.200001"),
            Decimal("7.200001"),
            0,
            Decimal("12.162163645909"),
        ),
    ]


def test_showback_by_tag_groups_by_all_tags_or_by_one_and_keeps_what_has_none(usage: Usage) -> None:
    by_all = [(row[1], row[5]) for row in cells("showback-tags", now(), usage)]
    by_one = [(row[1], row[5]) for row in cells("showback-tags", replace(now(), tag="workflow"), usage)]
    sort = cells("showback-tags", replace(now(), tag="workflow", tag_value="sort"), usage)

    assert by_all == [
        ("without tags", 52),
        ("workflow=letter", Decimal("3.4")),
        ("step=1, workflow=sort", Decimal("2.5")),
        ("step=2, workflow=sort", Decimal("1.300001")),
    ]
    assert by_one == [
        ("without workflow", 52),
        ("workflow=sort", Decimal("3.800001")),
        ("workflow=letter", Decimal("3.4")),
    ]
    assert [(row[1], row[5]) for row in sort] == [("workflow=sort", Decimal("3.800001"))]


def test_unit_economics_are_per_call_and_per_thousand_output_tokens(usage: Usage) -> None:
    choice = replace(now(), tag="workflow", team=usage.budget.company.claims)

    assert cells("unit-economics", choice, usage) == [
        ("Claims", "workflow=sort", 2, 600_000, Decimal("3.800001"), Decimal("1.9000005"), Decimal("0.006333335")),
        ("Claims", "workflow=letter", 1, 50_000, Decimal("3.4"), Decimal("3.4"), Decimal("0.068")),
    ]
    without_output = cells("unit-economics", replace(now(), team=usage.budget.company.fraud), usage)
    assert without_output == [("Fraud", "without tags", 2, 0, 52, 26, None)]


def test_savings_compare_with_no_cache_and_with_the_dearest_tier_that_the_team_used(usage: Usage) -> None:
    assert cells("savings", now(), usage) == [
        # 10 x 1,000,000 + 30 x 50,000 without caches; already at its dearest tier.
        (
            "Claims",
            "tank-big",
            "Frontier",
            1_050_000,
            Decimal("3.4"),
            Decimal("11.5"),
            Decimal("8.1"),
            Decimal("3.4"),
            0,
        ),
        # 10 x 2,000,001 + 30 x 600,000 on the dearest tier.
        (
            "Claims",
            "tank-small",
            "Standard",
            2_600_001,
            Decimal("3.800001"),
            Decimal("3.800001"),
            0,
            Decimal("38.00001"),
            Decimal("34.200009"),
        ),
        ("Fraud", "tank-small", "Standard", 52_000_000, 52, 52, 0, 52, 0),
    ]


def test_unattributed_spend_is_what_has_no_tag_and_what_lines_did_not_hold(usage: Usage) -> None:
    usage_post(actor=usage.budget.company.system)

    found = cells("unattributed", now(), usage)

    assert found == [
        ("No tags", "Fraud", "sandbox", "tank-small", 2, 50),
        ("Beyond what lines held", None, "sandbox", None, None, 2),
    ]
    first, second = named("unattributed").ties(now())
    assert [first.reported, first.in_ledger] == [50, LINES]
    assert first.explained == "With tags: 7.200001 USD."
    assert [second.reported, second.difference] == [2, 0]


def agree(budget: Budget) -> None:
    """Post usage, accrue 40 of it, agree 10 with the provider and write 5 off."""
    accounts = {a.code: a for a in Account.objects.filter(provider__name="sandbox")}
    usage_post(actor=budget.company.system)
    metered = accounts["metered:sandbox"]
    accrued, _ = Account.objects.get_or_create(
        code="accrued:sandbox",
        defaults={
            "name": "Accrued: sandbox",
            "account_class": "accrued",
            "currency": "USD",
            "no_overdraft": False,
            "provider": metered.provider,
        },
    )
    for kind, account, amount in (
        (EntryKind.ACCRUAL, accrued, 40),
        (EntryKind.BILLED, accounts["billed:sandbox"], 10),
        (EntryKind.DIFFERENCE, accounts["variance:sandbox"], 5),
    ):
        legs = [Leg(account, Decimal(amount)), Leg(metered, Decimal(-amount))]
        entry_post(
            actor=budget.company.system, kind=kind, source="test", key=kind, legs=legs, reason="Agreed with them"
        )


def test_accruals_go_from_clearing_balance_to_clearing_balance(usage: Usage) -> None:
    agree(usage.budget)

    period = Period.objects.get(starts_on__lte=today(), ends_on__gte=today())
    left = WHOLE - 55
    assert cells("accruals", now(), usage) == [(str(period), "Open", "sandbox", 0, WHOLE, -10, -5, -40, left)]
    following = replace(now(), starts_on=period.ends_on + timedelta(1), ends_on=period.ends_on + timedelta(1))
    assert [row[3:] for row in cells("accruals", following, usage)] in ([(left, 0, 0, 0, 0, left)], [])
    assert sums("accruals", now()) == [("Clearing balance at the end", left, 0)]


def test_provider_reconciliation_shows_what_is_left_to_agree(usage: Usage) -> None:
    agree(usage.budget)

    left = WHOLE - 55
    month = f"{today():%Y-%m}"
    assert cells("provider-reconciliation", now(), usage) == [
        (month, "sandbox", WHOLE, WHOLE, -10, -5, -40, left, left)
    ]
    found = ties("provider-reconciliation", now())
    assert {label: tie.difference for label, tie in found.items()} == dict.fromkeys(found, 0)
    assert found["Clearing balance at the end"].reported == left


def test_variance_that_was_written_off_is_unattributed(usage: Usage) -> None:
    agree(usage.budget)

    assert cells("unattributed", now(), usage)[-1] == (
        "Variance: Difference attributed",
        None,
        "sandbox",
        None,
        None,
        5,
    )


def test_the_journal_has_every_posting_and_its_debits_are_its_credits(usage: Usage) -> None:
    usage.budget.seal()

    found = cells("journal", now(), usage)

    assert len(found) == sum(entry.postings.count() for entry in JournalEntry.objects.all())
    pool = JournalEntry.objects.get(kind=EntryKind.POOL_OPEN)
    lines = [row for row in found if row[0] == str(pool)]
    assert [(row[4], row[5], row[6]) for row in lines] == [
        (f"reserve:FY{today().year}", None, 600),
        ("pool:q1", 600, None),
    ]
    assert {(row[3], row[9], row[12]) for row in lines} == {("Pool opened", "Round opens", pool.seal.seq)}
    assert sums("journal", now()) == [("Debits", 2500, 0)]


def test_a_statement_runs_from_opening_to_closing_balance_and_ties_to_the_stored_one(usage: Usage) -> None:
    choice = replace(now(), account=usage.budget.pool)

    found = cells("account-statement", choice, usage)

    assert [(row[2], row[6], row[7], row[8]) for row in found] == [
        ("Opening balance", None, None, 0),
        ("Pool opened", 600, None, 600),
        ("Award accepted", None, 400, 200),
        ("Award accepted", None, 50, 150),
        ("Closing balance", None, None, 150),
    ]
    assert sums("account-statement", choice) == [("Closing balance", 150, 0)]
    later = replace(choice, starts_on=today() + timedelta(1), ends_on=today() + timedelta(1))
    assert [row[8] for row in cells("account-statement", later, usage)] == [150, 150]
    assert cells("account-statement", now(), usage) == []


def test_as_of_yesterday_nothing_had_happened(usage: Usage) -> None:
    usage_post(actor=usage.budget.company.system)
    choice = replace(now(), as_of=datetime.now(UTC) - timedelta(days=1), account=usage.budget.pool)

    for slug in ("chargeback", "showback-teams", "trial-balance", "journal", "accruals", "usage-records"):
        assert cells(slug, choice, usage) == [] or slug == "accruals"
    assert [row[8] for row in cells("account-statement", choice, usage)] == [0, 0]
    for slug in ("chargeback", "account-statement", "accruals", "provider-reconciliation"):
        assert [tie.difference for tie in named(slug).ties(choice)] == [0] * len(named(slug).ties(choice))


def test_a_figure_leads_to_its_calls_and_the_calls_sum_to_it(usage: Usage) -> None:
    client = usage.budget.company.client(usage.budget.company.hana)
    page = page_of(client.get("/ledger/reports/chargeback/"))

    link = next(link for link in page.one("main").all("a") if link.text == "$2.0000")
    behind = client.get(link.attrs["href"])

    table = rows(behind, "Usage records, table")
    assert [row[-2:] for row in table] == [["exact", "step=1, workflow=sort"], ["exact", "step=2, workflow=sort"]]
    assert [row[12] for row in table] == ["$2.50", "$1.3000"]


def test_a_report_asks_the_database_as_often_for_more_rows(usage: Usage) -> None:
    client = usage.budget.company.client(usage.budget.company.hana)
    slugs = ("chargeback", "showback-tags", "savings", "unattributed", "journal", "provider-reconciliation")
    usage_post(actor=usage.budget.company.system)
    before = [queries(client, slug) for slug in slugs]

    for n in range(3):
        usage.call(usage.budget.prod, usage.big, Tier.STANDARD, Tokens(input=n + 1), workflow=f"more {n}")
    usage_post(actor=usage.budget.company.system)

    assert [queries(client, slug) for slug in slugs] == before


def queries(client: Client, slug: str) -> int:
    client.get(f"/ledger/reports/{slug}/")
    with CaptureQueriesContext(connection) as asked:
        assert client.get(f"/ledger/reports/{slug}/").status_code == 200
    return len(asked)
