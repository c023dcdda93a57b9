"""Databases for the tests.

`db` (or the mark `django_db`) is a transaction that is rolled back, as the run-time role. `fresh_database` is a
real database of the test's own where things are committed, for threads and processes: the product refuses
TRUNCATE, so a transactional test of Django's cannot clear up after itself.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
from django.conf import settings
from pytest_django import DjangoDbBlocker

from tests import databases

pytest_plugins = ["tests.cast", "tests.budget"]


# A loaded machine is no reason to fail.
hypothesis.settings.register_profile("tank", deadline=None)
hypothesis.settings.load_profile("tank")


@dataclass(frozen=True)
class FreshDatabase:
    """A database of one test: its owner's address and the environment of processes that shall use it."""

    name: str
    url: str
    env: dict[str, str]
    data: Path


@pytest.fixture(scope="session")
def server_databases() -> Iterator[databases.Databases]:
    ours = databases.Databases()
    ours.open()
    yield ours
    ours.close()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, server_databases: databases.Databases) -> Iterator[None]:
    """Give this process of the run its own migrated database."""
    with server_databases.cloned() as name, databases.used_by_django(name):
        yield


@pytest.fixture
def fresh_database(
    request: pytest.FixtureRequest,
    django_db_setup: None,
    server_databases: databases.Databases,
    django_db_blocker: DjangoDbBlocker,
    tmp_path: Path,
) -> Iterator[FreshDatabase]:
    """Give a database of the test's own in which everything is committed; Django uses it during the test."""
    if "db" in request.fixturenames or request.node.get_closest_marker("django_db"):
        pytest.fail("fresh_database commits, so it cannot be used together with db or the mark django_db")
    with _committed(server_databases, django_db_blocker, tmp_path / "data") as database:
        yield database


@pytest.fixture(scope="module")
def module_database(
    django_db_setup: None,
    server_databases: databases.Databases,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[FreshDatabase]:
    """Give one such database to all tests of a module, for processes that are dear to start."""
    with _committed(server_databases, django_db_blocker, tmp_path_factory.mktemp("data")) as database:
        yield database


@contextmanager
def _committed(
    server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker, data: Path
) -> Iterator[FreshDatabase]:
    with server_databases.cloned() as name, django_db_blocker.unblock(), databases.used_by_django(name):
        yield FreshDatabase(name, databases.owner_url(name), environment(name, data), data)


def environment(name: str, data: Path) -> dict[str, str]:
    """Return the environment of processes that shall use a database."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "TANK_", "DATABASE_"))}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "marketplace.settings",
        "DATABASE_URL": databases.owner_url(name),
        "TANK_DATA": str(data),
        # The same secrets as in the test's own process: what one of them encrypts the other can read.
        "SECRET_KEY": settings.SECRET_KEY,
        "TANK_ENCRYPTION_KEY": settings.ENCRYPTION_KEY,
    }


@pytest.fixture
def owner_connection(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[psycopg.Connection]:
    """Connect as the owner of the schema to the database that Django uses; rolled back unless the test commits."""
    yield from _connection(request)


@pytest.fixture
def app_connection(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[psycopg.Connection]:
    """Connect as the run-time role to the database that Django uses; rolled back unless the test commits."""
    yield from _connection(request, options=f"-c role={databases.ROLE_APP}")


def _connection(request: pytest.FixtureRequest, options: str = "") -> Iterator[psycopg.Connection]:
    if "fresh_database" in request.fixturenames:
        request.getfixturevalue("fresh_database")
    connection = psycopg.connect(databases.owner_url(databases.name_in_use()), options=options)
    try:
        yield connection
    finally:
        connection.rollback()
        connection.close()
