"""Ready is who lets calls through: asked of the gateway's own process and of the one that serves everything."""

import sys
from collections.abc import Iterator

import httpx2 as httpx
import psycopg
import pytest

from tests.allocations.test_gateway_database_away import away
from tests.conftest import FreshDatabase
from tests.processes import answers, free_port, start_process, until

SERVING = [sys.executable, "-m", "marketplace.runtime.serving"]


@pytest.fixture(params=["marketplace.gateway:application", "marketplace.asgi:application"])
def url(request: pytest.FixtureRequest, fresh_database: FreshDatabase) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [*SERVING, request.param, "--port", str(port)]
    with start_process(command, fresh_database.env, ready=lambda _: answers(f"{address}/readyz")):
        yield address


def reason(url: str) -> str:
    """Return why a process is not ready, empty when it is."""
    answer = httpx.get(f"{url}/readyz", timeout=15)
    told = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.status_code, told["ok"]) in {(200, True), (503, False)}
    return str(told.get("reason", ""))


def test_without_its_database_a_process_is_alive_and_not_ready(fresh_database: FreshDatabase, url: str) -> None:
    assert reason(url) == ""
    with away(fresh_database):
        until(lambda: reason(url) == "calls cannot be metered: the database cannot be reached", what="the loss")
        assert answers(f"{url}/healthz")
    until(lambda: reason(url) == "", what="being ready again")


def test_with_a_database_that_does_not_answer_it_is_neither(fresh_database: FreshDatabase, url: str) -> None:
    with psycopg.connect(fresh_database.url) as stranger:
        stranger.execute("LOCK TABLE allocations_meterworker IN ACCESS EXCLUSIVE MODE")
        until(lambda: reason(url) == "calls cannot be metered: the database does not answer", what="the standstill")
        assert answers(f"{url}/healthz")
    until(lambda: reason(url) == "", what="being ready again")
