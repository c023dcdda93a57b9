"""A gateway that is asked to stop: no new calls, what is in flight finishes or is cut off, and nothing stays held."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2 as httpx
import orjson
import pytest

from allocations.models import Hold, MeterWorker
from marketplace.runtime import lifeline
from tests.allocations.gateways import House, Purse, Server, chat, message, production, sandbox
from tests.allocations.sdks import Attempts
from tests.allocations.test_sdk_retries import Failure, called
from tests.allocations.wires import Wire, request, wire
from tests.conftest import FreshDatabase
from tests.processes import answers, manage, until

CHAT = "/v1/chat/completions"


@pytest.fixture
def house(fresh_database: FreshDatabase) -> House:
    return House()


@pytest.fixture
def attempts() -> Iterator[Attempts]:
    counted = Attempts()
    yield counted
    counted.client.close()


@contextmanager
def gateway(database: FreshDatabase, seconds: int) -> Iterator[Server]:
    """Run a gateway that lets calls finish for so many seconds."""
    with sandbox(database) as box, production(database, box.url, SHUTDOWN_SECONDS=str(seconds)) as server:
        yield server


def slow_stream(purse: Purse, tokens: int) -> bytes:
    """Return the request of a stream of so many tokens, fifty of them a second."""
    knobs = {"x-sandbox-chunk-delay-ms": "20", "x-sandbox-output-tokens": str(tokens)}
    return request(CHAT, purse.bearer | knobs, chat(stream=True, max_tokens=10_000))


def ask_to_stop(server: Server) -> None:
    server.running.send(signal.SIGTERM)
    until(lambda: answers(f"{server.url}/readyz", status=503), what="the end of being ready")


def test_what_is_in_flight_finishes_and_nothing_new_begins(fresh_database: FreshDatabase, house: House) -> None:
    purse = house.purse()
    with gateway(fresh_database, 60) as server, wire(server.url) as kept, wire(server.url) as streaming:
        kept.send(request(CHAT, purse.bearer, chat()))
        assert kept.answer()[0] == 200
        streaming.send(slow_stream(purse, 100))
        streaming.until(b"\n\n")
        ask_to_stop(server)

        told = httpx.get(f"{server.url}/readyz")
        assert (told.status_code, told.json()) == (503, {"ok": False, "reason": "draining"})
        assert answers(f"{server.url}/healthz")
        assert_sent_away(kept)
        late = httpx.post(f"{server.url}/v1/messages", headers=purse.x_api_key, json=message())
        assert (late.status_code, late.json()["error"]["type"]) == (503, "api_error")
        assert late.headers["retry-after"] == "1"

        assert streaming.rest().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert server.running.ended() == lifeline.ENDED_BY_SIGTERM
    assert [record.settle_kind for record in purse.records] == ["exact", "exact"]
    assert_nothing_is_held(fresh_database, purse)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_stock_client_tries_three_times(
    fresh_database: FreshDatabase, house: House, attempts: Attempts, dialect: str
) -> None:
    purse = house.purse()
    with gateway(fresh_database, 60) as server, wire(server.url) as streaming:
        streaming.send(slow_stream(purse, 5000))
        streaming.until(b"\n\n")
        ask_to_stop(server)
        kind = {"openai": "InternalServerError", "anthropic": "ServiceUnavailableError"}[dialect]
        assert called(dialect, server.url, purse, attempts) == Failure(kind, 503, 3)


def assert_sent_away(kept: Wire) -> None:
    """Call on a connection that was kept: the refusal has the provider's shape and ends the connection."""
    kept.send(request(CHAT, {"authorization": "Bearer whoever"}, chat()))
    status, headers, body = kept.answer()
    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    assert orjson.loads(body)["error"] == {
        "message": "This gateway is about to stop and takes no calls. Try again: another one answers.",
        "type": "server_error",
        "param": None,
        "code": "draining",
    }
    assert kept.rest() == b""


def assert_nothing_is_held(database: FreshDatabase, purse: Purse) -> None:
    assert (purse.quota().held, purse.key_quota.held, Hold.objects.count()) == (0, 0, 0)
    assert [worker.state for worker in MeterWorker.objects.all()] == ["stopped"]
    assert purse.quota().spent == sum(record.charged for record in purse.records)
    assert manage("verify", env=database.env).returncode == 0


def test_what_takes_too_long_is_cut_off_and_charged_by_what_is_known(
    fresh_database: FreshDatabase, house: House
) -> None:
    purse = house.purse()
    with ThreadPoolExecutor() as threads, gateway(fresh_database, 1) as server, wire(server.url) as streaming:
        streaming.send(slow_stream(purse, 5000))
        streaming.until(b"\n\n")
        headers = purse.bearer | {"x-sandbox-delay-ms": "60000"}
        plain = threads.submit(httpx.post, server.url + CHAT, headers=headers, json=chat(max_tokens=50), timeout=60)
        until(lambda: sum(hold.calls for hold in Hold.objects.filter(quota=purse.quota())) == 2, what="both holds")
        server.running.send(signal.SIGTERM)

        last = streaming.rest().split(b"data: ")[-1]
        assert b"Tank's gateway had to stop before the answer was whole." in last
        answer = plain.result()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")
        assert answer.headers["x-request-id"] in {str(record.request_id) for record in purse.records}
        assert server.running.ended() == lifeline.ENDED_BY_SIGTERM
    assert "Traceback" not in server.running.output
    assert {(record.settle_kind, record.streamed) for record in purse.records} == {
        ("estimated", True),
        ("estimated", False),
    }
    assert_nothing_is_held(fresh_database, purse)
