"""What the other tests stand on: the databases, their roles, and real processes."""

import signal
import sys

import psycopg
import pytest
from django.db import connection

from teams import selectors
from teams.models import AuditEvent, User
from tests.conftest import FreshDatabase
from tests.processes import is_alive, manage, start_process, until


@pytest.mark.django_db
def test_ordinary_tests_run_with_the_rights_of_the_product() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("tank_app",)


def test_the_owner_sees_what_the_product_committed(fresh_database: FreshDatabase) -> None:
    User.objects.create_user("ana@acorn.example", name="Ana")

    with psycopg.connect(fresh_database.url) as owner:
        assert owner.execute("SELECT name FROM teams_user WHERE email LIKE 'ana@%'").fetchall() == [("Ana",)]


def test_a_fresh_database_is_fresh(fresh_database: FreshDatabase) -> None:
    assert [user.email for user in User.objects.all()] == [selectors.system_user().email]


def test_the_product_may_not_change_history_and_nor_may_the_owner(
    owner_connection: psycopg.Connection, app_connection: psycopg.Connection
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app_connection.execute(f"DELETE FROM {AuditEvent._meta.db_table}")  # noqa: S608
    with pytest.raises(psycopg.errors.DatabaseError, match="append-only"):
        owner_connection.execute(f"TRUNCATE {AuditEvent._meta.db_table}")


def test_a_command_in_another_process_acts_on_the_same_database(fresh_database: FreshDatabase) -> None:
    code = "from teams.models import User; User.objects.create_user('bo@acorn.example', name='Bo')"

    done = manage("shell", "--no-imports", "-c", code, env=fresh_database.env)

    assert (done.returncode, done.stderr) == (0, "")
    assert User.objects.get(email="bo@acorn.example").name == "Bo"


def test_a_process_is_ended_with_its_children() -> None:
    code = "import subprocess; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"

    with start_process([sys.executable, "-c", code], {}, ready=lambda running: "\n" in running.output) as running:
        child = int(running.output)
        assert is_alive(child)

    assert running.process.returncode == -signal.SIGKILL
    until(lambda: not is_alive(child))


def test_a_process_that_ends_too_early_says_what_it_wrote() -> None:
    with (
        pytest.raises(AssertionError, match="no such thing"),
        start_process([sys.executable, "-c", "raise SystemExit('no such thing')"], {}, ready=lambda running: False),
    ):
        pass
