"""The HTTP/1.1 reader of our servers: uvicorn's, with limits on what a client may send and how long it may take.

Without them a client could send one header for ever, or nothing, or take nothing of its answer, and be kept in memory
for it. And an answer leaves in as few pieces as it can.
"""

import asyncio
import socket
import struct
from typing import Any

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 64 * 1024
MOST_GATHERED_BYTES = 64 * 1024
NO_LINGER = struct.pack("ii", 1, 0)


class GatheringTransport:
    """A transport that writes once a turn of the event loop: head and body of an answer leave in one system call."""

    __slots__ = ("_loop", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop, self._waiting = transport, loop, b""

    def write(self, data: bytes) -> None:
        """Write some bytes at the end of this turn, or at once when they are many."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
            self._waiting = data
        else:
            self._waiting += data
        if len(self._waiting) > MOST_GATHERED_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what waits, and close."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Say whether nothing can be written any more."""
        return self._transport.is_closing()

    def _flush(self) -> None:
        data, self._waiting = self._waiting, b""
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedHttp(HttpToolsProtocol):
    """Answer 400 to a request whose head is too long; hang up on one that does not come, or takes no answer."""

    # In uvicorn's own dictionary of attributes they would be the few too many that make it large.
    __slots__ = ("_arrival", "_had_its_time", "_head_bytes", "_in_head", "_taking", "_untaken")

    # For a request to arrive, and for a client to take anything of an answer.
    _request_seconds = settings.GATEWAY_REQUEST_SECONDS
    _write_seconds = settings.GATEWAY_WRITE_SECONDS

    # --- What the client sends ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP has no other
        """Expect the first request."""
        self._taking: asyncio.TimerHandle | None = None
        self._untaken = 0
        super().connection_made(transport)
        self.transport = GatheringTransport(transport, self.loop)  # type: ignore[assignment]  # it delegates
        self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._end_arrival()
        self._end_taking()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless the head has become too long."""
        if self._arrival is None and self.cycle is not None and self.cycle.response_complete:
            self._expect_request()
        if not self._in_head:
            super().data_received(data)
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MOST_HEAD_BYTES:
            self.send_400_response("The request's headers are too long.")

    def on_message_begin(self) -> None:
        """Expect a request that follows another one at once."""
        super().on_message_begin()
        if self._arrival is None:
            self._expect_request()

    def on_headers_complete(self) -> None:
        """Take the head."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Take the end of the body, which may come after the answer."""
        self._end_arrival()
        super().on_message_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _expect_request(self) -> None:
        self._in_head, self._head_bytes, self._had_its_time = True, 0, False
        self._arrival: asyncio.TimerHandle | None = self.loop.call_later(self._request_seconds, self._give_up)

    def _give_up(self) -> None:
        # A body gets the time twice: the application, which limits it too, can then say what was wrong.
        is_unanswered_body = not self._in_head and not self.cycle.response_complete
        if self._had_its_time or not is_unanswered_body:
            self.transport.close()
            return
        self._had_its_time = True
        self._arrival = self.loop.call_later(self._request_seconds, self._give_up)

    def _end_arrival(self) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None

    # --- What the client takes ---------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Expect the client to take something of what waits for it."""
        super().pause_writing()
        self._untaken = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self._write_seconds, self._look)

    def resume_writing(self) -> None:
        """Take note that it did."""
        self._end_taking()
        super().resume_writing()

    def _look(self) -> None:
        untaken = self.transport.get_write_buffer_size()
        if untaken >= self._untaken:
            # The kernel too shall forget what it still wanted to send.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self.transport.abort()
            return
        self._untaken = untaken
        self._taking = self.loop.call_later(self._write_seconds, self._look)

    def _end_taking(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None
