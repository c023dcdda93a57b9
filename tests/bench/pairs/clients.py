"""One call to an upstream with each client: its status and headers first, then what comes, piece by piece.

CLIENT names the client and UPSTREAM the address of the upstream, `HOST:PORT`.
"""

import asyncio
import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast

DROPPED = {b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding"}
DROPPED_TEXT = {name.decode() for name in DROPPED}
HeaderList = list[tuple[bytes, bytes]]
Answer = tuple[int, HeaderList, AsyncIterator[bytes]]


class Sink(Protocol):
    """Where a wire puts what it hears."""

    def head(self, status: int, headers: HeaderList) -> None: ...
    def body(self, data: bytes) -> None: ...
    def done(self) -> None: ...
    def flush(self) -> None: ...


class Client(ABC):
    """A client that keeps its connections."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = f"http://{upstream}"

    @abstractmethod
    async def open(self) -> None:
        """Open the client inside the running loop."""

    @abstractmethod
    def exchange(self, path: str, headers: dict[str, str], body: bytes) -> AbstractAsyncContextManager[Answer]:
        """Send a request and give its answer."""


class Aiohttp(Client):
    async def open(self) -> None:
        aiohttp, self._yarl = importlib.import_module("aiohttp"), importlib.import_module("yarl")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )

    @asynccontextmanager
    async def exchange(self, path: str, headers: dict[str, str], body: bytes) -> AsyncIterator[Answer]:
        url = self._yarl.URL(self.url + path, encoded=True)
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            kept = [(name, value) for name, value in answer.raw_headers if name.lower() not in DROPPED]
            yield answer.status, kept, _until_empty(answer.content.readany)


class Pyreqwest(Client):
    async def open(self) -> None:
        builder = importlib.import_module("pyreqwest.client").ClientBuilder().follow_redirects(False).referer(False)
        self._client = builder.gzip(False).brotli(False).zstd(False).deflate(False).no_proxy().build()

    @asynccontextmanager
    async def exchange(self, path: str, headers: dict[str, str], body: bytes) -> AsyncIterator[Answer]:
        request = self._client.post(self.url + path).headers(headers).body_bytes(body).build_streamed()
        async with request as answer:
            kept = [(n.encode(), v.encode()) for n, v in answer.headers.items() if n not in DROPPED_TEXT]
            reader = answer.body_reader

            async def read() -> bytes:
                return bytes(await reader.read_chunk() or b"")

            yield answer.status, kept, _until_empty(read)


class Httpx(Client):
    module = "httpx"

    async def open(self) -> None:
        httpx = importlib.import_module(self.module)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)

    @asynccontextmanager
    async def exchange(self, path: str, headers: dict[str, str], body: bytes) -> AsyncIterator[Answer]:
        async with self._client.stream("POST", self.url + path, content=body, headers=headers) as answer:
            kept = [(name, value) for name, value in answer.headers.raw if name.lower() not in DROPPED]
            yield answer.status_code, kept, answer.aiter_raw()


class Httpx2(Httpx):
    module = "httpx2"


class Bare(Client):
    """asyncio's connections and httptools with nothing around them: no limits, no patience, no backpressure."""

    async def open(self) -> None:
        self.idle: list[Wire] = []
        self._host, _, port = self.upstream.partition(":")
        self._port = int(port)

    async def connect(self) -> "Wire":
        """Return a connection that nobody uses."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: Wire(self.idle), self._host, self._port))[1]

    def request(self, path: str, headers: dict[str, str], body: bytes) -> bytes:
        """Return a request as it is sent."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\n{lines}content-length: {len(body)}\r\n\r\n"
        return head.encode("latin-1") + body

    @asynccontextmanager
    async def exchange(self, path: str, headers: dict[str, str], body: bytes) -> AsyncIterator[Answer]:
        wire = self.idle.pop() if self.idle else await self.connect()
        heard = _Heard()
        wire.ask(self.request(path, headers, body), heard)
        await heard.begun()
        yield heard.status, heard.headers, _until_empty(heard.read)


class Wire(asyncio.Protocol):
    """One connection to the upstream."""

    def __init__(self, idle: "list[Wire]") -> None:
        self._idle = idle
        self._new_parser = importlib.import_module("httptools").HttpResponseParser

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._idle:
            self._idle.remove(self)

    def ask(self, request: bytes, sink: Sink) -> None:
        """Send a request whose answer goes to a sink."""
        self._parser, self._sink = self._new_parser(self), sink
        self._headers: HeaderList = []
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._sink.flush()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in DROPPED:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._sink.head(self._parser.get_status_code(), self._headers)

    def on_body(self, data: bytes) -> None:
        self._sink.body(data)

    def on_message_complete(self) -> None:
        self._idle.append(self)
        self._sink.done()


class _Heard:
    """A sink that somebody waits at."""

    def __init__(self) -> None:
        self.status = 0
        self._parts: list[bytes] = []
        self._is_done = False
        self._waiter: asyncio.Future[None] | None = None

    def head(self, status: int, headers: HeaderList) -> None:
        self.status, self.headers = status, headers

    def body(self, data: bytes) -> None:
        self._parts.append(data)

    def done(self) -> None:
        self._is_done = True

    def flush(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def begun(self) -> None:
        """Wait for the head."""
        while not self.status:
            await self._wait()

    async def read(self) -> bytes:
        """Return what came, nothing at the end."""
        while not self._parts and not self._is_done:
            await self._wait()
        parts, self._parts = self._parts, []
        return b"".join(parts)

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter


async def _until_empty(read: Any) -> AsyncIterator[bytes]:
    while chunk := await read():
        yield chunk


def chosen() -> Client:
    """Return the client that the environment names."""
    return CLIENTS[os.environ["CLIENT"]](os.environ["UPSTREAM"])


CLIENTS: dict[str, type[Client]] = {
    "aiohttp": Aiohttp,
    "pyreqwest": Pyreqwest,
    "httpx2": Httpx2,
    "httpx": Httpx,
    "bare": Bare,
}
NAMES: Sequence[str] = tuple(CLIENTS)
