"""Load: connections that send the same request again and again. `wrk` where it is installed, else Python's own."""

import asyncio
import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import uvloop

PATH = "/v1/chat/completions"
HEADERS = {
    "content-type": "application/json",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "user-agent": "OpenAI/Python 3.52.0",
    "x-stainless-lang": "python",
    "x-stainless-retry-count": "0",
}
WORDS = "word " * 60
WRK = shutil.which("wrk")
NAME = "wrk, one thread" if WRK else "a Python process"
TIMEOUT_SECONDS = 30
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


@dataclass(frozen=True)
class Request:
    """One request that is sent again and again."""

    port: int
    secret: str
    payload: dict[str, Any]
    path: str = PATH

    @property
    def body(self) -> bytes:
        """Return the body as an SDK writes it."""
        return json.dumps(self.payload, separators=(",", ":")).encode()

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers but for the length."""
        return {"authorization": f"Bearer {self.secret}", **HEADERS}

    @property
    def encoded(self) -> bytes:
        """Return the whole request."""
        lines = [f"POST {self.path} HTTP/1.1", f"host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, f"content-length: {len(self.body)}"]).encode() + b"\r\n\r\n" + self.body


@dataclass(frozen=True)
class Measured:
    """What a run of load measured; latencies in seconds."""

    answers: int
    per_second: float
    p50: float
    p99: float


class LoadFailed(Exception):
    """Some calls were not answered with 200; says what was heard."""


def measure(request: Request, *, connections: int, seconds: int) -> Measured:
    """Send a request over some connections for some seconds. Raises LoadFailed."""
    if WRK:
        return _by_wrk(WRK, request, connections, seconds)
    return uvloop.run(_by_python(request, connections, seconds))


# --- wrk ---------------------------------------------------------------------------------------------------------


def _by_wrk(wrk: str, request: Request, connections: int, seconds: int) -> Measured:
    with TemporaryDirectory() as folder:
        script = Path(folder) / "request.lua"
        script.write_text(_lua(request))
        command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_SECONDS}s", "--latency"]
        command += ["-s", str(script), f"http://127.0.0.1:{request.port}{request.path}"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in told or "Socket errors" in told:
        raise LoadFailed(told)
    return Measured(
        answers=int(_found(r"(\d+) requests in", told)[1]),
        per_second=float(_found(r"Requests/sec:\s+([\d.]+)", told)[1]),
        p50=_seconds(_found(r"50%\s+([\d.]+)([a-z]+)", told)),
        p99=_seconds(_found(r"99%\s+([\d.]+)([a-z]+)", told)),
    )


def _lua(request: Request) -> str:
    headers = "".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(text)}\n" for name, text in request.headers.items()
    )
    return f'wrk.method = "POST"\nwrk.body = [==[{request.body.decode()}]==]\n{headers}'


def _found(pattern: str, told: str) -> re.Match[str]:
    found = re.search(pattern, told)
    if found is None:
        raise LoadFailed(told)
    return found


def _seconds(found: re.Match[str]) -> float:
    return float(found[1]) * UNITS[found[2]]


# --- Python ------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    started: float
    ended: float
    latencies: list[float] = field(default_factory=list)
    failures: list[bytes] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ranked = sorted(self.latencies)
        return ranked[min(int(len(ranked) * share), len(ranked) - 1)]


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, request: bytes, run: _Run) -> None:
        self._request, self._run = request, run
        self._received: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note the answer once it is whole, and ask again."""
        self._received.append(data)
        answer = data if len(self._received) == 1 else b"".join(self._received)
        if not is_whole(answer):
            return
        self._received.clear()
        now, run = time.perf_counter(), self._run
        if not answer.startswith(b"HTTP/1.1 200"):
            run.failures.append(answer[:2000])
        elif now <= run.ended:
            run.latencies.append(now - self._sent_at)
        if now < run.ended:
            self._send()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


def is_whole(answer: bytes) -> bool:
    """Say whether an answer has come to its end, by its length or its last chunk."""
    if answer.endswith(b"\r\n0\r\n\r\n"):
        return True
    head, _, body = answer.partition(b"\r\n\r\n")
    _, _, length = head.lower().partition(b"content-length: ")
    return bool(length) and len(body) >= int(length.split(b"\r\n", 1)[0])


async def _by_python(request: Request, connections: int, seconds: int) -> Measured:
    loop, now, encoded = asyncio.get_running_loop(), time.perf_counter(), request.encoded
    run = _Run(started=now, ended=now + seconds)
    opened = [
        await loop.create_connection(lambda: Connection(encoded, run), "127.0.0.1", request.port)
        for _ in range(connections)
    ]
    await asyncio.sleep(run.ended - time.perf_counter() + 0.3)
    for _, connection in opened:
        connection.close()
    if run.failures or not run.latencies:
        raise LoadFailed(run.failures[0].decode(errors="replace") if run.failures else "no answer came")
    count = len(run.latencies)
    return Measured(count, count / (run.ended - run.started), run.percentile(0.5), run.percentile(0.99))
