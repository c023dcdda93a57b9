"""Upstreams in Python: answers in twenty chunks for the benchmarks, of any usage for the fire, and streams without end.

python -m tests.bench.upstream PORT [fixed|random|endless]
"""

import asyncio
import random
import re
import sys
from collections.abc import Sequence
from typing import Any, cast

import orjson
import uvloop

CHUNKS = 20
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
PLAIN, STREAMED = "bench", "bench-streamed"
HEAD = {"id": "chatcmpl-bench", "created": 1_767_225_600, "service_tier": "default"}
WORD = "word "
MOST_OUTPUT = 400
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n"
DONE = b"data: [DONE]\n\n"


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def body(model: str, words: int, used: dict[str, int]) -> bytes:
    """Return the document of a whole answer."""
    message = {"role": "assistant", "content": WORD * words}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return orjson.dumps(HEAD | {"model": model, "object": "chat.completion", "choices": [choice], "usage": used})


def whole(document: bytes, more: bytes = b"") -> bytes:
    """Return a whole answer with its head, which `more` lines are added to."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
    return head % (len(document), more) + document


def event(model: str, words: int) -> bytes:
    """Return one event of a stream."""
    delta = {"index": 0, "delta": {"content": WORD * words}, "logprobs": None, "finish_reason": None}
    chunk = HEAD | {"model": model, "object": "chat.completion.chunk", "choices": [delta], "usage": None}
    return b"data: %b\n\n" % orjson.dumps(chunk)


def pieces(model: str, events: Sequence[bytes], used: dict[str, int], more: bytes = b"") -> list[bytes]:
    """Return a streamed answer, one piece per chunk, its head before the first."""
    last = orjson.dumps(HEAD | {"model": model, "object": "chat.completion.chunk", "choices": [], "usage": used})
    texts = [*events, b"data: %b\n\n%b" % (last, DONE)]
    chunks = [b"%x\r\n%b\r\n" % (len(text), text) for text in texts]
    return [STREAM_HEAD + more + b"\r\n" + chunks[0], *chunks[1:-1], chunks[-1] + b"0\r\n\r\n"]


USAGE = usage(60, 80)
DOCUMENT = body(PLAIN, 80, USAGE)
WHOLE, STREAM = whole(DOCUMENT), pieces(STREAMED, [event(STREAMED, 4)] * (CHUNKS - 1), USAGE)


class Upstream(asyncio.Protocol):
    """One connection, one request after the other. A chunk goes out in every turn of the loop: nothing waits."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._received, self._loop = b"", asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Answer once a request is whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        length = LENGTH.search(self._received, 0, max(end, 0))
        if end < 0 or length is None or len(self._received) < end + 4 + int(length[1]):
            return
        request, self._received = self._received[end + 4 :], b""
        self.answer(request)

    def answer(self, request: bytes) -> None:
        """Answer a request's body."""
        if b'"stream":true' in request:
            self.send(STREAM)
        else:
            self._transport.write(WHOLE)

    def send(self, parts: Sequence[bytes], number: int = 0) -> None:
        """Send the parts from this one on, each in a turn of its own."""
        if self._transport.is_closing():
            return
        self._transport.write(parts[number])
        if number + 1 < len(parts):
            self._loop.call_soon(self.send, parts, number + 1)


class RandomUpstream(Upstream):
    """Answers of any length within the request's cap, at any moment, with a usage to match."""

    def answer(self, request: bytes) -> None:
        self._loop.call_later(random.expovariate(1 / 0.02), self._answer, orjson.loads(request))

    def _answer(self, asked: dict[str, Any]) -> None:
        if self._transport.is_closing():
            return
        cap = asked.get("max_completion_tokens") or asked["max_tokens"]
        output = random.randint(1, min(cap, MOST_OUTPUT))
        used, model = usage(prompt_tokens(asked), output), asked["model"]
        more = b"x-request-id: call-%016x\r\n" % random.getrandbits(64)
        if asked.get("stream"):
            self.send(pieces(model, [event(model, output // 4 + 1)] * random.randint(2, 6), used, more))
        else:
            self._transport.write(whole(body(model, output // 4 + 1, used), more))


def prompt_tokens(asked: dict[str, Any]) -> int:
    """Return what a request's messages count: a token per five bytes, and a few for each message."""
    return sum(4 + len(message["content"]) // 5 for message in asked["messages"])


class EndlessUpstream(Upstream):
    """Streams that begin and then say nothing more."""

    def answer(self, request: bytes) -> None:
        self._transport.write(STREAM[0])


KINDS = {"fixed": Upstream, "random": RandomUpstream, "endless": EndlessUpstream}


async def serve(port: int, kind: str) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(KINDS[kind], "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), *(sys.argv[2:] or ["fixed"])))
