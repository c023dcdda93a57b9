"""The gateway beside a bare proxy: calls a second, CPU per call and latency, interleaved, medians, as ratios."""

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import uvloop

from allocations.models import Quota
from allocations.services import grant_make, key_issue
from ledger.models import Dialect, Tier, UsageRecord
from ledger.money import usd
from ledger.services import model_add, provider_add, year_fund
from teams.selectors import system_user
from tests.bench import load
from tests.conftest import environment
from tests.databases import Databases, used_by_django
from tests.processes import free_port, start_process

BODY = {"model": "bench", "max_tokens": 200, "messages": [{"role": "user", "content": "word " * 60}]}
BUDGET = "100000"


@dataclass
class Target:
    """A server under load, and what was measured."""

    name: str
    port: int
    pid: int
    request: bytes
    per_second: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A kind of call at a concurrency, of which both targets are measured in turn."""

    name: str
    connections: int
    proxy: Target
    gateway: Target


def main(rounds: int, seconds: float) -> None:
    """Measure and print the table; exits with an error when a call failed or the books do not tie."""
    with ExitStack() as stack:
        cases = _cases(stack)
        for _ in range(rounds):
            for case in cases:
                for target in (case.proxy, case.gateway):
                    _measure(target, case.connections, seconds)
        _print(cases)
        _check_books()


def _measure(target: Target, connections: int, seconds: float) -> None:
    before = _cpu_seconds(target.pid)
    measured = uvloop.run(load.run(target.port, target.request, connections=connections, seconds=seconds))
    if measured.failures:
        sys.exit(f"{target.name} failed: {measured.failures[0]!r}")
    target.per_second.append(measured.per_second)
    share = seconds / (seconds + load.WARM_UP_SECONDS)
    target.cpu.append((_cpu_seconds(target.pid) - before) * share / len(measured.latencies))
    target.p99.append(measured.percentile(0.99))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _print(cases: list[Case]) -> None:
    columns = ("", "proxy/s", "gateway/s", "ratio", "proxy CPU µs", "gateway CPU µs", "proxy p99 ms", "gateway p99 ms")
    sys.stdout.write(" | ".join(columns) + "\n")
    for case in cases:
        proxy, gateway = case.proxy, case.gateway
        figures = (
            f"{median(proxy.per_second):.0f}",
            f"{median(gateway.per_second):.0f}",
            f"{median(gateway.per_second) / median(proxy.per_second):.2f}",
            *(f"{median(target.cpu) * 1e6:.0f}" for target in (proxy, gateway)),
            *(f"{median(target.p99) * 1e3:.1f}" for target in (proxy, gateway)),
        )
        sys.stdout.write(" | ".join((case.name, *figures)) + "\n")


def _check_books() -> None:
    quota = Quota.objects.get(line__isnull=False)
    recorded = sum(UsageRecord.objects.values_list("charged", flat=True), Decimal(0))
    if quota.spent != recorded or quota.held:
        sys.exit(f"the books do not tie: spent {quota.spent}, recorded {recorded}, held {quota.held}")


# --- What is measured ----------------------------------------------------------------------------------------


def _cases(stack: ExitStack) -> list[Case]:
    folder = Path(stack.enter_context(TemporaryDirectory()))
    databases = Databases()
    databases.open()
    stack.callback(databases.close)
    name = stack.enter_context(databases.cloned())
    stack.enter_context(used_by_django(name))
    env = environment(name, folder)

    port = free_port()
    upstream = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tests.bench.upstream", str(port)]
    stack.enter_context(start_process(command, env, ready=lambda _: _listens(port)))
    secret = _fund(upstream)
    proxy = stack.enter_context(_serve("tests.bench.proxy:application", env | {"UPSTREAM": upstream}))
    gateway = stack.enter_context(_serve("allocations.gateway.app:application", env))
    cases = []
    for kind, connections in (("plain", 64), ("streamed", 64), ("plain", 16)):
        request = _request(secret, is_stream=kind == "streamed")
        targets = (Target(label, *place, request) for label, place in (("proxy", proxy), ("gateway", gateway)))
        cases.append(Case(f"{kind}, {connections} at once", connections, *targets))
    return cases


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _serve(application: str, env: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "warning"]
    command += ["--no-access-log", "--no-proxy-headers", "--loop", "uvloop", "--http", "httptools"]
    with start_process(command, env, ready=lambda _: _listens(port)) as running:
        yield port, running.pid


def _fund(upstream: str) -> str:
    """Make a provider, a model, a budget and a key, and return the key's secret."""
    actor = system_user()
    year_fund(actor=actor, amount=usd(BUDGET), reason="Benchmark")
    provider = provider_add(actor=actor, name="bench", dialect=Dialect.OPENAI, base_url=upstream, api_key="sk-bench")
    price = Decimal("0.1")
    model_add(
        actor=actor, provider=provider, name="bench", tier=Tier.STANDARD, input_price=price, output_price=3 * price
    )
    allocation = grant_make(actor=actor, team_name="Bench", amount=usd(BUDGET), tier=Tier.STANDARD, reason="Benchmark")
    return key_issue(actor=actor, allocation=allocation, name="bench")[1]


def _request(secret: str, *, is_stream: bool) -> bytes:
    more = {"stream": True, "stream_options": {"include_usage": True}} if is_stream else {}
    body = json.dumps(BODY | more, separators=(",", ":")).encode()
    head = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {secret}",
        "content-type: application/json",
        "accept: application/json",
        "accept-encoding: gzip, deflate",
        "user-agent: OpenAI/Python 3.52.0",
        "x-stainless-lang: python",
        "x-stainless-retry-count: 0",
        f"content-length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
