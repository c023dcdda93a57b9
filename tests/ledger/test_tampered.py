"""One changed byte in what is sealed or derived, by somebody who owns the tables: `verify` names it, and where to look.

Everything happens in one transaction that is rolled back: the guard off, one column changed, the guard on, verify.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from psycopg import sql
from pytest_django import DjangoDbBlocker

from ledger.checks import PROMISES, Breach, breaches
from tests import databases
from tests.ledger.history import last_month
from tests.ledger.world import World, world_of_its_own

CHAIN = "the seal chain is whole"
# By table: the columns that a seal vouches for, each with another value, and the row.
SEALED: dict[str, tuple[str, dict[str, str]]] = {
    "ledger_journalentry": (
        "id = %(reversal)s",
        {
            "kind": "'grant', reverses_id = NULL",
            "source": "source || 'x'",
            "key": "key || 'x'",
            "fingerprint": "reverse(fingerprint)",
            "period_id": "%(earlier)s",
            "effective_on": "effective_on - 1",
            "recorded_at": "recorded_at + interval '1 microsecond'",
            "actor_id": "1",
            "approved_by_id": "1",
            "reason": "reason || '.'",
            "memo": "memo || '.'",
            "reverses_id": "%(adjustment)s",
        },
    ),
    "ledger_posting": (
        "entry_id = %(reversal)s AND amount > 0",
        {
            "id": "id + 100000",
            "entry_id": "%(adjustment)s",
            "account_id": "%(authority)s",
            "currency": "'EUR'",
            "amount": "amount + 0.000000000001",
            "balance_after": "balance_after + 0.000000000001",
            "account_version": "account_version + 1000",
        },
    ),
    "ledger_usageposting": (
        "entry_id = %(usage)s",
        {
            "entry_id": "%(reversal)s",
            "account_id": "%(pool)s",
            "provider_id": "provider_id + 1",
            "hour": "hour - interval '1 hour'",
            "records": "records + 1",
            "charged": "charged + 0.000000000001",
            "overage": "overage + 0.000000000001",
            "digest": "reverse(digest)",
        },
    ),
    "ledger_seal": (
        "entry_id = %(reversal)s",
        {
            "seq": "seq + 1000",
            "entry_id": "999999",
            "prev_hash": "set_byte(prev_hash, 0, get_byte(prev_hash, 0) # 1)",
            "hash": "set_byte(hash, 31, get_byte(hash, 31) # 1)",
        },
    ),
}
BYTES = [(table, column) for table, (_, columns) in SEALED.items() for column in columns]
# What stands outside of the chain: a statement, and the checks that miss what it took.
DERIVED: dict[str, tuple[str, str, set[str]]] = {
    "a balance": (
        "ledger_accountbalance",
        "UPDATE ledger_accountbalance SET debits = debits + 0.000000000001 WHERE account_id = %(pool)s",
        {"stored balances equal their postings"},
    ),
    "leave to overdraw": (
        "ledger_accountbalance",
        "UPDATE ledger_accountbalance SET no_overdraft = false WHERE account_id = %(pool)s",
        {"stored balances equal their postings"},
    ),
    "the class of an account": (
        "ledger_account",
        "UPDATE ledger_account SET account_class = 'line' WHERE id = %(committed)s",
        {"entries keep to the routes of their kind, and reversals mirror"},
    ),
    "one more route": (
        "ledger_routing",
        "INSERT INTO ledger_routing VALUES (999, 'award', 'line', 'reserve')",
        {"money goes the routes that the migrations wrote"},
    ),
    "a price": (
        "ledger_rate",
        "UPDATE ledger_rate SET input = input + 0.000001 WHERE id = %(rate)s",
        {"records cost what their rate says"},
    ),
    "an exchange rate": (
        "ledger_exchangerate",
        "UPDATE ledger_exchangerate SET rate = rate + 0.01",
        {"conversions went at the recorded rate"},
    ),
    "a leg of a correction": (
        "ledger_correctionleg",
        "UPDATE ledger_correctionleg SET amount = amount * 2 WHERE correction_id = %(adjusted)s",
        {"approved corrections are what was posted"},
    ),
    "who decided a correction": (
        "ledger_correction",
        "UPDATE ledger_correction SET decided_by_id = 1 WHERE id = %(decided)s",
        {"approved corrections are what was posted"},
    ),
    "tokens of a record": (
        "ledger_usagerecord",
        "UPDATE ledger_usagerecord SET input_tokens = input_tokens + 1 WHERE input_tokens > 0",
        {"records cost what their rate says", "hours are the sums of their records"},
    ),
    "the team of a record": (
        "ledger_usagerecord",
        "UPDATE ledger_usagerecord SET team_id = team_id + 1 WHERE input_tokens > 0",
        {"hours are the sums of their records"},
    ),
    "the tags of a record": (
        "ledger_usagerecord",
        "UPDATE ledger_usagerecord SET tags = '{}' WHERE input_tokens > 0",
        {"hours are the sums of their records"},
    ),
    "the id of a record": (
        "ledger_usagerecord",
        "UPDATE ledger_usagerecord SET request_id = gen_random_uuid() WHERE input_tokens > 0",
        {"posted usage is in the subledger"},
    ),
    "the team of an hour": (
        "ledger_usagehour",
        "UPDATE ledger_usagehour SET team_id = team_id + 1 WHERE hour >= (now() AT TIME ZONE 'UTC')::date",
        {"hours are the sums of their records", "days are the sums of their hours"},
    ),
    "the team of a day": (
        "ledger_usageday",
        "UPDATE ledger_usageday SET team_id = team_id + 1 WHERE day = (now() AT TIME ZONE 'UTC')::date",
        {"days are the sums of their hours"},
    ),
    "the tags of a day": (
        "ledger_usageday",
        "UPDATE ledger_usageday SET tags = '{}' WHERE day = (now() AT TIME ZONE 'UTC')::date",
        {"sums have the tags that they are kept under"},
    ),
    "a detached record": (
        f"ledger_usagerecord_{last_month():%Y_%m}",
        f"UPDATE ledger_usagerecord_{last_month():%Y_%m} SET cost = cost + 1, charged = charged + 1",  # noqa: S608
        {f"ledger_usagerecord_{last_month():%Y_%m} is as it was detached"},
    ),
    "the archive": (
        "ledger_usagearchive",
        "UPDATE ledger_usagearchive SET digest = reverse(digest)",
        {f"ledger_usagerecord_{last_month():%Y_%m} is as it was detached"},
    ),
    "a limit": (
        "allocations_quota",
        'UPDATE allocations_quota SET "limit" = "limit" + 0.000000000001 WHERE line_id IS NOT NULL',
        {"a line's limit is what the ledger released"},
    ),
}
SWITCHED_OFF = [
    ("ALTER TABLE ledger_period DISABLE TRIGGER period_guard", "trigger period_guard on ledger_period"),
    ("ALTER TABLE ledger_posting ENABLE TRIGGER posting_apply", "trigger posting_apply on ledger_posting"),
    ("ALTER TABLE ledger_posting DISABLE TRIGGER limit_follow", "trigger limit_follow on ledger_posting"),
    ("DROP TRIGGER rate_guard ON ledger_rate", "trigger rate_guard on ledger_rate"),
    ("ALTER TABLE ledger_journalentry DROP CONSTRAINT entry_idempotency_key", "constraint entry_idempotency_key"),
    ("ALTER TABLE ledger_accountbalance DROP CONSTRAINT account_not_overdrawn", "constraint account_not_overdrawn"),
]


@pytest.fixture(scope="module")
def world(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[World]:
    with world_of_its_own(server_databases, django_db_blocker) as world:
        yield world


@contextmanager
def as_the_owner(*tables: str) -> Iterator[None]:
    """Be the owner for a while, with every guard of some tables off, and undo all of it afterwards."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE NONE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        for table in tables:
            cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table)).as_string())
        yield
        transaction.set_rollback(True)


def found_after(table: str, statement: str, world: World) -> list[Breach]:
    with as_the_owner(table), connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table])
        triggers = [name for (name,) in cursor.fetchall()]
        cursor.execute(statement, world)
        assert cursor.rowcount > 0
        for name in triggers:
            text = sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}")
            cursor.execute(text.format(sql.Identifier(table), sql.Identifier(name)).as_string())
        return breaches()


@pytest.mark.parametrize(("table", "column"), BYTES, ids=[f"{table}.{column}" for table, column in BYTES])
def test_each_sealed_column_is_vouched_for(world: World, table: str, column: str) -> None:
    where, values = SEALED[table]
    with connection.cursor() as cursor:
        join = f"{table} t JOIN ledger_seal s ON s.entry_id = t.{_entry(table)}"
        cursor.execute(f"SELECT s.seq FROM {join} WHERE t.{where}", world)  # noqa: S608
        [(seq,)] = cursor.fetchall()

    found = found_after(table, f"UPDATE {table} SET {column} = {values[column]} WHERE {where}", world)  # noqa: S608

    chain = [breach for breach in found if breach.check == CHAIN]
    assert (chain[0].promise, chain[0].words) == (4, PROMISES[4])
    assert any(breach.row.startswith(f"seal {seq} of entry ") for breach in chain) or column == "seq"
    assert all("/ledger/journal/J-" in breach.look for breach in chain)


def _entry(table: str) -> str:
    return "id" if table == "ledger_journalentry" else "entry_id"


def test_no_column_of_what_is_sealed_is_left_out(world: World) -> None:
    """Only `xact`, which says nothing after its transaction, and the ids by which usage postings are ordered."""
    left_out = {("ledger_journalentry", "id"), ("ledger_journalentry", "xact"), ("ledger_usageposting", "id")}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attrelid::regclass::text, attname FROM pg_attribute"
            " WHERE attrelid = ANY(%s::regclass[]) AND attnum > 0 AND NOT attisdropped",
            [list(SEALED)],
        )
        assert set(cursor.fetchall()) - left_out == set(BYTES)


@pytest.mark.parametrize("what", DERIVED)
def test_what_stands_outside_of_the_chain_is_tied_to_it(world: World, what: str) -> None:
    table, statement, checks = DERIVED[what]

    found = found_after(table, statement, world)

    assert checks <= {breach.check for breach in found}
    assert all(breach.words and breach.look for breach in found)


@pytest.mark.parametrize(("statement", "words"), SWITCHED_OFF)
def test_a_rule_that_was_switched_off_is_named(world: World, statement: str, words: str) -> None:
    with as_the_owner(), connection.cursor() as cursor:
        cursor.execute(statement)
        [breach] = breaches()
    assert breach.row.startswith(words)
