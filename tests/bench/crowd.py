"""A crowd of clients in one process: `python -m tests.bench.crowd PLAN`, a JSON file that says who calls whom.

Each has one connection to one of some gateways, calls, rests a moment and calls again; when its gateway goes away it
goes to another one. What came whole is written into the plan's `told`, a line of JSON each.
"""

import asyncio
import random
import re
import sys
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import orjson
import uvloop

PATH = "/v1/chat/completions"
LAST_CHUNK, DONE = b"\r\n0\r\n\r\n", b"data: [DONE]"
USED = re.compile(rb'"prompt_tokens":(\d+),"completion_tokens":(\d+)')
MOST_WORDS, CAPS = 200, (20, 100, 400, None)
AGAIN_SECONDS = 0.1
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """Who calls whom: each client has the key of its number, counted round the secrets."""

    ports: list[int]
    secrets: list[str]
    clients: int
    seconds: float
    rest: float
    """Seconds between calls, on average."""
    told: str
    model: str = "gpt-6-astra"
    is_stopped_by_refusal: bool = False
    """A client that was refused calls no more."""


@dataclass
class _State:
    ends_at: float
    told: BytesIO = field(default_factory=BytesIO)
    broken: int = 0


class Client(asyncio.Protocol):
    """One client."""

    def __init__(self, plan: Plan, state: _State, number: int) -> None:
        self._plan, self._state = plan, state
        self._key = number % len(plan.secrets)
        self._place = number % len(plan.ports)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received: list[bytes] = []
        self._asked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.finished = self._loop.create_future()

    def start(self) -> None:
        """Come in at some moment of the first rest."""
        self._later(random.random() * self._plan.rest)

    def _later(self, seconds: float) -> None:
        """Call after a while, and forget that it was to be at another time."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._next)

    # --- Calling ---------------------------------------------------------------------------------------------

    def _next(self) -> None:
        if time.time() >= self._state.ends_at:
            self._finish()
        elif self._transport is None or self._transport.is_closing():
            self._task = self._loop.create_task(self._connect())
        else:
            self._asked_at = time.time()
            self._transport.write(self._request())

    def _finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)
        if self._transport is not None:
            self._transport.close()

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", self._plan.ports[self._place])
        except OSError:
            self._elsewhere()

    def _elsewhere(self) -> None:
        self._place = random.randrange(len(self._plan.ports))
        self._later(AGAIN_SECONDS)

    def _request(self) -> bytes:
        text, cap = "word " * random.randint(1, MOST_WORDS), random.choice(CAPS)
        body: dict[str, Any] = {"model": self._plan.model, "messages": [{"role": "user", "content": text}]}
        if cap is not None:
            body["max_completion_tokens"] = cap
        if random.random() < 0.5:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        data = orjson.dumps(body)
        head = f"POST {PATH} HTTP/1.1\r\nhost: tank\r\nauthorization: Bearer {self._plan.secrets[self._key]}\r\n"
        return f"{head}content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data

    # --- Hearing ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Call."""
        self._transport = cast(asyncio.Transport, transport)
        self._received.clear()
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Go elsewhere; what was half heard is not whole."""
        self._transport = None
        if self._asked_at:
            self._state.broken += 1
            self._asked_at = 0.0
        if not self.finished.done():
            self._elsewhere()

    def data_received(self, data: bytes) -> None:
        """Take note of an answer once it is whole."""
        self._received.append(data)
        answer = data if len(self._received) == 1 else b"".join(self._received)
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = _headers(head)
        if not _is_whole(headers, answer, body):
            return
        self._received.clear()
        status = int(head[9:12])
        self._tell(status, headers, body)
        self._asked_at = 0.0
        if status == 200 or not self._plan.is_stopped_by_refusal:
            self._later(random.expovariate(1 / self._plan.rest))
        else:
            self._finish()

    def _tell(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        told: dict[str, Any] = {"key": self._key, "port": self._plan.ports[self._place], "status": status}
        told |= {"asked_at": self._asked_at, "heard_at": time.time(), "id": headers[b"x-request-id"].decode()}
        if status != 200:
            told["error"] = orjson.loads(body)["error"]
        elif b"content-length" in headers or DONE in body:
            prompt, completion = USED.findall(body)[-1]
            told |= {"upstream_id": headers[b"x-tank-upstream-id"].decode()}
            told |= {"input": int(prompt), "output": int(completion)}
        else:
            told["is_cut"] = True
        self._state.told.write(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))


def _headers(head: bytes) -> dict[bytes, bytes]:
    lines = (line.partition(b": ") for line in head.split(b"\r\n")[1:])
    return {name.lower(): value for name, _, value in lines}


def _is_whole(headers: dict[bytes, bytes], answer: bytes, body: bytes) -> bool:
    length = headers.get(b"content-length")
    return answer.endswith(LAST_CHUNK) if length is None else len(body) >= int(length)


async def run(plan: Plan) -> None:
    """Let the clients call until the time is over and each has its last answer; writes what was told."""
    state = _State(time.time() + plan.seconds)
    clients = [Client(plan, state, number) for number in range(plan.clients)]
    for client in clients:
        client.start()
    await asyncio.wait([client.finished for client in clients], timeout=plan.seconds + PATIENCE_SECONDS)
    state.told.write(orjson.dumps({"broken": state.broken}))
    Path(plan.told).write_bytes(state.told.getvalue())


if __name__ == "__main__":
    uvloop.run(run(Plan(**orjson.loads(Path(sys.argv[1]).read_bytes()))))
