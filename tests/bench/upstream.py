"""An upstream that is fast enough not to be the limit: fixed answers, whole or in twenty chunks a millisecond apart.

python -m tests.bench.upstream PORT
"""

import asyncio
import re
import sys
from typing import cast

import orjson
import uvloop

CHUNKS = 20
CHUNK_SECONDS = 0.001
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
HEAD = {"id": "chatcmpl-bench", "created": 1_767_225_600, "model": "bench", "service_tier": "default"}
USAGE = {"prompt_tokens": 60, "completion_tokens": 80, "total_tokens": 140}


def whole() -> bytes:
    """Return an answer of some eighty words."""
    message = {"role": "assistant", "content": "word " * 80}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = orjson.dumps(HEAD | {"object": "chat.completion", "choices": [choice], "usage": USAGE})
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def chunks() -> list[bytes]:
    """Return a streamed answer, one piece per chunk, its head before the first."""
    delta = {"index": 0, "delta": {"content": "word word word word "}, "logprobs": None, "finish_reason": None}
    events = [HEAD | {"object": "chat.completion.chunk", "choices": [delta], "usage": None}] * (CHUNKS - 1)
    texts = [b"data: %b\n\n" % orjson.dumps(event) for event in events]
    last = orjson.dumps(HEAD | {"object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    texts.append(b"data: %b\n\ndata: [DONE]\n\n" % last)
    pieces = [b"%x\r\n%b\r\n" % (len(text), text) for text in texts]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return [head + pieces[0], *pieces[1:-1], pieces[-1] + b"0\r\n\r\n"]


WHOLE, STREAM = whole(), chunks()


class Upstream(asyncio.Protocol):
    """One connection, one request after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._received, self._loop = b"", asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        """Answer once a request is whole."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        length = LENGTH.search(self._received, 0, max(end, 0))
        if end < 0 or length is None or len(self._received) < end + 4 + int(length[1]):
            return
        is_stream = b'"stream":true' in self._received
        self._received = b""
        if is_stream:
            self._send(0)
        else:
            self._transport.write(WHOLE)

    def _send(self, number: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(STREAM[number])
        if number + 1 < CHUNKS:
            self._loop.call_later(CHUNK_SECONDS, self._send, number + 1)


async def serve(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
