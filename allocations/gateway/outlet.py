"""The way back to the client: plain answers, and streams whose client may go away or take nothing."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from allocations.gateway.request import Receive, Send

HeaderList = Iterable[tuple[bytes, bytes]]


async def answer(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    """Send a whole answer."""
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


class StreamOutlet:
    """A streamed answer on its way to a client; after the client has gone, writing does nothing.

    One timer a stream watches whether the client takes anything: a time limit on every write would cost more than
    the write.
    """

    def __init__(self, send: Send, receive: Receive, write_seconds: float) -> None:
        self._send, self._receive, self._write_seconds = send, receive, write_seconds
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._writes, self._writes_then = 0, -1
        self._is_writing = False
        self._when_stuck: Callable[[], None] | None = None
        self.is_stuck = False

    @property
    def is_gone(self) -> bool:
        """Say whether the client has gone away, or takes nothing any more."""
        return self.is_stuck or self._watch.done()

    async def start(self, status: int, headers: HeaderList) -> None:
        """Send status and headers, and begin to watch for the client going away."""
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})
        self._watch = asyncio.create_task(_until_gone(self._receive))
        self._timer = self._loop.call_later(self._write_seconds, self._look)

    def _look(self) -> None:
        if self._is_writing and self._writes == self._writes_then:
            self._give_up()
            return
        self._writes_then = self._writes
        self._timer = self._loop.call_later(self._write_seconds, self._look)

    def _give_up(self) -> None:
        self.is_stuck = True
        if self._when_stuck is not None:
            self._when_stuck()

    @contextmanager
    def watched(self, *, when_gone: Callable[[], None], when_stuck: Callable[[], None]) -> Iterator[None]:
        """Have something done when the client goes away, or takes nothing any more, while the block runs."""

        def gone(watch: asyncio.Future[None]) -> None:
            if not watch.cancelled():
                when_gone()

        self._watch.add_done_callback(gone)
        self._when_stuck = when_stuck
        try:
            yield
        finally:
            self._when_stuck = None
            self._watch.remove_done_callback(gone)

    async def write(self, data: bytes) -> None:
        """Send some bytes, unless the client is gone."""
        if not data or self.is_stuck or self._watch.done():
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
        self._watch.cancel()
        if self._timer is not None:
            self._timer.cancel()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
