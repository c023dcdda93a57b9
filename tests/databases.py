"""Test databases: one migrated template per state of the migrations, and clones of it.

The owner makes the schema; the clones are then used as `tank_app`, so a test proves that the product works with
the rights that it has at run time. The template stays on the server for the next run; clones are dropped, and
what a killed run left behind is dropped by the next one.
"""

import hashlib
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from django.db import connections
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
LOCK = 0x7A6B  # the class of our advisory locks: 0 for building the template, a run's number while the run lives
ROLE_APP = "tank_app"


def owner_url(name: str) -> str:
    """Return the owner's address of the database called `name` on the server that the tests use."""
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


class Databases:
    """The databases of one process of a test run."""

    def __init__(self) -> None:
        self.base = urlsplit(os.environ["DATABASE_URL"]).path.strip("/")
        self.run = secrets.randbelow(2**31)
        self.template = f"{self.base}_template_{fingerprint()}"
        self.connection = psycopg.connect(owner_url("postgres"), autocommit=True)
        self.count = 0

    def open(self) -> None:
        """Say that this run lives, clear up after dead ones, and make the template unless it exists."""
        self.connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK, self.run))
        self.connection.execute("SELECT pg_advisory_lock(%s, 0)", (LOCK,))
        try:
            self._drop_leftovers()
            if not self._exists(self.template):
                self._build_template()
        finally:
            self.connection.execute("SELECT pg_advisory_unlock(%s, 0)", (LOCK,))

    def close(self) -> None:
        """Give the run's number back."""
        self.connection.close()

    @contextmanager
    def cloned(self) -> Iterator[str]:
        """Give a new database like the template, and drop it afterwards."""
        self.count += 1
        name = f"{self.base}_run_{self.run}_{self.count}"
        self._command("CREATE DATABASE {} TEMPLATE {}", name, self.template)
        try:
            yield name
        finally:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        drop(self.connection, name)

    def _command(self, text: str, *names: str) -> None:
        self.connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))

    def _names(self) -> list[str]:
        return [name for (name,) in self.connection.execute("SELECT datname FROM pg_database").fetchall()]

    def _exists(self, name: str) -> bool:
        return name in self._names()

    def _drop_leftovers(self) -> None:
        ours = re.compile(rf"{re.escape(self.base)}_run_(\d+)_\d+")
        for name in self._names():
            if (match := ours.fullmatch(name)) and self._is_dead(int(match[1])):
                self.drop(name)

    def _is_dead(self, run: int) -> bool:
        row = self.connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK, run)).fetchone()
        if row is None or not row[0]:
            return False
        self.connection.execute("SELECT pg_advisory_unlock(%s, %s)", (LOCK, run))
        return True

    def _build_template(self) -> None:
        unfinished = f"{self.base}_template_unfinished"
        for name in self._names():
            if name.startswith(f"{self.base}_template_"):
                self.drop(name)
        self._command("CREATE DATABASE {}", unfinished)
        migrate(owner_url(unfinished))
        self._command("ALTER DATABASE {} RENAME TO {}", unfinished, self.template)


def end_sessions(connection: psycopg.Connection, name: str) -> None:
    """End every session in a database but this one; autovacuum's are the server's, and not ours to end."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = %s AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        (name,),
    )


def drop(connection: psycopg.Connection, name: str) -> None:
    """Drop a database, whoever is connected to it.

    Not WITH (FORCE): that needs the right to end an autovacuum worker, which an owner who is no superuser lacks.
    A plain DROP asks autovacuum to leave, and waits a few seconds for it and for the sessions that we ended.
    """
    database = sql.Identifier(name)
    connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(database))
    end_sessions(connection, name)
    connection.execute(sql.SQL("DROP DATABASE {}").format(database))


def migrate(url: str) -> None:
    """Apply all migrations as the owner."""
    env = os.environ | {"DATABASE_URL": url, "TANK_DB_ROLE": "owner", "DJANGO_SETTINGS_MODULE": "marketplace.settings"}
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--verbosity", "0"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"migrate failed:\n{done.stdout}\n{done.stderr}"


def fingerprint() -> str:
    """Return a short hash of everything that the schema is made from."""
    digest = hashlib.sha256()
    patterns = ("*/migrations/*.py", "*/sql/*.sql", "constraints.txt")
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def used_by_django(name: str) -> Iterator[None]:
    """Point Django's connection, in every thread, to the database called `name`."""
    settings = connections.settings["default"]
    before = settings["NAME"]
    connections.close_all()
    settings["NAME"] = name
    try:
        yield
    finally:
        connections.close_all()
        settings["NAME"] = before


def name_in_use() -> str:
    """Return the name of the database that Django uses now."""
    name = connections.settings["default"]["NAME"]
    assert isinstance(name, str)
    return name
