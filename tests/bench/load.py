"""Load: connections that send the same request again and again, on as little CPU as Python allows."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast

WARM_UP_SECONDS = 0.5


@dataclass
class Load:
    """What a run of load measured."""

    started: float = 0
    ended: float = 0
    latencies: list[float] = field(default_factory=list)
    failures: list[bytes] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Return answers per second."""
        return len(self.latencies) / (self.ended - self.started)

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that this share of answers did not exceed."""
        ranked = sorted(self.latencies)
        return ranked[min(int(len(ranked) * share), len(ranked) - 1)]


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, request: bytes, load: Load) -> None:
        self._request, self._load = request, load
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
        now = time.perf_counter()
        if not answer.startswith(b"HTTP/1.1 200"):
            self._load.failures.append(answer[:2000])
        elif self._load.started <= self._sent_at and now <= self._load.ended:
            self._load.latencies.append(now - self._sent_at)
        if now < self._load.ended:
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


async def run(port: int, request: bytes, *, connections: int, seconds: float) -> Load:
    """Send a request over some connections for some seconds, after a short warm-up."""
    loop, now = asyncio.get_running_loop(), time.perf_counter()
    load = Load(started=now + WARM_UP_SECONDS, ended=now + WARM_UP_SECONDS + seconds)
    opened = [
        await loop.create_connection(lambda: Connection(request, load), "127.0.0.1", port) for _ in range(connections)
    ]
    await asyncio.sleep(load.ended - time.perf_counter() + 0.3)
    for _, connection in opened:
        connection.close()
    return load
