"""Clients that take their time: they cost the others nothing, and the gateway next to nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import orjson
import pytest

from tests.allocations.gateways import House, Server, chat, production, recorded
from tests.allocations.wires import head_of, request, wire
from tests.conftest import FreshDatabase
from tests.processes import until

CHAT = "/v1/chat/completions"
FLOOD = {"x-play": "flood"}  # fifty megabytes
MIB = 1024 * 1024


@pytest.fixture
def house(fresh_database: FreshDatabase) -> Iterator[House]:
    with recorded(fresh_database) as upstream:
        yield House(upstream.url)


@pytest.fixture
def server(fresh_database: FreshDatabase, house: House) -> Iterator[Server]:
    with production(fresh_database) as running:
        yield running


def memory(server: Server, name: str) -> int:
    """Return a figure of a process's memory in bytes: VmRSS now, VmHWM the most so far."""
    status = Path(f"/proc/{server.running.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def test_clients_that_take_nothing_hold_up_nobody_and_fill_no_memory(server: Server, house: House) -> None:
    stuck, other = house.purse(), house.purse()
    body = chat("gpt-6-astra", stream=True, max_tokens=900, stream_options={"include_usage": True})
    before = memory(server, "VmRSS")
    with ExitStack() as lines:
        for _ in range(12):
            line = lines.enter_context(wire(server.url, window=4096))
            line.send(request(CHAT, stuck.bearer | FLOOD, body))
            line.until(b"data: ")
        with ThreadPoolExecutor() as threads:
            headers = other.bearer | {"x-play": "openai_chat_completion.json"}
            asked = [
                threads.submit(httpx.post, server.url + CHAT, headers=headers, json=chat("gpt-6-astra"))
                for _ in range(50)
            ]
            assert {one.result().status_code for one in asked} == {200}
        assert (len(other.records), len(stuck.records)) == (50, 0)
    until(lambda: len(stuck.records) == 12, within=30, what="the settles of those who went away")
    assert stuck.quota().held == 0
    assert memory(server, "VmHWM") - before < 64 * MIB


def test_a_body_is_asked_for_only_from_who_may_send_it(server: Server, house: House) -> None:
    purse = house.purse()
    body = orjson.dumps(chat("gpt-6-astra"))
    waiting = {"expect": "100-continue", "content-length": str(len(body)), "x-play": "openai_chat_completion.json"}
    with wire(server.url) as line:
        line.send(head_of(CHAT, waiting | purse.bearer))
        assert line.answer()[0] == 100
        line.send(body)
        assert line.answer()[0] == 200
    for refused, status in (({}, 401), (purse.bearer | {"content-length": "99999999"}, 413)):
        with wire(server.url) as line:
            line.send(head_of(CHAT, waiting | refused))
            assert line.answer()[0] == status


def test_a_body_that_does_not_arrive_is_said_to_be_late(fresh_database: FreshDatabase, house: House) -> None:
    purse = house.purse()
    with production(fresh_database, GATEWAY_REQUEST_SECONDS="1") as server, wire(server.url) as line:
        line.send(head_of(CHAT, purse.bearer | {"content-length": "1000"}) + b"{")
        status, headers, body = line.answer()
        assert (status, orjson.loads(body)["error"]["code"]) == (408, "request_timeout")
        assert "x-request-id" in headers
        assert line.rest() == b""
    assert purse.quota().held == 0
