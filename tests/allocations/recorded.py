"""An upstream that plays recorded answers and remembers what it was sent; served by uvicorn in the gateway's tests.

A request says with `x-play` what it wants to hear: a file of `tests/data/inline`, or one of the tricks below;
`500|openai_chat_completion.json` is one after the other, again and again.
`GET /seen` tells all requests since the last time it was asked. It can be several providers: below `/as/NAME/` a
request hears what it wanted with `x-play-NAME`.
"""

import asyncio
import gzip
import json
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "inline"
JSON: Headers = [(b"content-type", b"application/json")]
EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstd.compress,
}
seen: list[dict[str, Any]] = []
turns: Counter[str] = Counter()


async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        return await send({"type": "lifespan.startup.complete"})
    if scope["path"] == "/seen":
        told = json.dumps(seen).encode()
        seen.clear()
        return await answer(send, 200, JSON, told)
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    body = await body_of(receive)
    path = scope["path"] + ("?" + scope["query_string"].decode() if scope["query_string"] else "")
    seen.append({"path": path, "headers": headers, "body": body.decode()})
    role = scope["path"].removeprefix("/as/").partition("/")[0]
    return await play(in_turn(headers.get(f"x-play-{role}") or headers["x-play"]), headers, send, body)


def in_turn(names: str) -> str:
    turns[names] += 1
    several = names.split("|")
    return several[(turns[names] - 1) % len(several)]


async def play(name: str, headers: dict[str, str], send: Send, body: bytes) -> None:
    match name:
        case _ if name in TRICKS:
            await TRICKS[name](headers, body, send)
        case _ if name.removesuffix("-stream") in ENCODINGS:
            await encoded(name.removesuffix("-stream"), send, is_stream=name.endswith("-stream"))
        case "zstd-broken":
            await answer(send, 200, [*JSON, (b"content-encoding", b"zstd")], b"no frame of zstd")
        case "redirect":
            await answer(send, 302, [(b"location", b"http://127.0.0.1:9/")], b"")
        case "odd-headers":
            odd = [(b"connection", b"x-hop"), (b"x-hop", b"1"), (b"set-cookie", b"a=b"), (b"x-request-id", b"req_up")]
            whole = (SAMPLES / "openai_chat_completion.json").read_bytes()
            await answer(send, 200, [*JSON, *odd, (b"openai-processing-ms", b"12")], whole)
        case "error-with-usage":
            usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
            await answer(send, 500, JSON, json.dumps({"error": {"message": "half done"}, "usage": usage}).encode())
        case _ if name.isdigit():
            await answer(send, int(name), JSON, json.dumps({"error": {"message": f"played {name}"}}).encode())
        case "no-done":
            stream = (SAMPLES / "openai_chat_stream_include_usage.sse").read_bytes()
            await answer(send, 200, EVENTS, stream.removesuffix(b"data: [DONE]\n\n"))
        case _ if name.endswith(".sse"):
            await stream_of((SAMPLES / name).read_bytes(), int(headers.get("x-play-chunk", "1000000")), send)
        case _:
            await recorded(json.loads((SAMPLES / name).read_bytes()), (SAMPLES / name).read_bytes(), send)


async def encoded(encoding: str, send: Send, *, is_stream: bool) -> None:
    header = (b"content-encoding", encoding.encode())
    if is_stream:
        stream = ENCODINGS[encoding]((SAMPLES / "openai_chat_stream_include_usage.sse").read_bytes())
        await stream_of(stream, 50, send, header)
    else:
        whole = ENCODINGS[encoding]((SAMPLES / "openai_chat_completion.json").read_bytes())
        await answer(send, 200, [*JSON, header], whole)


async def recorded(sample: dict[str, Any], raw: bytes, send: Send) -> None:
    if not isinstance(sample.get("status"), int):
        return await answer(send, 200, JSON, raw)
    headers = [(name.encode(), value.encode()) for name, value in sample["headers"].items()]
    return await answer(send, sample["status"], headers, json.dumps(sample["body"]).encode())


async def stream_of(data: bytes, size: int, send: Send, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [*EVENTS, *headers]})
    for place in range(0, len(data), size):
        await send({"type": "http.response.body", "body": data[place : place + size], "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


async def silence(headers: dict[str, str], body: bytes, send: Send) -> None:
    await asyncio.Event().wait()


async def quoting(headers: dict[str, str], body: bytes, send: Send) -> None:
    """Refuse, and quote the credential and the prompt."""
    given = headers.get("authorization") or headers["x-api-key"]
    told = {"error": {"message": f"Incorrect API key provided: {given}, with {body.decode()}"}}
    await answer(send, 401, JSON, json.dumps(told).encode())


async def flood(headers: dict[str, str], body: bytes, send: Send) -> None:
    """Stream fifty megabytes in a few large events, with the usage at the end."""
    chunk: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-6-astra"}
    words = {"index": 0, "delta": {"content": "a" * 64 * 1024}, "finish_reason": None}
    event = b"data: " + json.dumps(chunk | {"choices": [words]}).encode() + b"\n\n"
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    last = b"data: " + json.dumps(chunk | {"choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
    for _ in range(800):
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": last})


TRICKS = {"silence": silence, "quoting": quoting, "flood": flood}


async def body_of(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
