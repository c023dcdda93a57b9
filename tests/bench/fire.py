"""Exactness under fire: many clients, gateways that are killed at random, and books that are right at every instant.

Ten lines of five keys: half of the lines are ample, half are spent at once and topped up little by little, and one key
of each has a small cap that is raised as well. The upstream answers when it likes, with any usage within the cap.
"""

import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.utils import timezone

from allocations.models import Hold, HoldState, MeterWorker, Quota, QuotaKey
from allocations.selectors.unsettled import lost_holds
from allocations.services import KeyLimits, hold_release, key_issue, key_limits_set
from ledger.models import Account, AiModel, EntryKind, UsageRecord
from ledger.services import Leg, entry_post
from marketplace.runtime.lifeline import ENDED_BY_SIGTERM
from teams.models import Role
from teams.services import role_grant, user_create
from tests.allocations.gateways import House
from tests.bench import machine
from tests.bench.crowd import Plan
from tests.bench.place import own_database
from tests.conftest import FreshDatabase
from tests.processes import MANAGE, Running, answers, free_port, is_open, manage, start_process, until

LINES, KEYS = 10, 5
AMPLE = Decimal(10_000)
MOST_BOUND = Decimal("0.01")
"""More than any call of the crowd can be held for, in USD."""
TOP_UP_SECONDS = 2.0
SAMPLE_SECONDS = 0.02


@dataclass(frozen=True)
class Size:
    """How large a fire is."""

    clients: int
    processes: int
    seconds: float
    kill_every: float
    """Seconds between two kills, on average."""
    rest: float

    @property
    def clients_of_line(self) -> int:
        """Return how many clients call on one line."""
        return -(-self.clients // LINES)


@dataclass
class Outcome:
    """What a fire showed."""

    calls: int = 0
    whole: int = 0
    denied: int = 0
    asked_again: int = 0
    broken: int = 0
    kills: int = 0
    samples: int = 0
    lost: Decimal = Decimal(0)
    """What killed processes held, in USD."""
    charged: Decimal = Decimal(0)


def main(minutes: float) -> str:
    """Set a fire with 1,000 clients and 8 processes in a database of its own and return what it showed as Markdown."""
    size = Size(clients=1000, processes=8, seconds=minutes * 60, kill_every=4, rest=1)
    with ExitStack() as stack:
        outcome = blaze(own_database(stack), size)
    return report(size, outcome)


def report(size: Size, outcome: Outcome) -> str:
    """Return what a fire showed as Markdown."""
    rows = [
        ("answers, of them whole, denied, asked to come again", _counts(outcome)),
        ("connections that a kill cut in the middle of a call", f"{outcome.broken:,}"),
        ("gateways killed and started again", f"{outcome.kills}"),
        (
            "instants at which spent + held was at most every limit, and held was what processes hold",
            f"{outcome.samples:,}",
        ),
        (
            "whole answers recorded once, with the tokens that the client read",
            f"{outcome.whole:,} of {outcome.whole:,}",
        ),
        ("denials while what was available exceeded the bound", "0"),
        (
            "charged, and held by killed gateways until it was settled by hand",
            f"${outcome.charged:.2f}, ${outcome.lost:.4f}",
        ),
        ("`manage.py verify` before and after that", "clean"),
    ]
    head = f"{size.clients:,} clients, {size.processes} gateways, {size.seconds / 60:g} minutes"
    return f"{machine.described()}\n\n{machine.markdown((head, 'shown'), rows)}\n"


def _counts(outcome: Outcome) -> str:
    return f"{outcome.calls:,}: {outcome.whole:,}, {outcome.denied:,}, {outcome.asked_again:,}"


def blaze(database: FreshDatabase, size: Size) -> Outcome:
    """Burn, look at what is left, and settle it. Raises AssertionError where anything is not as it should be."""
    outcome = Outcome()
    with ExitStack() as stack:
        provider = stack.enter_context(upstream(database.env))
        world = World(House(provider), size)
        fleet = stack.enter_context(_fleet(database.env, size.processes))
        with sampling(database.url) as sampler:
            told = _burn(database, size, world, fleet, outcome)
            until(_has_settled, within=90, what="the lapse of every killed process")
        fleet.stop()
    outcome.samples = sampler.count
    assert not sampler.wrong, f"at a sampled instant: {sampler.wrong[:3]}"
    lost = {quota.pk: quota.held for quota in Quota.objects.all()}
    _answers_are_recorded(told, outcome)
    _denials_are_true(told, world, sampler, lost, size)
    _is_verified(database.env)
    _settle(world, outcome)
    _is_verified(database.env)
    return outcome


def _burn(
    database: FreshDatabase, size: Size, world: "World", fleet: "Fleet", outcome: Outcome
) -> list[dict[str, Any]]:
    file = database.data / "told"
    file.parent.mkdir(parents=True, exist_ok=True)
    plan = Plan(fleet.ports, world.secrets, size.clients, size.seconds, size.rest, str(file))
    kill_until = time.monotonic() + 0.8 * size.seconds
    with crowd(plan, database) as running:
        kill_at = time.monotonic() + size.kill_every
        top_up_at = time.monotonic() + TOP_UP_SECONDS
        while running.is_alive:
            now = time.monotonic()
            if kill_at < now < kill_until:
                fleet.kill_one()
                outcome.kills += 1
                kill_at = now + random.uniform(0.5, 1.5) * size.kill_every
            if top_up_at < now:
                world.top_up()
                top_up_at = now + TOP_UP_SECONDS
            time.sleep(0.05)
        assert running.ended() == 0, running.output
    *told, last = map(orjson.loads, file.read_bytes().splitlines())
    outcome.broken = last["broken"]
    return told


@contextmanager
def crowd(plan: Plan, database: FreshDatabase) -> Iterator[Running]:
    """Run a crowd of clients."""
    file = Path(f"{plan.told}.plan")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(orjson.dumps(plan))
    with start_process([sys.executable, "-m", "tests.bench.crowd", file], database.env) as running:
        yield running


@contextmanager
def upstream(env: Mapping[str, str]) -> Iterator[str]:
    """Run an upstream that answers when it likes, with any usage within the cap; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.upstream", str(port), "random"]
    with start_process(command, env, ready=lambda _: is_open(port)):
        yield f"http://127.0.0.1:{port}"


# --- The world --------------------------------------------------------------------------------------------------


class World:
    """Lines and keys, and what is added to them while they are used."""

    def __init__(self, house: House, size: Size) -> None:
        self.actor = house.actor
        AiModel.objects.filter(name=Plan.model).update(default_output_cap=400, least_output_cap=50)
        self._cap = size.clients_of_line * Decimal("0.001")
        self._dose = size.clients_of_line * Decimal("0.0005")
        self._number = 0
        self.finance = user_create(actor=self.actor, email="finance@acorn.example", name="Finance Example")
        role_grant(actor=self.actor, user=self.finance, role=Role.FINANCE)
        self._chest: Account = house.purse(str(AMPLE)).allocation.lines.get().account
        self.keys: list[QuotaKey] = []
        self.secrets: list[str] = []
        self.capped: list[QuotaKey] = []
        self.scarce: list[Account] = []
        for number in range(LINES):
            self._open(house, is_scarce=number % 2 == 1, tight=size.clients_of_line * Decimal("0.005"))

    def _open(self, house: House, *, is_scarce: bool, tight: Decimal) -> None:
        purse = house.purse(str(tight if is_scarce else AMPLE))
        if is_scarce:
            self.scarce.append(purse.allocation.lines.get().account)
        found = [(purse.key, purse.secret)]
        for number in range(1, KEYS):
            limits = KeyLimits(cap=self._cap) if number == 1 else KeyLimits()
            found.append(
                key_issue(actor=self.actor, allocation=purse.allocation, name=f"agent {number}", limits=limits)
            )
        self.capped.append(found[1][0])
        self.keys += [key for key, _ in found]
        self.secrets += [secret for _, secret in found]

    def top_up(self) -> None:
        """Give a little more to every scarce line and to every capped key."""
        self._number += 1
        for account in self.scarce:
            legs = [Leg(account, self._dose), Leg(self._chest, -self._dose)]
            name = f"{account.pk}:{self._number}"
            entry_post(actor=self.actor, kind=EntryKind.TRANSFER, source="fire", key=name, legs=legs)
        self._cap += self._dose / 5
        for key in self.capped:
            key_limits_set(actor=self.actor, key=key, limits=KeyLimits(cap=self._cap), reason="A little more")


class Fleet:
    """Gateways on ports of their own, of which any may be killed at any time; it is started again at once."""

    def __init__(self, env: dict[str, str], size: int) -> None:
        self._env = env
        self.ports = [free_port() for _ in range(size)]
        self._stacks = [ExitStack() for _ in self.ports]
        self._running: list[Running] = []
        for place in range(size):
            self._running.append(self._start(place))
        for port in self.ports:
            until(lambda port=port: answers(f"http://127.0.0.1:{port}/v1/models", 401), within=120, what="the start")  # type: ignore[misc]  # mypy infers no default

    def _start(self, place: int) -> Running:
        command = [*MANAGE, "gateway", "--port", str(self.ports[place])]
        return self._stacks[place].enter_context(start_process(command, self._env))

    def kill_one(self) -> None:
        """Kill one as a machine that fails would, and start it again."""
        place = random.randrange(len(self.ports))
        os.killpg(self._running[place].pid, signal.SIGKILL)
        self._stacks[place].close()
        self._running[place] = self._start(place)

    def stop(self) -> None:
        """Ask all of them to end and wait until they have; raises AssertionError when one does not."""
        for running in self._running:
            running.send(signal.SIGTERM)
        for running in self._running:
            code = running.ended(within=60)
            assert code in {0, -signal.SIGTERM, ENDED_BY_SIGTERM}, f"{code}: {running.output}"

    def close(self) -> None:
        """Kill all."""
        for stack in self._stacks:
            stack.close()


@contextmanager
def _fleet(env: dict[str, str], size: int) -> Iterator[Fleet]:
    fleet = Fleet(env, size)
    try:
        yield fleet
    finally:
        fleet.close()


# --- Looking on -------------------------------------------------------------------------------------------------

STANDING = """
    SELECT q.id, q."limit", q.spent, q.held, coalesce(h.amount, 0)
      FROM allocations_quota q
      LEFT JOIN (SELECT quota_id, sum(amount) AS amount FROM allocations_hold GROUP BY 1) h ON h.quota_id = q.id
     WHERE q."limit" IS NOT NULL
"""


@dataclass
class Sampler:
    """What the quotas with a limit were at many instants, and what was wrong at any of them."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)
    seen: dict[int, list[tuple[float, float, Decimal, Decimal]]] = field(default_factory=lambda: defaultdict(list))
    """By quota: when it was asked for and when it was told, the limit, and what was spent."""

    def look(self, database: psycopg.Connection) -> None:
        """Read all quotas at one instant."""
        asked_at = time.time()
        rows = database.execute(STANDING).fetchall()
        told_at = time.time()
        self.count += 1
        for quota, limit, spent, held, by_processes in rows:
            if spent + held > limit or held != by_processes:
                self.wrong.append(f"quota {quota}: {limit=} {spent=} {held=} {by_processes=}")
            self.seen[quota].append((asked_at, told_at, limit, spent))


@contextmanager
def sampling(url: str) -> Iterator[Sampler]:
    """Look at the quotas again and again while the block runs."""
    sampler, is_over = Sampler(), Event()

    def look_on() -> None:
        with psycopg.connect(url, autocommit=True) as database:
            while not is_over.wait(SAMPLE_SECONDS):
                sampler.look(database)

    thread = Thread(target=look_on)
    thread.start()
    try:
        yield sampler
    finally:
        is_over.set()
        thread.join()


def _has_settled() -> bool:
    """Say whether nothing is held but by processes that went away."""
    return not Hold.objects.filter(state=HoldState.ACTIVE, amount__gt=0).exists()


# --- What is asserted ---------------------------------------------------------------------------------------------


def _answers_are_recorded(told: list[dict[str, Any]], outcome: Outcome) -> None:
    statuses = Counter(answer["status"] for answer in told)
    assert set(statuses) <= {200, 429, 503}, [answer for answer in told if answer["status"] not in {200, 429, 503}][:3]
    whole = {answer["id"]: answer for answer in told if answer["status"] == 200 and "is_cut" not in answer}
    outcome.calls, outcome.whole = len(told), len(whole)
    outcome.denied, outcome.asked_again = statuses[429], statuses[503]
    records = _records()
    missing = [name for name in whole if UUID(name) not in records]
    assert not missing, f"{len(missing)} whole answers are not recorded, such as {missing[0]}"
    differing = [
        (records[UUID(name)], answer)
        for name, answer in whole.items()
        if records[UUID(name)] != (answer["upstream_id"], answer["input"], answer["output"])
    ]
    assert not differing, f"{len(differing)} records say another thing than the answer, such as {differing[0]}"
    assert not UsageRecord.objects.filter(overage__gt=0).exists()
    calls = Counter(upstream for upstream, _, _ in records.values() if upstream)
    assert set(calls.values()) == {1}, "a call of the upstream is recorded twice"


def _records() -> dict[UUID, tuple[str, int, int]]:
    rows = UsageRecord.objects.values_list("request_id", "upstream_id", "input_tokens", "output_tokens")
    found = {}
    for request, upstream, read, wrote in rows.iterator():
        assert request not in found, f"{request} is recorded twice"
        found[request] = (upstream, read, wrote)
    return found


def _denials_are_true(
    told: list[dict[str, Any]], world: World, sampler: Sampler, lost: dict[int, Decimal], size: Size
) -> None:
    """A denial is false when what was available exceeded the bound all the while that the call was on its way.

    Between two samples what is held may rise and fall, so it is taken at its most: a bound for every client of the
    line, and all that killed processes hold at the end. Limits and what is spent only rise.
    """
    lines = {key.pk: key.allocation.lines.get().quota for key in world.keys}
    flux = size.clients_of_line * MOST_BOUND
    for denial in (answer for answer in told if answer["status"] == 429):
        key, details = world.keys[denial["key"]], denial["error"]["details"]
        needed, remaining = Decimal(details["needed"]), Decimal(details["remaining"])
        assert remaining < needed <= MOST_BOUND, f"it says itself that it is false: {denial}"
        quota = lines[key.pk].pk if details["budget"].startswith("line:") else key.quota.pk
        least = _limit_before(sampler, quota, denial["asked_at"]) - _spent_after(sampler, quota, denial["heard_at"])
        assert least - lost[quota] - flux < needed, f"denied while {least - lost[quota] - flux} was there: {denial}"


def _limit_before(sampler: Sampler, quota: int, moment: float) -> Decimal:
    """Return a limit that was in force at a moment at the latest."""
    return max((limit for _, told_at, limit, _ in sampler.seen[quota] if told_at <= moment), default=Decimal(0))


def _spent_after(sampler: Sampler, quota: int, moment: float) -> Decimal:
    """Return at least what was spent until a moment."""
    return min((spent for asked_at, _, _, spent in sampler.seen[quota] if asked_at >= moment), default=AMPLE)


def _is_verified(env: dict[str, str]) -> None:
    done = manage("verify", env=env, within=600)
    assert done.returncode == 0, done.stdout + done.stderr


def _settle(world: World, outcome: Outcome) -> None:
    """Let finance release what killed processes hold, an hour after they were last seen: then nothing is held."""
    held = {quota.line_id: quota.held for quota in Quota.objects.filter(line__isnull=False)}
    outcome.lost = sum(held.values(), Decimal(0))
    assert not outcome.kills or outcome.lost > 0
    MeterWorker.objects.update(heartbeat_at=timezone.now() - timedelta(hours=2))
    while found := lost_holds():
        hold_release(actor=world.finance, hold=found[0], reason="The provider's report of the day")
        held[found[0].line.pk] -= found[0].amount
    assert set(held.values()) == {Decimal(0)}, f"what was listed is not what was held: {held}"
    assert not Hold.objects.exists()
    quotas = Quota.objects.exclude(line__isnull=True)
    assert not Quota.objects.exclude(held=0).exists()
    outcome.charged = sum((quota.spent for quota in quotas), Decimal(0))
    assert outcome.charged == sum(UsageRecord.objects.values_list("charged", flat=True), Decimal(0))
