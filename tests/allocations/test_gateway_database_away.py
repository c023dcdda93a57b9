"""While the database is away no call is let through, calls in flight finish, and nothing is lost."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import psycopg
import pytest
from django.db import connections
from psycopg import sql

from tests import databases
from tests.allocations.gateways import House, Purse, Server, chat, gateway, message, sandbox
from tests.conftest import FreshDatabase
from tests.processes import manage, until


@pytest.fixture
def house(fresh_database: FreshDatabase) -> House:
    return House()


@pytest.fixture
def server(fresh_database: FreshDatabase, house: House) -> Iterator[Server]:
    with sandbox(fresh_database) as box, gateway(fresh_database, box.url) as running:
        yield running


@contextmanager
def away(database: FreshDatabase) -> Iterator[None]:
    """Shut everybody out of the database, as far as a session can tell a server that is down."""
    name = sql.Identifier(database.name)
    with psycopg.connect(databases.owner_url("postgres"), autocommit=True) as server:
        server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        databases.end_sessions(server, database.name)
        try:
            yield
        finally:
            server.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
            connections.close_all()


def post(url: str, purse: Purse, **headers: str) -> httpx.Response:
    given = purse.bearer | headers
    return httpx.post(f"{url}/v1/chat/completions", headers=given, json=chat(max_tokens=20), timeout=30)


def test_new_calls_are_refused_and_those_in_flight_finish(
    fresh_database: FreshDatabase, server: Server, house: House
) -> None:
    purse = house.purse()
    with ThreadPoolExecutor() as threads:
        held = purse.quota().held
        in_flight = threads.submit(post, server.url, purse, **{"x-sandbox-delay-ms": "1000"})
        until(lambda: purse.quota().held > held, what="the hold")
        with away(fresh_database):
            until(lambda: post(server.url, purse).status_code == 503, what="the refusal")
            refused = httpx.post(f"{server.url}/v1/messages", headers=purse.x_api_key, json=message())
            assert (refused.status_code, refused.json()["error"]["type"]) == (503, "api_error")
            assert refused.headers["retry-after"] == "2"
            # Longer than a settle waits for the database: it goes to the spool, and the answer to its client.
            assert in_flight.result().status_code == 200
        until(lambda: post(server.url, purse).status_code == 200, what="the first call after")
    until(lambda: len(purse.records) == 2 and purse.quota().held == 0, within=20, what="the replay of the spool")
    assert purse.quota().spent == sum(record.cost for record in purse.records)
    assert manage("verify", env=fresh_database.env).returncode == 0


ASK: Any = [{"role": "user", "content": "a"}]


def test_the_sdks_wait_and_get_their_answers(fresh_database: FreshDatabase, server: Server, house: House) -> None:
    purse = house.purse()
    ours = openai.OpenAI(base_url=f"{server.url}/v1", api_key=purse.secret)
    theirs = anthropic.Anthropic(base_url=server.url, api_key=purse.secret)
    assert post(server.url, purse).status_code == 200
    with ThreadPoolExecutor() as threads:
        with away(fresh_database):
            until(lambda: post(server.url, purse).status_code == 503, what="the refusal")
            chat = threads.submit(ours.chat.completions.create, model="tank-medium", messages=ASK)
            message = threads.submit(theirs.messages.create, model="tank-medium", messages=ASK, max_tokens=20)
        assert chat.result(30).choices[0].message.content
        assert message.result(30).content
    ours.close()
    theirs.close()
