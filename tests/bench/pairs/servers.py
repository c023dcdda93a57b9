"""The proxy for each server: `asgi` and `rsgi` for those that load it, `aiohttp.web` and a bare protocol by itself.

python -m pairs.servers aiohttp.web|protocol PORT
"""

import asyncio
import importlib
import sys
from typing import Any, cast

from .clients import DROPPED, DROPPED_TEXT, Bare, HeaderList, chosen

client = chosen()


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer one ASGI scope."""
    if scope["type"] == "lifespan":
        await receive()
        await client.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    headers = {name.decode(): value.decode() for name, value in scope["headers"] if name not in DROPPED}
    async with client.exchange(scope["path"], headers, body) as (status, kept, chunks):
        await send({"type": "http.response.start", "status": status, "headers": kept})
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class Rsgi:
    """Granian's own interface."""

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_until_complete(client.open())

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        body = await protocol()
        headers = {name: value for name, value in scope.headers.items() if name not in DROPPED_TEXT}
        async with client.exchange(scope.path, headers, body) as (status, kept, chunks):
            lines = [(name.decode().lower(), value.decode()) for name, value in kept]
            outlet = protocol.response_stream(status, lines)
            async for chunk in chunks:
                await outlet.send_bytes(chunk)


rsgi = Rsgi()


class Door(asyncio.Protocol):
    """A server of asyncio's connections and httptools. With the bare client no task stands between the two sockets."""

    def __init__(self) -> None:
        self._parser = importlib.import_module("httptools").HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._path = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() not in DROPPED:
            self._headers[name.decode()] = value.decode()

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)

    def on_message_complete(self) -> None:
        body = b"".join(self._parts)
        if isinstance(client, Bare) and client.idle:
            client.idle.pop().ask(client.request(self._path, self._headers, body), self)
        else:
            self._task = self._loop.create_task(self._answer(body))

    async def _answer(self, body: bytes) -> None:
        if isinstance(client, Bare):
            (await client.connect()).ask(client.request(self._path, self._headers, body), self)
            return
        async with client.exchange(self._path, self._headers, body) as (status, kept, chunks):
            self.head(status, kept)
            async for chunk in chunks:
                self.body(chunk)
                self.flush()
        self.done()
        self.flush()

    def head(self, status: int, headers: HeaderList) -> None:
        """Write an answer's head."""
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self._out.append(b"HTTP/1.1 %d OK\r\n%btransfer-encoding: chunked\r\n\r\n" % (status, lines))

    def body(self, data: bytes) -> None:
        """Write a piece of its body."""
        self._out.append(b"%x\r\n%b\r\n" % (len(data), data))

    def done(self) -> None:
        """Write its end."""
        self._out.append(b"0\r\n\r\n")

    def flush(self) -> None:
        """Send what was written."""
        if not self._transport.is_closing():
            self._transport.write(b"".join(self._out))
        self._out.clear()


async def serve_protocol(port: int) -> None:
    """Serve with the bare protocol."""
    await client.open()
    server = await asyncio.get_running_loop().create_server(Door, "127.0.0.1", port)
    await server.serve_forever()


async def serve_aiohttp(port: int) -> None:
    """Serve with aiohttp's own server."""
    web: Any = importlib.import_module("aiohttp.web")
    await client.open()

    async def handle(request: Any) -> Any:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED_TEXT}
        async with client.exchange(request.path, headers, body) as (status, kept, chunks):
            answer = web.StreamResponse(status=status, headers={n.decode(): v.decode() for n, v in kept})
            answer.enable_chunked_encoding()
            await answer.prepare(request)
            async for chunk in chunks:
                await answer.write(chunk)
            await answer.write_eof()
            return answer

    runner = web.ServerRunner(web.Server(handle), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    importlib.import_module("uvloop").run(
        {"protocol": serve_protocol, "aiohttp.web": serve_aiohttp}[sys.argv[1]](int(sys.argv[2]))
    )
