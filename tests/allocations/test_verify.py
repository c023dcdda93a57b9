"""`manage.py verify`: clean books are clean, and one changed byte is found and named."""

import asyncio
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from ledger.checks import breaches
from ledger.services import usage_post
from tests.allocations.desk import Desk, open_desk, wish
from tests.allocations.test_loop import metering
from tests.conftest import FreshDatabase


@pytest.fixture
def desk(fresh_database: FreshDatabase) -> Desk:
    desk = open_desk()
    chain = desk.chain

    async def run() -> None:
        async with metering(fresh_database) as loop:
            for _ in range(3):
                await loop.settle(await loop.admit(wish(chain, Decimal(2))), desk.facts())

    asyncio.run(run())
    usage_post(actor=desk.actor)
    return desk


def found() -> list[tuple[int, str]]:
    return [(breach.promise, breach.row) for breach in breaches()]


def tamper(connection: psycopg.Connection, table: str, statement: str, *parameters: Any) -> None:
    """Change history as somebody could who owns the schema: switch the guard off, write, switch it on again."""
    connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER append_only_row".encode())
    connection.execute(statement.encode(), parameters)
    connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER append_only_row".encode())
    connection.commit()


def test_honest_books_are_clean(desk: Desk) -> None:
    assert found() == []


def test_a_changed_reason_breaks_the_seal_of_its_entry(desk: Desk, owner_connection: psycopg.Connection) -> None:
    tamper(owner_connection, "ledger_journalentry", "UPDATE ledger_journalentry SET reason = 'X' WHERE id = 1")
    rows = [row for promise, row in found() if row.startswith("seal")]
    assert rows == ["seal 1 of entry 1: the entry, a posting or its usage posting was changed after it was sealed"]


def test_a_removed_seal_leaves_a_gap(desk: Desk, owner_connection: psycopg.Connection) -> None:
    tamper(owner_connection, "ledger_seal", "DELETE FROM ledger_seal WHERE seq = 2")
    assert (4, "entry 2 has no seal") in found()
    assert (4, "seal 3 of entry 3: a link before it is missing") in found()


def test_a_deleted_usage_record_is_missed_by_the_line_the_key_and_the_posting(
    desk: Desk, owner_connection: psycopg.Connection
) -> None:
    tamper(
        owner_connection,
        "ledger_usagerecord",
        "DELETE FROM ledger_usagerecord WHERE id = (SELECT max(id) FROM ledger_usagerecord)",
    )
    rows = [row.split(":")[0] for _, row in found()]
    assert rows == [
        f"line {desk.line.account_id}, provider {desk.model.provider_id}, {_hour()}",
        f"hour {_hour()}",
        "line line",
        f"key {desk.key.pk}",
    ]


def _hour() -> str:
    from ledger.models import UsagePosting

    row = UsagePosting.objects.latest("id")
    return f"{row.hour:%Y-%m-%d %H}"


def test_a_quota_that_was_filled_up_by_hand_is_found(desk: Desk, owner_connection: psycopg.Connection) -> None:
    owner_connection.execute('UPDATE allocations_quota SET "limit" = 60, spent = 2 WHERE line_id IS NOT NULL')
    owner_connection.commit()
    code = desk.line.account.code
    assert found() == [
        (1, f"line {code}: spent 2, its usage records say 3"),
        (4, f"line {code}: quota limit 60, the ledger released 50"),
    ]


def test_a_day_that_was_filled_up_by_hand_and_tokens_that_nobody_holds_are_found(
    desk: Desk, owner_connection: psycopg.Connection
) -> None:
    day = owner_connection.execute("SELECT allocations_window(%s, 'day', '2026-01-31')", (desk.key.pk,)).fetchone()
    assert day is not None
    owner_connection.execute("UPDATE allocations_quota SET spent = 0.5, tokens_spent = 7 WHERE id = %s", day)
    owner_connection.execute("UPDATE allocations_quota SET tokens_held = 9 WHERE key_id = %s", (desk.key.pk,))
    owner_connection.commit()
    assert found() == [
        (1, f"quota {desk.key_quota.pk}: held 0 and 9 tokens, its holds sum to 0 and 0 tokens"),
        (1, f"key {desk.key.pk}, day from 2026-01-31: spent 0.5 and 7 tokens, its usage says 0 and 0 tokens"),
    ]


def test_a_switched_off_guard_is_found(desk: Desk, owner_connection: psycopg.Connection) -> None:
    owner_connection.execute("ALTER TABLE ledger_posting DISABLE TRIGGER append_only_row")
    owner_connection.execute("GRANT UPDATE ON ledger_seal TO tank_app")
    owner_connection.commit()
    assert found() == [
        (4, "ledger_posting: its append-only triggers are missing or switched off"),
        (4, "ledger_seal: tank_app may change it"),
    ]
