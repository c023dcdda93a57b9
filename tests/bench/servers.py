"""Servers and clients compared: a bare pass-through proxy for each pair, calls a second and CPU per call."""

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench import load, machine, nginx
from tests.bench.load import Measured, Request
from tests.conftest import environment
from tests.databases import ROOT
from tests.environments import environment_of, versions
from tests.processes import Running, free_port, is_open, start_process

PACKAGES = (
    "uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0", "granian==2.8.7", "hypercorn==0.18.0", "aiohttp==3.14.5",
    "pyreqwest==0.15.1", "httpx2==2.16.2", "httpx==0.28.1",
)  # fmt: skip
PAIRS = [
    *(("uvicorn", client) for client in ("aiohttp", "pyreqwest", "httpx2", "httpx", "bare")),
    *(("granian, ASGI", client) for client in ("aiohttp", "pyreqwest", "bare")),
    *(("granian, RSGI", client) for client in ("aiohttp", "pyreqwest", "bare")),
    ("hypercorn", "aiohttp"),
    *(("aiohttp.web", client) for client in ("aiohttp", "bare")),
    *(("protocol", client) for client in ("aiohttp", "pyreqwest", "bare")),
]
CONNECTIONS = 64
NOTE = (
    "`bare` is a client, `protocol` a server, of asyncio's connections and httptools with nothing around them: no "
    "limits, no patience, no backpressure. They show what is left to win."
)


@dataclass
class Pair:
    """A server and a client for one kind of call, and what was measured of them."""

    server: str
    client: str
    is_streamed: bool
    request: Request
    running: Running
    measured: list[Measured] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self, seconds: int) -> None:
        """Measure once. Raises LoadFailed."""
        pids = machine.family(self.running.pid)
        before = machine.cpu_seconds(pids)
        measured = load.measure(self.request, connections=CONNECTIONS, seconds=seconds)
        self.measured.append(measured)
        self.cpu.append((machine.cpu_seconds(pids) - before) / measured.answers)

    @property
    def figures(self) -> tuple[str, str, str]:
        """Return calls a second, µs of CPU a call and the 99th percentile in ms: medians."""
        per_second, p99 = median(one.per_second for one in self.measured), median(one.p99 for one in self.measured)
        return f"{per_second:,.0f}", f"{median(self.cpu) * 1e6:,.0f}", f"{p99 * 1e3:.1f}"


def main(rounds: int, seconds: int) -> str:
    """Measure all pairs in turn and return the table as Markdown."""
    programs = environment_of("servers", *PACKAGES)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        pairs = _pairs(stack, programs, folder)
        for pair in pairs:
            load.measure(pair.request, connections=CONNECTIONS, seconds=1)
        for number in range(rounds):
            sys.stderr.write(f"Round {number + 1} of {rounds}\n")
            for pair in pairs:
                pair.measure(seconds)
    return _report(pairs, programs, rounds, seconds)


def _pairs(stack: ExitStack, programs: Path, folder: Path) -> list[Pair]:
    env = environment("", folder)
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.upstream", str(port)]
    stack.enter_context(start_process(command, env, ready=lambda _: is_open(port)))
    plain = stack.enter_context(nginx.answering(folder / "upstream", env)) if nginx.NGINX else port
    return [
        _start(stack, programs, env, server, client, upstream, is_streamed=is_streamed)
        for is_streamed, upstream in ((False, plain), (True, port))
        for server, client in PAIRS
    ]


def _start(
    stack: ExitStack,
    programs: Path,
    env: dict[str, str],
    server: str,
    client: str,
    upstream: int,
    *,
    is_streamed: bool,
) -> Pair:
    port = free_port()
    settings = env | {
        "CLIENT": client,
        "UPSTREAM": f"127.0.0.1:{upstream}",
        "PYTHONPATH": str(ROOT / "tests" / "bench"),
    }
    running = stack.enter_context(
        start_process(_command(programs, server, port), settings, ready=lambda _: is_open(port), cwd=programs)
    )
    streamed: dict[str, Any] = {"stream": True} if is_streamed else {}
    payload = {"model": "bench", "messages": [{"role": "user", "content": load.WORDS}]} | streamed
    return Pair(server, client, is_streamed, Request(port, "tank_bench", payload), running)


def _command(programs: Path, server: str, port: int) -> list[str | Path]:
    at = ["--port", str(port)]
    if server == "uvicorn":
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--no-proxy-headers"]
        return [programs / "uvicorn", "pairs.servers:asgi", *at, "--log-level", "critical", *options]
    if server.startswith("granian"):
        interface = server.rpartition(" ")[2].lower()
        options = ["--interface", interface, "--loop", "uvloop", "--http", "1", "--no-ws", "--no-log"]
        return [programs / "granian", f"pairs.servers:{interface}", *at, *options]
    if server == "hypercorn":
        options = ["--bind", f"127.0.0.1:{port}", "--worker-class", "uvloop", "--log-level", "critical"]
        return [programs / "hypercorn", "pairs.servers:asgi", *options]
    return [programs / "python", "-m", "pairs.servers", server, str(port)]


def _report(pairs: list[Pair], programs: Path, rounds: int, seconds: int) -> str:
    names = [package.partition("==")[0] for package in PACKAGES]
    how = f"One process, {CONNECTIONS} calls at once, medians of {rounds} rounds of {seconds} s in turn, {load.NAME}."
    found = {(pair.server, pair.client, pair.is_streamed): pair for pair in pairs}
    rows = [
        (f"{server} and {client}", *found[server, client, False].figures, *found[server, client, True].figures)
        for server, client in PAIRS
    ]
    columns = ("calls a second", "CPU, µs a call", "p99, ms")
    head = ("server and client", *(f"plain: {name}" for name in columns), *(f"streamed: {name}" for name in columns))
    words = f"{machine.described()}\n\n{how} {versions(programs, *names)}. {NOTE}"
    return f"{words}\n\n{machine.markdown(head, rows)}\n"
