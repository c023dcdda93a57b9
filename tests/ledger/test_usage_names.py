"""What usage records name exists and stays, although no foreign key says so."""

import threading

import psycopg
import pytest

from ledger.checks import breaches
from ledger.models import UsageRecord
from ledger.selectors import today
from tests.allocations.desk import Desk, open_desk
from tests.conftest import FreshDatabase
from tests.ledger.history import Used, call_at, noon

Owner = psycopg.Connection
NAMED = {
    "account_id": "ledger_account",
    "team_id": "teams_team",
    "provider_id": "ledger_provider",
    "model_id": "ledger_aimodel",
    "rate_id": "ledger_rate",
}
COPY = """INSERT INTO {table} ({columns}, request_id, {name}, settled_at)
          SELECT {columns}, gen_random_uuid(), 999999, now() FROM ledger_usagerecord LIMIT 1"""
WAITING = "SELECT 1 FROM pg_locks WHERE relation = 'ledger_usagerecord'::regclass AND NOT granted"


def others(name: str) -> dict[str, str]:
    """Return what `COPY` wants: a column, and those that stay as they are."""
    fields = [field.column or "" for field in UsageRecord._meta.concrete_fields]
    kept = (field for field in fields if field not in {"id", "settled_at", "request_id", name})
    return {"name": name, "columns": ", ".join(kept)}


@pytest.fixture
def desk(fresh_database: FreshDatabase, owner_connection: Owner) -> Desk:
    """One recorded call; all that it names has other rows that hold it, but they are taken away for these stories."""
    desk = open_desk()
    call_at(owner_connection, desk, noon(today(), 0), Used(input=1_000_000))
    for (statement,) in owner_connection.execute(
        """SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname) FROM pg_constraint
            WHERE contype = 'f' AND confrelid = ANY (%s::regclass[]) AND conparentid = 0""",
        (list(NAMED.values()),),
    ).fetchall():
        owner_connection.execute(statement)
    owner_connection.commit()
    return desk


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("table", ["ledger_usagerecord", "ledger_usagerecord_other"])
def test_no_record_names_what_does_not_exist(desk: Desk, owner_connection: Owner, table: str, name: str) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match=f"{name.removesuffix('_id')} 999999"):
        owner_connection.execute(COPY.format(table=table, **others(name)).encode())


@pytest.mark.parametrize("relation", NAMED.values())
def test_what_a_record_names_stays_as_it_is(desk: Desk, owner_connection: Owner, relation: str) -> None:
    name = next(column for column, table in NAMED.items() if table == relation)
    named = UsageRecord.objects.values_list(name, flat=True).get()
    owner_connection.execute("SET session_replication_role = replica")  # also then
    owner_connection.commit()
    for statement in (
        "DELETE FROM {relation} WHERE id = {named}",
        "UPDATE {relation} SET id = 999999 WHERE id = {named}",
        "TRUNCATE {relation}",
    ):
        # Accounts and approved rates have guards of their own that speak first.
        with pytest.raises(psycopg.DatabaseError, match=r"usage records name|cannot be deleted|never changes"):
            owner_connection.execute(statement.format(relation=relation, named=named).encode())
        owner_connection.rollback()


def idle_team(owner: Owner) -> int:
    """Make a team that no record names, and commit it."""
    row = owner.execute(
        """INSERT INTO teams_team (name, slug, cost_centre, business_unit_id)
           SELECT 'Idle', 'idle', '', business_unit_id FROM teams_team LIMIT 1 RETURNING id"""
    ).fetchone()
    owner.commit()
    assert row is not None
    return int(row[0])


def test_what_no_record_names_may_go(desk: Desk, owner_connection: Owner) -> None:
    team = idle_team(owner_connection)
    assert owner_connection.execute("DELETE FROM teams_team WHERE id = %s", (team,)).rowcount == 1
    assert owner_connection.execute("DELETE FROM teams_team WHERE id = %s", (team,)).rowcount == 0


def test_who_deletes_waits_for_a_record_on_its_way(
    desk: Desk, owner_connection: Owner, fresh_database: FreshDatabase
) -> None:
    team, errors = idle_team(owner_connection), []

    def delete() -> None:
        with psycopg.connect(fresh_database.url) as other:
            try:
                other.execute("DELETE FROM teams_team WHERE id = %s", (team,))
            except psycopg.Error as error:
                errors.append(type(error))

    owner_connection.execute(
        COPY.replace("999999", "{team}").format(table="ledger_usagerecord", **others("team_id"), team=team).encode()
    )  # not committed yet
    thread = threading.Thread(target=delete)
    thread.start()
    with psycopg.connect(fresh_database.url, autocommit=True) as watcher:
        while not watcher.execute(WAITING).fetchone():
            assert thread.is_alive(), errors
    owner_connection.commit()
    thread.join()

    assert errors == [psycopg.errors.ForeignKeyViolation]
    assert UsageRecord.objects.filter(team_id=team).count() == 1


def test_verify_says_when_nobody_asks_any_more(desk: Desk, owner_connection: Owner) -> None:
    owner_connection.execute("DROP TRIGGER usage_names ON ledger_usagerecord")
    owner_connection.execute("ALTER TABLE ledger_rate DISABLE TRIGGER usage_named")
    owner_connection.commit()
    assert {breach.row for breach in breaches() if "usage_name" in breach.row} == {
        "trigger usage_names on ledger_usagerecord is missing or switched off",
        "trigger usage_named on ledger_rate is missing or switched off",
    }
