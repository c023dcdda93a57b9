"""A bare pass-through proxy: the gateway's server and client with nothing in between.

UPSTREAM=http://127.0.0.1:9000 python -m marketplace.runtime.serving tests.bench.proxy:application --port 8001
"""

import os
from typing import Any

import aiohttp
from yarl import URL

DROPPED = {b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding"}
sessions: list[aiohttp.ClientSession] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer one ASGI scope."""
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    headers = {name.decode(): value.decode() for name, value in scope["headers"] if name not in DROPPED}
    url = URL(os.environ["UPSTREAM"] + scope["path"], encoded=True)
    async with sessions[0].post(url, data=body, headers=headers, allow_redirects=False) as answer:
        kept = [(name, value) for name, value in answer.raw_headers if name.lower() not in DROPPED]
        await send({"type": "http.response.start", "status": answer.status, "headers": kept})
        while chunk := await answer.content.readany():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def live(receive: Any, send: Any) -> None:
    """Open the client at the start and close it at the end."""
    await receive()
    connector = aiohttp.TCPConnector(limit=0)
    sessions.append(
        aiohttp.ClientSession(connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
    )
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await sessions.pop().close()
    await send({"type": "lifespan.shutdown.complete"})
