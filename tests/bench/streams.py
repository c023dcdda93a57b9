"""Idle streams: how much memory a gateway keeps for each of many that are open and say nothing."""

import asyncio
import resource
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

import uvloop
from django.db import connection

from allocations.models import Hold
from tests.allocations.gateways import House, chat
from tests.bench import machine
from tests.bench.load import Request
from tests.bench.place import own_database
from tests.processes import MANAGE, Running, answers, free_port, is_open, start_process

STREAMS = 10_000
WARM_UP = 200
AT_ONCE = 250
OTHER_FILES = 200
PATIENCE_SECONDS = 60
MODEL = "gpt-6-astra"


@dataclass(frozen=True)
class Idle:
    """What a gateway grew by, in KiB, for this many more streams that were open at once, and what it held for them."""

    streams: int
    kib: int
    calls_held: int

    @property
    def kib_each(self) -> float:
        """Return KiB a stream."""
        return self.kib / self.streams


def main() -> str:
    """Open as many streams as the limit of open files allows, up to 10,000, and return the figure as Markdown."""
    with ExitStack() as stack:
        idle = measure(own_database(stack).env, STREAMS)
    rows = [("memory of an idle stream", "under 30 KiB", f"{idle.kib_each:.1f} KiB")]
    head = (f"{idle.streams:,} streams open in one gateway", "to reach", "measured")
    return f"{machine.described()}\n\n{machine.markdown(head, rows)}\n"


def measure(env: Mapping[str, str], streams: int) -> Idle:
    """Open streams through a gateway of their own and return what it grew by from the first few to all of them."""
    streams = min(streams, _most_streams())
    with ExitStack() as stack:
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.upstream", str(port), "endless"]
        stack.enter_context(start_process(command, env, ready=lambda _: is_open(port)))
        secret = House(f"http://127.0.0.1:{port}").purse("10000").secret
        port = free_port()
        url = f"http://127.0.0.1:{port}/v1/models"
        command = [*MANAGE, "gateway", "--port", str(port)]
        gateway = stack.enter_context(start_process(command, env, ready=lambda _: answers(url, 401)))
        return uvloop.run(_open_all(Request(port, secret, chat(MODEL, max_tokens=50, stream=True)), gateway, streams))


def _most_streams() -> int:
    """Raise the limit of open files as far as it goes and return how many streams fit: two files each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return (hard - OTHER_FILES) // 2


async def _open_all(request: Request, gateway: Running, streams: int) -> Idle:
    listeners = [_Listener(request.encoded) for _ in range(streams)]
    await _open(listeners[:WARM_UP], request.port)
    before = machine.resident_kib(gateway.pid)
    for first in range(WARM_UP, streams, AT_ONCE):
        await _open(listeners[first : first + AT_ONCE], request.port)
    grown = machine.resident_kib(gateway.pid) - before
    held = await asyncio.to_thread(_calls_held)
    for listener in listeners:
        listener.close()
    return Idle(streams - WARM_UP, grown, held)


async def _open(listeners: list["_Listener"], port: int) -> None:
    loop = asyncio.get_running_loop()
    for listener in listeners:
        await loop.create_connection(lambda listener=listener: listener, "127.0.0.1", port)  # type: ignore[misc]  # mypy infers no default
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(listener.heard for listener in listeners))


def _calls_held() -> int:
    try:
        return Hold.objects.get(quota__line__isnull=False).calls
    finally:
        connection.close()  # this thread's


class _Listener(asyncio.Protocol):
    """One stream: open once its first event came."""

    def __init__(self, request: bytes) -> None:
        self._request, self._received = request, b""
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\ndata: " in self._received and not self.heard.done():
            self.heard.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.heard.done():
            self.heard.set_exception(ConnectionError(self._received.decode(errors="replace")))
