"""The sandbox provider as an ASGI application, mounted at /sandbox.

`POST /sandbox/v1/chat/completions`, `…/responses`, `…/embeddings`, `…/messages`, `…/messages/count_tokens` and
`GET /sandbox/v1/models`. It needs no key and knows every model name. `GET …/organization/usage/completions` is its
usage feed: what it has counted itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from types import ModuleType
from typing import Any

import orjson
from django.conf import settings

from allocations.sandbox import answer as answers
from allocations.sandbox import (
    anthropic_shape,
    count_shape,
    embeddings_shape,
    feed,
    knobs,
    openai_shape,
    responses_shape,
)
from allocations.sandbox.tally import tally

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SHAPES: dict[str, ModuleType] = {
    "chat/completions": openai_shape,
    "responses": responses_shape,
    "embeddings": embeddings_shape,
    "messages": anthropic_shape,
    "messages/count_tokens": count_shape,
}
# They have no text to say, and no streams.
SILENT = (embeddings_shape, count_shape)
MODELS = ["sandbox-frontier", "sandbox-standard", "sandbox-economy"]
MOST_BYTES = 32 * 1024 * 1024
RETRY_AFTER = {429: "1", 503: "1"}


class _Bad(Exception):
    """The request is wrong: status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one ASGI scope."""
    if scope["type"] == "lifespan":
        return await _live(receive, send)
    path = scope["path"].rpartition("/v1/")[2]
    shape = SHAPES.get(path, _shape_by_header(scope))
    try:
        if path == "models" and scope["method"] == "GET":
            return await _answer(send, 200, shape.models(MODELS))
        if path == feed.PATH and scope["method"] == "GET":
            return await _answer(send, 200, await _usage(scope))
        if path not in SHAPES or scope["method"] != "POST":
            raise _Bad(404, "The sandbox has no such path.")
        await _complete(shape, scope, receive, send)
    except _Bad as bad:
        await _answer(send, bad.status, shape.error(bad.status, bad.message))
    return None


async def _usage(scope: Scope) -> dict[str, Any]:
    try:
        return await asyncio.to_thread(feed.answer, tally(), scope["query_string"])
    except feed.BadQuery as bad:
        raise _Bad(400, str(bad)) from None


async def _complete(shape: ModuleType, scope: Scope, receive: Receive, send: Send) -> None:
    payload = await _payload(shape, receive)
    try:
        wishes = knobs.read(scope["headers"], settings.SANDBOX_DELAY_MS)
    except knobs.BadKnob as bad:
        raise _Bad(400, str(bad)) from None
    if shape in SILENT:
        answer = shape.answer_to(payload)
    else:
        answer = answers.make(payload, _cap(shape, payload), wishes.output_tokens, shape.wish(payload))
    if answer.input_tokens > answers.CONTEXT_WINDOW:
        raise _Bad(400, f"The prompt is too long: {answer.input_tokens} tokens > {answers.CONTEXT_WINDOW} maximum.")
    if wishes.delay_seconds:
        await asyncio.sleep(wishes.delay_seconds)
    if wishes.fault.isdigit():
        raise _Bad(int(wishes.fault), "The sandbox was asked to fail.")
    await _send_answer(shape, payload, answer, wishes, send)


async def _send_answer(
    shape: ModuleType, payload: dict[str, Any], answer: answers.Answer, wishes: knobs.Knobs, send: Send
) -> None:
    output = answer.output_tokens * 3 + 1000 if wishes.fault == "overrun" else answer.output_tokens
    used = shape.usage(payload, answer, output)
    usage = used if wishes.has_usage else None
    if shape is not count_shape and wishes.fault != "redirect":
        _count(payload, used, wishes)
    if wishes.fault == "redirect":
        await _start(send, 307, [(b"location", b"http://127.0.0.1:9/elsewhere")])
        await send({"type": "http.response.body", "body": b""})
    elif payload.get("stream") is True and shape not in SILENT:
        await _stream(shape, shape.events(payload, answer, usage), wishes, send)
    elif wishes.fault == "cut":
        await _start(send, 200, [(b"content-type", b"application/json"), (b"content-length", b"100000")])
        half = orjson.dumps(shape.whole(payload, answer, usage))
        await send({"type": "http.response.body", "body": half, "more_body": True})
    elif wishes.fault == "not-json":
        await _start(send, 200, [(b"content-type", b"application/json")])
        await send({"type": "http.response.body", "body": b"{not json"})
    else:
        await _answer(send, 200, shape.whole(payload, answer, usage))


def _count(payload: dict[str, Any], used: dict[str, Any], wishes: knobs.Knobs) -> None:
    """Count a call as a provider does: when it is answered, whether or not the answer says so or arrives."""
    if wishes.feed_calls:
        tally().add(
            payload.get("model"),
            wishes.feed_key,
            calls=wishes.feed_calls,
            input_tokens=wishes.feed_calls * used.get("prompt_tokens", used.get("input_tokens", 0)),
            output_tokens=wishes.feed_calls * used.get("completion_tokens", used.get("output_tokens", 0))
            + wishes.feed_tokens,
        )


async def _stream(shape: ModuleType, events: Iterable[bytes], wishes: knobs.Knobs, send: Send) -> None:
    await _start(send, 200, [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")])
    breaks = wishes.fault in {"cut", "error-event"}
    for event in _first_half(list(events)) if breaks else events:
        await send({"type": "http.response.body", "body": event, "more_body": True})
        if wishes.chunk_delay_seconds:
            await asyncio.sleep(wishes.chunk_delay_seconds)
    if wishes.fault == "cut":
        return  # the server closes the connection in the middle of the body
    last = shape.error_event("The sandbox was asked to fail.") if breaks else b""
    await send({"type": "http.response.body", "body": last})


def _first_half(events: list[bytes]) -> list[bytes]:
    return events[: len(events) // 2]


async def _payload(shape: ModuleType, receive: Receive) -> dict[str, Any]:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            raise _Bad(413, "The request is too large.")
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _Bad(400, "The request's body is not valid JSON.") from None
    if not isinstance(payload, dict):
        raise _Bad(400, "The request's body must be a JSON object.")
    if problem := shape.problem(payload):
        raise _Bad(400, problem)
    return payload


def _cap(shape: ModuleType, payload: dict[str, Any]) -> int | None:
    caps = [payload[name] for name in shape.CAPS if payload.get(name) is not None]
    if any(type(cap) is not int or cap < 1 for cap in caps):
        raise _Bad(400, "The output cap must be a positive whole number.")
    return min(caps, default=None)


def _shape_by_header(scope: Scope) -> ModuleType:
    return anthropic_shape if any(name == b"anthropic-version" for name, _ in scope["headers"]) else openai_shape


async def _live(receive: Receive, send: Send) -> None:
    while (await receive())["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _start(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    identified = [*headers, (b"x-request-id", b"req_sandbox"), (b"request-id", b"req_sandbox")]
    await send({"type": "http.response.start", "status": status, "headers": identified})


async def _answer(send: Send, status: int, document: dict[str, Any]) -> None:
    body = orjson.dumps(document)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in RETRY_AFTER:
        headers.append((b"retry-after", RETRY_AFTER[status].encode()))
    await _start(send, status, headers)
    await send({"type": "http.response.body", "body": body})
