"""Ways round the rules, tried as the run-time role and as the owner. The ways themselves are in `attacks`."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from pytest_django import DjangoDbBlocker

from ledger.checks import breaches
from tests import databases
from tests.ledger.attacks import APP, ATTACKS, CHANGES, DERIVED, HISTORY, NO_RIGHT, OTHER_CHANGES, STATEFUL, Attack
from tests.ledger.history import last_month
from tests.ledger.world import World, world_of_its_own

PARTITIONS = """SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ledger_usagerecord'::regclass
                UNION ALL SELECT partition FROM ledger_usagearchive ORDER BY 1"""


@pytest.fixture(scope="module")
def world(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[World]:
    with world_of_its_own(server_databases, django_db_blocker) as world:
        yield world


@pytest.fixture
def connections_by(
    world: World, app_connection: psycopg.Connection, owner_connection: psycopg.Connection
) -> dict[str, psycopg.Connection]:
    return {APP: app_connection, "owner": owner_connection}


WAYS = [(attack, by) for attack in ATTACKS for by in attack.by]


def test_the_books_that_are_attacked_are_honest(world: World) -> None:
    assert breaches() == []


@pytest.mark.parametrize(
    ("attack", "by"), WAYS, ids=[f"{attack.rule}-{attack.way}-{by}".replace(" ", "_") for attack, by in WAYS]
)
def test_no_way_round(attack: Attack, by: str, world: World, connections_by: dict[str, psycopg.Connection]) -> None:
    def run() -> None:
        for statement in (*attack.statements, "SET CONSTRAINTS ALL IMMEDIATE"):
            connections_by[by].execute(statement.encode(), world)

    with pytest.raises(psycopg.Error, match=attack.refused):
        run()


@pytest.mark.parametrize("relation", [*HISTORY, *DERIVED])
@pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
def test_the_run_time_role_has_no_right_to(
    world: World, app_connection: psycopg.Connection, relation: str, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app_connection.execute(statement.format(relation, (HISTORY | DERIVED)[relation]).encode())


@pytest.mark.parametrize("relation", HISTORY)
@pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0} CASCADE"])
@pytest.mark.parametrize(
    "setting", ["", "session_replication_role = replica", "pgtrigger.ignore = '{0}:append_only_row'"]
)
def test_the_owner_is_refused_by_triggers_that_no_setting_switches_off(
    world: World, owner_connection: psycopg.Connection, relation: str, statement: str, setting: str
) -> None:
    if setting:
        owner_connection.execute(f"SET {setting.format(relation)}".encode())
    with pytest.raises(psycopg.Error, match="append-only") as refused:
        owner_connection.execute(statement.format(relation, HISTORY[relation]).encode())
    assert refused.value.sqlstate == "TK001"


@pytest.mark.parametrize("relation", STATEFUL)
def test_the_owner_cannot_empty_what_history_points_at(
    world: World, owner_connection: psycopg.Connection, relation: str
) -> None:
    with pytest.raises(psycopg.Error, match=r"append-only|usage records name"):
        owner_connection.execute(f"TRUNCATE {relation} CASCADE".encode())


@pytest.mark.parametrize("by", [APP, "owner"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
def test_every_month_of_usage_is_guarded_by_itself_also_the_detached_one(
    connections_by: dict[str, psycopg.Connection], by: str, statement: str
) -> None:
    connection = connections_by[by]
    names = [name for (name,) in connection.execute(PARTITIONS).fetchall()]
    assert {"ledger_usagerecord_other", f"ledger_usagerecord_{last_month():%Y_%m}"} < set(names)
    for name in names:
        if by == APP or statement.startswith("TRUNCATE") or _has_rows(connection, name):
            with pytest.raises(psycopg.Error, match=NO_RIGHT if by == APP else "append-only"), connection.transaction():
                connection.execute(statement.format(name).encode())


def _has_rows(connection: psycopg.Connection, name: str) -> bool:
    return connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(name))).fetchone() is not None


@pytest.mark.parametrize("relation", [*HISTORY, *STATEFUL, *DERIVED])
def test_the_run_time_role_cannot_change_the_rules_of(
    world: World, app_connection: psycopg.Connection, relation: str
) -> None:
    for change in CHANGES:
        with pytest.raises(psycopg.errors.InsufficientPrivilege), app_connection.transaction():
            app_connection.execute(change.format(relation).encode())


@pytest.mark.parametrize("statement", OTHER_CHANGES)
def test_the_run_time_role_cannot(world: World, app_connection: psycopg.Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app_connection.execute(statement.encode())


def test_a_grant_that_the_run_time_role_gives_itself_is_none(world: World, app_connection: psycopg.Connection) -> None:
    app_connection.execute("GRANT UPDATE ON ledger_posting TO tank_app")
    asked = "SELECT has_table_privilege('tank_app', 'ledger_posting', 'UPDATE')"
    assert app_connection.execute(asked).fetchone() == (False,)


def test_a_function_of_the_owner_runs_nothing_that_the_run_time_role_left_in_its_way(
    world: World, app_connection: psycopg.Connection
) -> None:
    """A table of the session that a function of the owner would write to, with a trigger that acts for the owner."""
    for statement in (
        "CREATE TEMP TABLE ledger_usage_days (day date)",
        "GRANT ALL ON ledger_usage_days TO PUBLIC",
        "CREATE FUNCTION pg_temp.trap() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'I am %', current_user; END $$",
        "CREATE TRIGGER trap BEFORE INSERT OR TRUNCATE ON ledger_usage_days EXECUTE FUNCTION pg_temp.trap()",
        "SELECT ledger_usage_roll('-infinity')",
    ):
        app_connection.execute(statement.encode())


@pytest.mark.parametrize("by", [APP, "owner"])
def test_copy_is_held_to_the_same_rules(world: World, connections_by: dict[str, psycopg.Connection], by: str) -> None:
    with (
        pytest.raises(psycopg.Error, match="is complete: nothing can be added"),
        connections_by[by]
        .cursor()
        .copy("COPY ledger_posting (entry_id, account_id, currency, amount) FROM STDIN") as copy,
    ):
        copy.write_row((world["award"], world["pool"], "USD", "5"))


def test_the_time_of_recording_and_the_transaction_cannot_be_chosen(
    world: World, app_connection: psycopg.Connection
) -> None:
    found = app_connection.execute(
        """INSERT INTO ledger_journalentry (kind, source, key, fingerprint, period_id, effective_on, recorded_at, xact,
               actor_id, reason, memo) VALUES ('award', 'raw', 'k', '', %(period)s, now(), '2001-01-01', '7',
               %(hana)s, '', '') RETURNING recorded_at = now(), xact = pg_current_xact_id()""",
        world,
    ).fetchone()
    assert found == (True, True)
