"""Passing an upstream's answer on: watched, not rebuilt, and never whole before its settle has committed."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import aiohttp

from allocations.gateway.admission import Admitted
from allocations.gateway.dialect import Ask, Headers, Reading, StreamWatch, Surface, as_object
from allocations.gateway.limits import Limits
from allocations.gateway.outlet import HeaderList, StreamOutlet, answer
from allocations.gateway.refusal import Kind, Refusal
from allocations.gateway.request import Receive, Request, Send
from allocations.gateway.settlement import Settlement
from allocations.gateway.sse import EventTooLong
from allocations.gateway.stats import GatewayStats, Trouble
from allocations.gateway.upstream import BROKEN, Decoder, Undecodable, passed_on

logger = logging.getLogger(__name__)

MOST_ERROR_BYTES = 1024 * 1024
CUT = "The provider's answer broke off. Tank charges what is known of it."
REDIRECTED = "The provider redirected the call, which Tank does not follow."
STOPPED = "Tank's gateway had to stop before the answer was whole. Tank charges what is known of it."
LOST = "Tank could not record what this answer used."


class TooLong(Exception):
    """A whole answer is larger than the gateway keeps."""


CUT_SHORT = (*BROKEN, TooLong, EventTooLong, Undecodable)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An error as a provider gave it, and what it says of itself."""

    status: int
    headers: Headers
    body: bytes
    reading: Reading
    upstream_id: str


class Call(NamedTuple):
    """An admitted call, and the client who waits for its answer."""

    surface: Surface
    ask: Ask
    request: Request
    admitted: Admitted
    settlement: Settlement
    limits: Limits
    send: Send
    receive: Receive
    stats: GatewayStats

    def note(self, trouble: Trouble) -> None:
        """Count what is wrong with the provider that answers."""
        self.stats.upstream_failed(self.settlement.served.model.provider.name, trouble)


class Relay:
    """One answer on its way from a provider to a client."""

    __slots__ = ("_call", "_settlement")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._settlement = call.settlement

    async def run(self, response: aiohttp.ClientResponse) -> None:
        """Pass an answer on and settle its call. Raises Refusal when there is nothing to pass on."""
        headers = response.headers
        self._settlement.upstream_id = _upstream_id(response)
        if response.status >= 400:
            await self._pass_error(response)
        elif response.status >= 300:
            await self._settlement.void()
            raise Refusal(Kind.UPSTREAM_BROKEN, REDIRECTED)
        elif headers.get("content-type", "").startswith("text/event-stream"):
            await _StreamRelay(self._call, response).run()
            await _exhaust(response)
        else:
            await self._pass_whole(response)

    async def _pass_error(self, response: aiohttp.ClientResponse) -> None:
        try:
            error = await self.read_error(response)
        except Refusal:
            await self._settlement.void()
            raise
        await self.pass_error(error)

    async def read_error(self, response: aiohttp.ClientResponse) -> ErrorAnswer:
        """Read a provider's error without passing it on. Raises Refusal when it does not come whole."""
        try:
            body = await whole_of(response, MOST_ERROR_BYTES)
        except CutAt:
            self._call.note(Trouble.CUT)
            raise Refusal(Kind.UPSTREAM_BROKEN, CUT) from None
        decoded = _decoded(response, body)
        headers, body = _as_sent(response, body, decoded)
        return ErrorAnswer(response.status, tuple(headers), body, self._reading(decoded), _upstream_id(response))

    async def pass_error(self, error: ErrorAnswer) -> None:
        """Pass a provider's error on; it costs nothing, unless it says what it used. Raises Refusal."""
        self._settlement.upstream_id = error.upstream_id
        await (self._settlement.void() if error.reading.tokens is None else self._settlement.whole(error.reading))
        if error.status == 401:
            raise refused_credential(self._call.request)
        await self._answer(error.status, error.headers, error.body)

    async def _pass_whole(self, response: aiohttp.ClientResponse) -> None:
        try:
            body = await whole_of(response, self._call.limits.answer_bytes)
        except CutAt as cut:
            self._call.note(Trouble.CUT)
            await self._settlement.part(Reading(), cut.size)
            raise Refusal(Kind.UPSTREAM_BROKEN, CUT) from None
        decoded = _decoded(response, body)
        await self._settlement.whole(self._reading(decoded))
        await self._answer(response.status, *_as_sent(response, body, decoded))

    async def _answer(self, status: int, headers: HeaderList, body: bytes) -> None:
        self._call.request.status = status
        await answer(self._call.send, status, [*headers, *said_of(self._call), *self._settlement.tolls], body)

    def _reading(self, decoded: bytes | None) -> Reading:
        document = None if decoded is None else as_object(decoded)
        return Reading() if document is None else self._call.surface.read(document)


class CutAt(Exception):
    """An answer broke off after so many bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


async def whole_of(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Read an answer to its end. Raises CutAt when it breaks off or is larger than `most_bytes`."""
    parts, size = [], 0
    try:
        while chunk := await response.content.readany():
            parts.append(chunk)
            size += len(chunk)
            if size > most_bytes:
                raise TooLong
    except CUT_SHORT:
        raise CutAt(size) from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _upstream_id(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("x-request-id", "") or response.headers.get("request-id", "")


class _StreamRelay:
    """One streamed answer on its way."""

    __slots__ = ("_call", "_content", "_decode", "_limits", "_outlet", "_response", "_settlement", "_watch")

    def __init__(self, call: Call, response: aiohttp.ClientResponse) -> None:
        self._call, self._response, self._settlement = call, response, call.settlement
        self._limits, self._content = call.limits, response.content
        self._watch: StreamWatch = call.surface.watch(call.ask)
        self._outlet = StreamOutlet(call.send, call.receive, call.limits.write_seconds)
        self._decode = Decoder(response.headers.get("content-encoding", ""))

    async def run(self) -> None:
        """Pass the stream on; its last event, or the error that takes its place, waits for the settle's commit."""
        self._settlement.is_streamed = True
        self._call.request.status = self._response.status
        try:
            await self._outlet.start(self._response.status, self._headers())
            is_cut = not await self._pump()
            self._note_trouble(is_cut=is_cut)
            await self._end(is_cut=is_cut)
        except asyncio.CancelledError:
            if not self._settlement.is_done:
                await self._end(is_cut=True, message=STOPPED)
            raise
        finally:
            self._outlet.close()

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [*passed_on(self._response.raw_headers), *said_of(self._call), self._settlement.remaining_while_held]
        return _without_encoding(headers) if self._decode.is_needed else headers

    async def _pump(self) -> bool:
        """Pass on what comes; return whether it came to an end. When the client goes, read on for the exact usage."""
        was_stuck, drain_seconds = self._outlet.is_stuck, self._limits.drain_seconds
        try:
            async with asyncio.timeout(drain_seconds if was_stuck else None) as patience:
                self._outlet.wait(patience, drain_seconds)
                return await self._pass_chunks()
        except CUT_SHORT:
            if self._outlet.is_stuck and not was_stuck:
                return await self._pump()
            return False
        finally:
            self._outlet.end_wait()

    async def _pass_chunks(self) -> bool:
        content, watch, outlet, drained = self._content, self._watch, self._outlet, 0
        decode = self._decode if self._decode.is_needed else None
        while drained <= self._limits.drain_bytes:
            chunk = await content.readany()
            if not chunk:
                await outlet.write(watch.finish())
                return True
            await outlet.write(watch.feed(chunk if decode is None else decode(chunk)))
            if watch.tail is not None:
                return True
            if outlet.is_gone:
                drained += len(chunk)
        return False

    def _note_trouble(self, *, is_cut: bool) -> None:
        if self._watch.is_error:
            self._call.note(Trouble.ERROR_EVENT)
        elif not self._outlet.is_gone and (is_cut or not (self._watch.has_ended or self._watch.is_final)):
            self._call.note(Trouble.CUT)

    async def _end(self, *, is_cut: bool, message: str = CUT) -> None:
        watch = self._watch
        has_all = not is_cut and not watch.is_error and (watch.has_ended or watch.is_final)
        try:
            if has_all or watch.is_final:
                await self._settlement.whole(watch.reading)
            else:
                await self._settlement.part(watch.reading, watch.text_bytes)
        except Exception:
            logger.exception("request %s could not be settled", self._call.request.id)
            await self._outlet.finish(self._error_event(Kind.INTERNAL, LOST))
            return
        await self._outlet.finish(watch.tail or (b"" if has_all else self._error_event(Kind.UPSTREAM_BROKEN, message)))

    def _error_event(self, kind: Kind, message: str) -> bytes:
        return self._call.surface.error_event(Refusal(kind, message), self._call.request.id)


def refused_credential(request: Request) -> Refusal:
    """Make the refusal for a provider's 401: it refused our credential, not the caller's key, and may quote it."""
    logger.error("a provider refused its credential (HTTP 401, request %s)", request.id)
    return Refusal(Kind.UPSTREAM_BROKEN, "The provider refused Tank's credential; tell your platform admin.")


def said_of(call: Call) -> Headers:
    """Return the headers that say who answered a call, and as what."""
    admitted, settlement, upstream_id = call.admitted, call.settlement, call.settlement.upstream_id
    served = settlement.served.model.name.encode()
    headers: Headers = ((b"x-request-id", call.request.id.encode()), (b"x-tank-model", served))
    if settlement.because:
        headers += ((b"x-tank-because", settlement.because.encode()),)
    if settlement.failure:
        headers += ((b"x-tank-backup", served), (b"x-tank-backup-reason", settlement.failure.encode()))
    if admitted.inserted_cap is not None:
        headers += ((b"x-tank-output-cap", str(admitted.inserted_cap).encode()),)
    if admitted.fell_from:
        headers += ((b"x-tank-fell-from", admitted.fell_from.encode()),)
    if upstream_id and upstream_id.isascii() and upstream_id.isprintable():
        headers += ((b"x-tank-upstream-id", upstream_id.encode()),)
    return headers


async def _exhaust(response: aiohttp.ClientResponse) -> None:
    # A connection whose answer was read to the end can carry the next call.
    with suppress(*BROKEN):
        async with asyncio.timeout(1):
            while not response.content.at_eof():
                await response.content.readany()


def _decoded(response: aiohttp.ClientResponse, body: bytes) -> bytes | None:
    """Return a whole body without the encoding that nobody asked for; None when it cannot be read."""
    encoding = response.headers.get("content-encoding")
    try:
        return Decoder(encoding)(body) if encoding else body
    except Undecodable:
        return None


def _as_sent(
    response: aiohttp.ClientResponse, body: bytes, decoded: bytes | None
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the headers and the body that the client gets: decoded where that could be done."""
    headers = passed_on(response.raw_headers)
    if decoded is None or decoded is body:
        return headers, body
    return _without_encoding(headers), decoded


def _without_encoding(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [header for header in headers if header[0] != b"content-encoding"]
