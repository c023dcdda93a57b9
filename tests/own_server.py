"""A PostgreSQL server of a test's own, the one that Tank brings: to be killed without harm to anybody else's tests."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from django.db import connections

from marketplace import embedded
from tests import databases
from tests.conftest import FreshDatabase, environment
from tests.processes import is_alive, until

POSTMASTER_PID = "postmaster.pid"


@dataclass(frozen=True)
class OwnServer:
    """A server, its migrated database, and the environment of processes that shall use it."""

    database: FreshDatabase

    @property
    def postmaster(self) -> int:
        """Return the process id of the server's first process."""
        folder = embedded.data_folder(self.database.data)
        return int((folder / POSTMASTER_PID).read_text().split()[0])

    def backends(self, like: str = "") -> list[int]:
        """Return the process ids of the sessions whose statement is like this one, but for the one that asks."""
        with psycopg.connect(self.database.url, autocommit=True) as look:
            found = look.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend' AND query LIKE '%%' || %s || '%%'",
                (like,),
            )
            return [pid for (pid,) in found.fetchall()]

    def kill(self) -> None:
        """Kill the first process as a machine that fails would, and wait until those that it left are gone too."""
        orphans = [*self.backends(), self.postmaster]
        os.kill(self.postmaster, signal.SIGKILL)
        until(lambda: not any(map(is_alive, orphans)), within=30, what="the end of the server")
        connections.close_all()

    def start(self) -> None:
        """Start it again over what it left behind; what the last commit left is recovered from the log."""
        embedded._start_server(self.database.data)

    @property
    def is_up(self) -> bool:
        """Say whether it lets somebody in."""
        try:
            psycopg.connect(self.database.url).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def own_server(data: Path) -> Iterator[OwnServer]:
    """Start a server under a folder, with a migrated database that Django uses in this process until the end."""
    embedded.start(data)
    url = embedded.url(data)
    databases.migrate(url)
    env = environment(embedded.DATABASE, data) | {"DATABASE_URL": url}
    place = {"NAME": embedded.DATABASE, "USER": embedded.OWNER, "HOST": str(embedded.socket_folder(data)), "PORT": ""}
    with django_at(place):
        yield OwnServer(FreshDatabase(embedded.DATABASE, url, env, data))
    embedded.release(data)


@contextmanager
def django_at(place: Mapping[str, object]) -> Iterator[None]:
    """Point Django's connection, in every thread, to another place."""
    settings = connections.settings["default"]
    before = {name: settings[name] for name in place}
    connections.close_all()
    settings.update(place)
    try:
        yield
    finally:
        connections.close_all()
        settings.update(before)
