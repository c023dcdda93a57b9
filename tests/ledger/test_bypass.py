"""Ways round the rules that people have found elsewhere, tried as the run-time role and as the owner."""

import json
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from pytest_django import DjangoDbBlocker

from ledger.checks import breaches
from ledger.models import JournalEntry
from tests import databases
from tests.conftest import FreshDatabase
from tests.databases import ROOT
from tests.ledger.books import Books, open_books

GUARDED = (
    "ledger_journalentry",
    "ledger_posting",
    "ledger_seal",
    "ledger_usagerecord",
    "ledger_usageposting",
    "ledger_routing",
    "ledger_usagearchive",
    "ledger_correctionleg",
    "ledger_closeacceptance",
    "ledger_exchangerate",
)
WITH_ROWS = ("ledger_journalentry", "ledger_posting", "ledger_seal", "ledger_routing")
DERIVED = ("ledger_usagehour", "ledger_usageday", "ledger_accountbalance")


@pytest.fixture(scope="module")
def books(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[Books]:
    with server_databases.cloned() as name, django_db_blocker.unblock(), databases.used_by_django(name):
        books = open_books()
        books.award("5")
        yield books


@pytest.fixture
def app(books: Books, app_connection: psycopg.Connection) -> psycopg.Connection:
    return app_connection


@pytest.fixture
def owner(books: Books, owner_connection: psycopg.Connection) -> psycopg.Connection:
    return owner_connection


@pytest.mark.parametrize("relation", [*GUARDED, *DERIVED])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_the_run_time_role_has_no_right_to(app: psycopg.Connection, relation: str, statement: str) -> None:
    text = statement.format(relation)
    if relation in ("ledger_seal", "ledger_accountbalance"):
        text = text.replace("id = id", "{0} = {0}".format("seq" if relation == "ledger_seal" else "account_id"))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(text.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE ledger_posting DISABLE TRIGGER ALL",
        "ALTER TABLE ledger_journalentry ADD COLUMN x int",
        "DROP TABLE ledger_seal",
        "DROP TRIGGER append_only_row ON ledger_posting",
        "CREATE OR REPLACE FUNCTION tank_refuse_change() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
        "SET session_replication_role = replica",
        "SELECT ledger_usage_detach(now()::date)",
        "SELECT tank_make_append_only('ledger_period')",
        "ALTER TABLE ledger_usagerecord DETACH PARTITION ledger_usagerecord_other",
    ],
)
def test_the_run_time_role_cannot_change_the_rules(app: psycopg.Connection, statement: str) -> None:
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidFunctionDefinition)):
        app.execute(statement.encode())


@pytest.mark.parametrize("relation", WITH_ROWS)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
def test_the_owner_is_refused_too(owner: psycopg.Connection, relation: str, statement: str) -> None:
    key = "seq" if relation == "ledger_seal" else "id"
    with pytest.raises(psycopg.Error, match="append-only"):
        owner.execute(statement.format(relation, key, key).encode())


@pytest.mark.parametrize("relation", GUARDED)
def test_the_owner_cannot_empty_a_table(owner: psycopg.Connection, relation: str) -> None:
    with pytest.raises(psycopg.Error, match="append-only"):
        owner.execute(f"TRUNCATE {relation} CASCADE".encode())


def test_a_grant_that_the_run_time_role_gives_itself_is_none(app: psycopg.Connection) -> None:
    app.execute("GRANT UPDATE ON ledger_posting TO tank_app")
    assert app.execute("SELECT has_table_privilege('tank_app', 'ledger_posting', 'UPDATE')").fetchone() == (False,)


def test_switching_triggers_off_for_a_session_switches_ours_not_off(owner: psycopg.Connection) -> None:
    try:
        owner.execute("SET session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        pytest.skip("the owner on this server is no superuser and cannot even try")
    with pytest.raises(psycopg.Error, match="append-only"):
        owner.execute("UPDATE ledger_posting SET amount = amount")


def test_the_setting_by_which_pgtrigger_ignores_its_triggers_means_nothing_to_ours(owner: psycopg.Connection) -> None:
    owner.execute("SELECT set_config('pgtrigger.ignore', '{ledger_posting:append_only_row}', false)")
    with pytest.raises(psycopg.Error, match="append-only"):
        owner.execute("UPDATE ledger_posting SET amount = amount")


def test_copy_is_held_to_the_same_rules(app: psycopg.Connection, books: Books) -> None:
    entry = JournalEntry.objects.latest("pk")
    with (
        pytest.raises(psycopg.Error, match="is complete: nothing can be added"),
        app.cursor().copy("COPY ledger_posting (entry_id, account_id, currency, amount) FROM STDIN") as copy,
    ):
        copy.write_row((entry.pk, books.pool.pk, "USD", "5"))


def test_an_owner_who_goes_all_the_way_is_named_by_verify(fresh_database: FreshDatabase) -> None:
    books = open_books()
    entry = books.award("5")
    with psycopg.connect(fresh_database.url) as owner:
        owner.execute("ALTER TABLE ledger_posting DISABLE TRIGGER append_only_row")
        owner.execute("UPDATE ledger_posting SET amount = amount * 2 WHERE entry_id = %s", (entry.pk,))
        owner.execute("ALTER TABLE ledger_posting ENABLE ALWAYS TRIGGER append_only_row")

    found = breaches()

    assert any(f"of entry {entry.pk}" in breach.row for breach in found if breach.check == "the seal chain is whole")
    assert all(breach.look for breach in found)
    command = [sys.executable, "manage.py", "verify", "--json"]
    done = subprocess.run(command, env=fresh_database.env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert json.dumps(f"J-{entry.pk}")[1:-1] in done.stdout + done.stderr
