"""The way back to the client: plain answers, and streams whose client may go away or take nothing."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache

from allocations.gateway.request import Receive, Send

WATCH_AFTER_SECONDS = 0.25
HeaderList = Iterable[tuple[bytes, bytes]]


async def answer(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    """Send a whole answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


class StreamOutlet:
    """A streamed answer on its way to a client; after the client has gone, writing does nothing.

    Rounds are made to see whether clients take anything: a time limit on every write would cost more than the write, a
    timer for every stream more than the rest of it, and most streams are over before it is worth looking.
    """

    __slots__ = (
        "_is_writing", "_loop", "_patience", "_receive", "_seconds_when_gone", "_send", "_timer", "_watch",
        "_write_seconds", "_writes", "_writes_then", "is_gone", "is_stuck",
    )  # fmt: skip

    def __init__(self, send: Send, receive: Receive, write_seconds: float) -> None:
        self._send, self._receive, self._write_seconds = send, receive, write_seconds
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._writes, self._writes_then = 0, -1
        self._is_writing = False
        self._patience: asyncio.Timeout | None = None
        self._seconds_when_gone = 0.0
        self.is_stuck = False
        self.is_gone = False
        """The client has gone away, or takes nothing any more."""

    async def start(self, status: int, headers: HeaderList) -> None:
        """Send status and headers, and begin to watch for the client going away."""
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})
        self._timer = self._loop.call_later(WATCH_AFTER_SECONDS, self._begin_to_watch)

    def _begin_to_watch(self) -> None:
        self._watch = asyncio.create_task(self._until_gone())
        self._timer = None
        rounds_of(self._loop, self._write_seconds).add(self)

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        self._hurry(self._seconds_when_gone)

    def look(self) -> None:
        """Give the client up when it took nothing since the last look."""
        if self._is_writing and self._writes == self._writes_then:
            self._give_up()
        self._writes_then = self._writes

    def _give_up(self) -> None:
        self.is_stuck = self.is_gone = True
        self._hurry(0)

    def wait(self, patience: asyncio.Timeout, seconds_when_gone: float) -> None:
        """Let a wait end so many seconds after the client has gone away, and at once when it takes nothing any more."""
        self._patience, self._seconds_when_gone = patience, seconds_when_gone
        if self.is_gone and not self.is_stuck:
            self._hurry(seconds_when_gone)

    def end_wait(self) -> None:
        """Let nothing more depend on the client."""
        self._patience = None

    def _hurry(self, seconds: float) -> None:
        if self._patience is not None:
            with suppress(RuntimeError):  # it came to its end in the same moment
                self._patience.reschedule(self._loop.time() + seconds)

    async def write(self, data: bytes) -> None:
        """Send some bytes, unless the client is gone."""
        if not data or self.is_gone:
            return
        self._is_writing = True
        try:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except OSError:  # so some servers say that nobody is there
            self._give_up()
        self._is_writing = False
        self._writes += 1

    async def finish(self, data: bytes = b"") -> None:
        """Send the last bytes and end the answer."""
        self.close()
        if not self.is_stuck:
            await self._send({"type": "http.response.body", "body": data})

    def close(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()
        rounds_of(self._loop, self._write_seconds).discard(self)


class Rounds:
    """A look at every stream of an event loop, again and again while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._loop, self._seconds = loop, seconds
        self._outlets: set[StreamOutlet] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, outlet: StreamOutlet) -> None:
        """Look at a stream from now on."""
        self._outlets.add(outlet)
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._look)

    def discard(self, outlet: StreamOutlet) -> None:
        """Look at a stream no more."""
        self._outlets.discard(outlet)

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._seconds, self._look) if self._outlets else None
        for outlet in tuple(self._outlets):
            outlet.look()


@lru_cache(maxsize=4)
def rounds_of(loop: asyncio.AbstractEventLoop, seconds: float) -> Rounds:
    """Return the rounds of an event loop."""
    return Rounds(loop, seconds)
