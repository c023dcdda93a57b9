"""`manage.py verify` on the usage subledger: roll-ups, archive, partitions, and what a detached month leaves behind."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest

from ledger.checks import all_checks, breaches
from ledger.models import UsagePosting
from ledger.selectors import today
from ledger.services import usage_post
from teams.selectors import system_user
from tests.allocations.desk import Desk, open_desk
from tests.conftest import FreshDatabase
from tests.ledger.history import Used, call_at, last_month, noon, open_year_from_last_month, period_to

Owner = psycopg.Connection


@pytest.fixture
def desk(fresh_database: FreshDatabase, owner_connection: Owner) -> Desk:
    """Calls in the last month, which is closed, and in this one; all of it posted."""
    open_year_from_last_month(system_user())
    desk = open_desk()
    for day in (last_month(), last_month() + timedelta(days=1), today()):
        call_at(owner_connection, desk, noon(day, 0), Used(input=1_000_000, output=5, tags={"step": "read"}))
        call_at(owner_connection, desk, noon(day, 0), Used(input=2, overage=Decimal("0.000001")))
    usage_post(actor=desk.actor)
    period_to(owner_connection, last_month(), "closing", "closed")
    return desk


def found() -> list[tuple[int, str, str]]:
    return [(breach.promise, breach.check, breach.row) for breach in breaches()]


def by_hand(owner: Owner, *statements: str) -> None:
    """Write as somebody could who owns the schema."""
    for statement in statements:
        owner.execute(statement.encode())
    owner.commit()


def detach(owner: Owner) -> str:
    owner.execute("SELECT ledger_usage_detach(%s)", [last_month()])
    owner.commit()
    return f"ledger_usagerecord_{last_month():%Y_%m}"


def test_honest_books_are_clean_before_and_after_a_month_is_detached(desk: Desk, owner_connection: Owner) -> None:
    assert found() == []
    before = len(all_checks())

    partition = detach(owner_connection)

    assert found() == []
    assert [check.name for check in all_checks() if partition in check.name] == [f"{partition} is as it was detached"]
    assert len(all_checks()) == before + 1


TAMPERED: dict[str, tuple[str, list[str]]] = {
    "an hour": (
        "UPDATE ledger_usagehour SET charged = charged + 1, cost = cost + 1 WHERE tags <> '{}' AND hour >= {today}",
        ["hours are the sums of their records", "days are the sums of their hours", "posted usage is in the hours"],
    ),
    "a token count of an hour": (
        "UPDATE ledger_usagehour SET output_tokens = output_tokens + 1 WHERE tags <> '{}' AND hour >= {today}",
        ["hours are the sums of their records", "days are the sums of their hours"],
    ),
    "a day": (
        "UPDATE ledger_usageday SET records = records - 1 WHERE tags <> '{}' AND day = {today}",
        ["days are the sums of their hours"],
    ),
    "a missing hour of a month before": (
        "DELETE FROM ledger_usagehour WHERE tags <> '{}' AND hour < {today} - interval '2 days'",
        [
            "hours are the sums of their records",
            "hours are the sums of their records",
            "days are the sums of their hours",
            "days are the sums of their hours",
            "posted usage is in the hours",
            "posted usage is in the hours",
        ],
    ),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_changed_sum_is_found(desk: Desk, owner_connection: Owner, what: str) -> None:
    statement, checks = TAMPERED[what]

    by_hand(owner_connection, statement.replace("{today}", f"'{today()}'::date"))

    assert [check for _, check, _ in found()] == checks


def test_what_was_just_settled_may_wait_for_the_next_run(desk: Desk, owner_connection: Owner) -> None:
    call_at(owner_connection, desk, noon(today(), 0), Used(input=7))

    assert found() == []


def test_a_detached_month_is_tied_by_its_archive(desk: Desk, owner_connection: Owner) -> None:
    partition = detach(owner_connection)

    by_hand(
        owner_connection,
        f"ALTER TABLE {partition} DISABLE TRIGGER append_only_row",
        f"UPDATE {partition} SET cost = cost + 1, charged = charged + 1 WHERE output_tokens = 5",  # noqa: S608 - our table
        f"ALTER TABLE {partition} ENABLE ALWAYS TRIGGER append_only_row",
    )
    assert [check for _, check, _ in found()] == [f"{partition} is as it was detached"]

    by_hand(
        owner_connection,
        "ALTER TABLE ledger_usagearchive DISABLE TRIGGER append_only_row",
        "DELETE FROM ledger_usagearchive",
        "ALTER TABLE ledger_usagearchive ENABLE ALWAYS TRIGGER append_only_row",
    )
    checks = {check for _, check, _ in found()}
    assert "every detached month is in the archive" in checks
    assert "what a line spent is its usage" in checks


def test_hours_of_a_detached_month_are_the_evidence_and_cannot_be_changed_unnoticed(
    desk: Desk, owner_connection: Owner
) -> None:
    detach(owner_connection)

    by_hand(owner_connection, "UPDATE ledger_usagehour SET charged = charged - 1, cost = cost - 1 WHERE records = 1")

    assert {check for _, check, _ in found()} >= {
        "what was detached is in the hours",
        "posted usage is in the hours",
        "what a line spent is its usage",
        "what a key spent is its usage",
    }


GUARDS: dict[str, Callable[[str], str]] = {
    "its append-only triggers are missing or switched off": "ALTER TABLE {} DISABLE TRIGGER append_only_row".format,
    "tank_app may change it": "GRANT DELETE ON {} TO tank_app".format,
}


@pytest.mark.parametrize("fault", GUARDS)
@pytest.mark.parametrize("partition", ["ledger_usagerecord_other", "of the last month"])
def test_every_partition_has_its_own_guards(desk: Desk, owner_connection: Owner, partition: str, fault: str) -> None:
    name = partition if partition.startswith("ledger") else f"ledger_usagerecord_{last_month():%Y_%m}"

    by_hand(owner_connection, GUARDS[fault](name))

    assert found() == [(4, "history cannot be changed", f"{name}: {fault}")]


def test_rights_on_sums_are_found(desk: Desk, owner_connection: Owner) -> None:
    by_hand(owner_connection, "GRANT UPDATE ON ledger_usageday TO tank_app")

    assert found() == [
        (4, "sums and balances are written by the database alone", "ledger_usageday: tank_app may change it")
    ]


def test_a_posting_for_usage_that_is_not_there_is_found_in_both_places(desk: Desk, owner_connection: Owner) -> None:
    last = UsagePosting.objects.latest("hour")
    by_hand(
        owner_connection,
        "ALTER TABLE ledger_usageposting DISABLE TRIGGER append_only_row",
        f"UPDATE ledger_usageposting SET records = records + 1 WHERE id = {last.pk}",  # noqa: S608 - a number
        "ALTER TABLE ledger_usageposting ENABLE ALWAYS TRIGGER append_only_row",
    )

    rows = found()

    assert [check for _, check, _ in rows] == [
        "the seal chain is whole",
        "posted usage is in the subledger",
        "posted usage is in the hours",
    ]
    [seal] = [breach for breach in breaches() if breach.check == "the seal chain is whole"]
    assert seal.words == "The journal balances and never changes"
    assert seal.look.endswith(f"/ledger/journal/J-{last.entry_id}/")
