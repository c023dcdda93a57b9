"""The gateway beside others: calls a second, CPU per call and latency, interleaved, medians, as ratios."""

import os
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import median
from typing import Any

from django.db.models import Sum

from allocations.models import Quota
from allocations.services import grant_make, key_issue
from ledger.models import Dialect, Tier, UsageRecord
from ledger.money import usd
from ledger.services import model_add, provider_add, year_fund
from teams.selectors import system_user
from tests.bench import load, machine, nginx, rivals
from tests.bench.load import Measured, Request
from tests.bench.place import own_database
from tests.bench.upstream import PLAIN, STREAMED
from tests.environments import NotToBeHad
from tests.processes import MANAGE, Running, answers, free_port, is_open, start_process, until

MESSAGES = [{"role": "user", "content": load.WORDS}]
BUDGET = "1000000"
UPSTREAM, PROXY, GATEWAY, TWO = "upstream alone", "bare proxy", "Tank", "Tank, two processes"
NGINX, LITELLM, TENSORZERO = "nginx", "LiteLLM", "TensorZero"
CHOICES = {"proxy": PROXY, "two": TWO, "nginx": NGINX, "litellm": LITELLM, "tensorzero": TENSORZERO}


@dataclass(frozen=True)
class Target:
    """A server under load: what is sent to it for each model, and its processes."""

    name: str
    requests: Mapping[str, Request]
    pids: Callable[[], list[int]]
    least_seconds: int = 0
    """Of a round: so slow are some that less would hold no answer."""


@dataclass
class Row:
    """What was measured of a target in a case, a round after the other."""

    target: Target
    measured: list[Measured] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    database_cpu: list[float] = field(default_factory=list)
    cores: list[list[float]] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Return the median of calls a second."""
        return median(one.per_second for one in self.measured)

    @property
    def p99(self) -> float:
        """Return the median of the 99th percentiles, in seconds."""
        return median(one.p99 for one in self.measured)

    def times(self, other: "Row") -> float:
        """Return how many times another one's calls a second it does: the median over the rounds."""
        pairs = zip(self.measured, other.measured, strict=True)
        return median(ours.per_second / theirs.per_second for ours, theirs in pairs)

    @property
    def busy(self) -> list[float]:
        """Return how busy each core was, from 0 to 1: medians."""
        return [median(shares) for shares in zip(*self.cores, strict=True)]


@dataclass
class Case:
    """A kind of call at a concurrency, of which all targets are measured in turn."""

    name: str
    model: str
    connections: int
    rows: list[Row]

    def row(self, name: str) -> Row | None:
        """Return a target's row, if it takes part."""
        return next((row for row in self.rows if row.target.name == name), None)


def main(rounds: int, seconds: int, chosen: Collection[str] = tuple(CHOICES)) -> str:
    """Measure and return the tables as Markdown; exits with an error when a call failed or the books do not tie."""
    with ExitStack() as stack:
        bench = _Bench(stack, [CHOICES[name] for name in chosen])
        cases = bench.cases()
        for case in cases:
            for row in case.rows:
                _run(row, case, 1)
        for number in range(rounds):
            sys.stderr.write(f"Round {number + 1} of {rounds}\n")
            for case in cases:
                for row in case.rows:
                    _measure(row, case, seconds, bench.database)
        _check_books()
        return _report(cases, bench.notes, rounds, seconds)


def _measure(row: Row, case: Case, seconds: int, database: str) -> None:
    pids, database_pids, cores = row.target.pids(), machine.database_pids(database), machine.core_ticks()
    before, database_before = machine.cpu_seconds(pids), machine.cpu_seconds(database_pids)
    measured = _run(row, case, seconds)
    row.measured.append(measured)
    row.cpu.append((machine.cpu_seconds(pids) - before) / measured.answers)
    row.database_cpu.append((machine.cpu_seconds(database_pids) - database_before) / measured.answers)
    row.cores.append(machine.busy_shares(cores, machine.core_ticks()))


def _run(row: Row, case: Case, seconds: int) -> Measured:
    target = row.target
    at_least = max(seconds, target.least_seconds)
    for is_last in (target.name in {GATEWAY, TWO}, True):  # what is not ours may fail once
        try:
            return load.measure(target.requests[case.model], connections=case.connections, seconds=at_least)
        except load.LoadFailed as failure:
            sys.stderr.write(f"{target.name} failed, {case.name}: {failure}\n")
            if is_last:
                sys.exit(1)
    raise AssertionError


def _check_books() -> None:
    until(lambda: _line().held == 0, within=60, what="the settles of the last calls")
    recorded = UsageRecord.objects.aggregate(total=Sum("charged"))["total"] or Decimal(0)
    if _line().spent != recorded:
        sys.exit(f"the books do not tie: spent {_line().spent}, recorded {recorded}")


def _line() -> Quota:
    return Quota.objects.get(line__isnull=False)


# --- What is measured ----------------------------------------------------------------------------------------


class _Bench:
    """The servers of a run, started once and measured in turn."""

    def __init__(self, stack: ExitStack, chosen: Collection[str]) -> None:
        self._stack, self._chosen = stack, chosen
        ours = own_database(stack)
        self.database, self._folder, self._env = ours.name, ours.data, ours.env
        self.notes: list[str] = []
        self._upstreams = {STREAMED: self._python_upstream()}
        self._upstreams[PLAIN] = self._plain_upstream()
        self._secret = _fund(self._upstreams)

    def cases(self) -> list[Case]:
        """Start the targets and return what is measured of which."""
        upstream, proxy, gateway = self._upstream(), self._proxy(), self._gateway(GATEWAY)
        two = [self._gateway(TWO, "--processes", "2")] if TWO in self._chosen else []
        others = [*two, *self._rivals()]
        few = [proxy, gateway] if PROXY in self._chosen else [gateway]
        cases = [
            ("plain, 64 at once", PLAIN, 64, [upstream, *few, *others]),
            ("streamed in 20 chunks, 64 at once", STREAMED, 64, [upstream, *few, *others]),
            ("plain, 16 at once", PLAIN, 16, few),
        ]
        return [Case(name, model, at_once, [Row(one) for one in targets]) for name, model, at_once, targets in cases]

    def _python_upstream(self) -> int:
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.upstream", str(port)]
        self._stack.enter_context(start_process(command, self._env, ready=lambda _: is_open(port)))
        return port

    def _plain_upstream(self) -> int:
        streams = f"streamed ones by a Python process; load by {load.NAME}."
        if nginx.NGINX is None:
            self.notes.append(f"Plain answers are given by a Python process, as nginx is not installed; {streams}")
            return self._upstreams[STREAMED]
        self.notes.append(f"Plain answers are given by nginx, {streams}")
        return self._stack.enter_context(nginx.answering(self._folder / "upstream", self._env))

    def _upstream(self) -> Target:
        return Target(UPSTREAM, self._requests(self._upstreams), list)

    def _proxy(self) -> Target:
        servers = {model: self._proxy_to(port) for model, port in self._upstreams.items()}
        ports = {model: port for model, (port, _) in servers.items()}
        return Target(PROXY, self._requests(ports), lambda: [running.pid for _, running in servers.values()])

    def _proxy_to(self, upstream: int) -> tuple[int, Running]:
        port = free_port()
        command = [sys.executable, "-m", "marketplace.runtime.serving", "tests.bench.proxy:application"]
        env = self._env | {"UPSTREAM": f"http://127.0.0.1:{upstream}"}
        return port, self._served([*command, "--port", str(port)], env, f"http://127.0.0.1:{port}/", 200)

    def _gateway(self, name: str, *options: str) -> Target:
        port = free_port()
        url = f"http://127.0.0.1:{port}/v1/models"
        running = self._served([*MANAGE, "gateway", "--port", str(port), *options], self._env, url, 401)
        return Target(name, self._requests(dict.fromkeys(self._upstreams, port)), lambda: machine.family(running.pid))

    def _served(self, command: list[str], env: Mapping[str, str], url: str, status: int) -> Running:
        return self._stack.enter_context(start_process(command, env, ready=lambda _: answers(url, status)))

    def _rivals(self) -> list[Target]:
        starts = {NGINX: self._nginx, LITELLM: self._litellm, TENSORZERO: self._tensorzero}
        found = []
        for name, start in starts.items():
            if name in self._chosen:
                try:
                    found.append(start())
                except NotToBeHad as reason:
                    self.notes.append(f"{name} is not compared: {reason}.")
        return found

    def _nginx(self) -> Target:
        if nginx.NGINX is None:
            raise NotToBeHad("it is not installed")
        servers = {
            model: self._stack.enter_context(nginx.passing_on(self._folder / f"proxy-{model}", self._env, port))
            for model, port in self._upstreams.items()
        }
        requests = self._requests({model: port for model, (port, _) in servers.items()})
        return Target(NGINX, requests, lambda: [pid for _, main in servers.values() for pid in machine.family(main)])

    def _litellm(self) -> Target:
        place = rivals.litellm(self._folder, self._env, self._upstreams)
        port, running, version = self._stack.enter_context(place)
        self.notes.append(f"{version}: one worker, no database, so no budgets.")
        requests = self._requests(dict.fromkeys(self._upstreams, port), rivals.MASTER_KEY)
        return Target(LITELLM, requests, lambda: machine.family(running.pid), least_seconds=8)

    def _tensorzero(self) -> Target:
        place = rivals.tensorzero(self._folder, self._env, self._upstreams)
        port, running, version = self._stack.enter_context(place)
        self.notes.append(f"{version}: its HTTP gateway, in threads on all cores, nothing observed or metered.")
        ports, name = dict.fromkeys(self._upstreams, port), rivals.TENSORZERO_MODEL
        requests = self._requests(ports, model_name=name, path=rivals.TENSORZERO_PATH)
        return Target(TENSORZERO, requests, lambda: machine.family(running.pid))

    def _requests(
        self, ports: Mapping[str, int], secret: str = "", model_name: str = "{}", path: str = load.PATH
    ) -> dict[str, Request]:
        return {
            model: Request(port, secret or self._secret, _payload(model, model_name.format(model)), path)
            for model, port in ports.items()
        }


def _payload(model: str, name: str) -> dict[str, Any]:
    streamed = {"stream": True, "stream_options": {"include_usage": True}} if model == STREAMED else {}
    return {"model": name, "max_tokens": 200, "messages": MESSAGES} | streamed


def _fund(upstreams: Mapping[str, int]) -> str:
    """Make providers, models, a budget and a key, and return the key's secret."""
    actor, price = system_user(), Decimal("0.1")
    year_fund(actor=actor, amount=usd(BUDGET), reason="Benchmark")
    for model, port in upstreams.items():
        url = f"http://127.0.0.1:{port}"
        provider = provider_add(actor=actor, name=model, dialect=Dialect.OPENAI, base_url=url, api_key="sk-bench")
        tier = Tier.STANDARD
        model_add(actor=actor, provider=provider, name=model, tier=tier, input_price=price, output_price=3 * price)
    allocation = grant_make(actor=actor, team_name="Bench", amount=usd(BUDGET), tier=Tier.STANDARD, reason="Benchmark")
    return key_issue(actor=actor, allocation=allocation, name="bench")[1]


# --- What is told --------------------------------------------------------------------------------------------

COLUMNS = ("calls a second", "Tank does", "p50, ms", "p99, ms", "CPU, µs a call", "PostgreSQL, µs a call")


def _report(cases: list[Case], notes: list[str], rounds: int, seconds: int) -> str:
    how = f"Medians of {rounds} rounds of {seconds} s, all targets in turn; ratios are medians of the rounds' ratios."
    told = [machine.described(), " ".join([how, *notes]), _goals(cases), *map(_table, cases)]
    return "\n\n".join(told) + "\n"


def _table(case: Case) -> str:
    tank = case.row(GATEWAY)
    assert tank is not None
    return machine.markdown((case.name, *COLUMNS), (_figures(row, tank) for row in case.rows))


def _figures(row: Row, tank: Row) -> tuple[str, ...]:
    name, is_tank = row.target.name, row.target.name in {GATEWAY, TWO}
    return (
        name,
        f"{row.per_second:,.0f}",
        "" if row is tank else f"{tank.times(row):.2f} times",
        f"{median(one.p50 for one in row.measured) * 1e3:.1f}",
        f"{row.p99 * 1e3:.1f}",
        "" if name == UPSTREAM else f"{median(row.cpu) * 1e6:,.0f}",
        f"{median(row.database_cpu) * 1e6:,.0f}" if is_tank else "",
    )


def _goals(cases: list[Case]) -> str:
    plain, streamed, few = cases
    rows = [
        *_ratio(plain, PROXY, 0.75, "calls a second, plain, 64 at once"),
        *_ratio(streamed, PROXY, 0.9, "calls a second, streamed, 64 at once"),
        *_added_p99(few),
        *_ratio(plain, NGINX, 0.2, "calls a second, plain"),
        *_ratio(plain, LITELLM, 60, "calls a second, plain"),
        *_ratio(plain, TENSORZERO, 1, "calls a second, plain"),
        *_two(plain),
        *_cpu(plain),
    ]
    return machine.markdown(("figure", "to reach", "measured"), rows)


def _ratio(case: Case, name: str, least: float, what: str) -> list[tuple[str, str, str]]:
    tank, other = case.row(GATEWAY), case.row(name)
    if tank is None or other is None:
        return []
    return [(f"{what}, against {name}", f"at least {least:g} times", f"{tank.times(other):.2f} times")]


def _added_p99(case: Case) -> list[tuple[str, str, str]]:
    tank, proxy = case.row(GATEWAY), case.row(PROXY)
    if tank is None or proxy is None:
        return []
    added = median(a.p99 - b.p99 for a, b in zip(tank.measured, proxy.measured, strict=True))
    return [("p99 that Tank adds to the bare proxy's, 16 at once", "under 8 ms", f"{added * 1e3:.1f} ms")]


def _two(case: Case) -> list[tuple[str, str, str]]:
    one, two = case.row(GATEWAY), case.row(TWO)
    if one is None or two is None:
        return []
    cores = " and ".join(", ".join(f"{share:.0%}" for share in row.busy) for row in (one, two))
    what = f"two processes against one, plain (cores busy with one and with two: {cores})"
    return [(what, f"at least 1.6 times, where {os.cpu_count()} cores allow", f"{two.times(one):.2f} times")]


def _cpu(case: Case) -> list[tuple[str, str, str]]:
    tank = case.row(GATEWAY)
    assert tank is not None
    return [
        ("CPU of a metered call in the gateway, 64 at once", "under 200 µs", f"{median(tank.cpu) * 1e6:.0f} µs"),
        ("CPU of a metered call in PostgreSQL", "under 60 µs", f"{median(tank.database_cpu) * 1e6:.0f} µs"),
    ]
