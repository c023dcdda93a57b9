"""Ways round the rules, tried as the run-time role and as the owner. The ways themselves are in `attacks`."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import sql
from pytest_django import DjangoDbBlocker

from ledger.checks import breaches
from ledger.models import Account, AccountClass, Period, RateSource
from ledger.selectors import today
from ledger.services import (
    Leg,
    account_open,
    adjustment_propose,
    correction_approve,
    exchange_rate_record,
    period_accept,
    period_close,
    period_close_begin,
    rate_propose,
    reversal_propose,
    usage_post,
)
from tests import databases
from tests.allocations.desk import open_desk
from tests.cast import build_company
from tests.ledger.attacks import APP, ATTACKS, CHANGES, DERIVED, HISTORY, NO_RIGHT, OTHER_CHANGES, STATEFUL, Attack
from tests.ledger.books import open_books
from tests.ledger.history import Used, call_at, last_month, noon, open_year_from_last_month

World = dict[str, Any]
PARTITIONS = """SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ledger_usagerecord'::regclass
                UNION ALL SELECT partition FROM ledger_usagearchive ORDER BY 1"""


@pytest.fixture(scope="module")
def world(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[World]:
    """Books with something in every table; the last month is closed, and its usage is detached."""
    with (
        server_databases.cloned() as name,
        django_db_blocker.unblock(),
        databases.used_by_django(name),
        psycopg.connect(databases.owner_url(name)) as owner,
    ):
        yield _world(owner)


def _world(owner: psycopg.Connection) -> World:
    company = build_company()
    open_year_from_last_month(company.system)
    earlier = last_month() - timedelta(days=1)
    desk, books = open_desk(), open_books()
    for day in (last_month(), today()):
        call_at(owner, desk, noon(day, 0), Used(input=2_000_000, tags={"step": "read"}))
    usage = usage_post(actor=desk.actor)[-1]
    award, wrong = books.award("5"), books.award("5", "wrong")
    legs = [Leg(books.pool, Decimal(1)), Leg(books.reserve, Decimal(-1))]
    decided = reversal_propose(actor=company.hana, entry=wrong, reason="The wrong round")
    adjusted = adjustment_propose(actor=company.hana, legs=legs, reason="A typing error")
    reversal = correction_approve(actor=company.lou, correction=decided)
    adjustment = correction_approve(actor=company.lou, correction=adjusted)
    exchange_rate_record(
        actor=company.hana, base="USD", quote="EUR", valid_on=last_month(), rate=Decimal("0.9"), source="ECB"
    )
    closing = period_close_begin(actor=company.hana, period=Period.objects.get(starts_on=last_month()))
    period_accept(actor=company.hana, period=closing, item="usage_accrued", reason="Billed next month")
    period_close(actor=company.hana, period=closing)
    proposed = adjustment_propose(actor=company.hana, legs=legs, reason="Another typing error")
    proposed_rate = rate_propose(
        actor=company.hana,
        model=desk.model,
        source=RateSource.NEGOTIATED,
        input_price=Decimal(2),
        output_price=Decimal(6),
    )
    owner.execute("SELECT ledger_usage_detach(%s)", [last_month()])
    owner.execute(
        "INSERT INTO ledger_period (fiscal_year_id, starts_on, ends_on, state)"
        " SELECT fiscal_year_id, %s, %s, 'open' FROM ledger_period WHERE id = %s",
        [earlier.replace(day=1), earlier, closing.pk],
    )
    owner.commit()
    periods = Period.objects.order_by("starts_on")
    accounts = {name: getattr(books, name).pk for name in ("pool", "committed", "reserve")}
    others = {"line": desk.line.account.code, "metered": "metered:sandbox"}
    euros = account_open(code="reserve:eur", name="E", account_class=AccountClass.RESERVE, currency="EUR")
    return accounts | {
        **{name: Account.objects.get(code=code).pk for name, code in others.items()},
        "authority": Account.objects.get(account_class=AccountClass.AUTHORITY).pk,
        "euros": euros.pk,
        "period": periods.get(starts_on__lte=today(), ends_on__gte=today()).pk,
        "last_period": periods[len(periods) - 1].pk,
        "earlier": periods[0].pk,
        "closed": closing.pk,
        "award": award.pk,
        "usage": usage.pk,
        "reversal": reversal.pk,
        "adjustment": adjustment.pk,
        "decided": decided.pk,
        "adjusted": adjusted.pk,
        "proposed": proposed.pk,
        "rate": desk.rate.pk,
        "proposed_rate": proposed_rate.pk,
        "hana": company.hana.pk,
        "lou": company.lou.pk,
    }


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
    with pytest.raises(psycopg.Error, match="append-only"):
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
