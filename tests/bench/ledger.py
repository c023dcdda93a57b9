"""The ledger's figures: posting beside the bare statements, balances at any size, a million usage records, verify.

Everything is generated in a database of its own. Bulk facts are written by the owner with the triggers off, balances
and seals included, and `verify` then proves that they are what the triggers would have written.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import islice
from statistics import median

import psycopg
from django.http import QueryDict

from allocations.services import grant_make, key_issue
from ledger.models import Account, AccountClass, Dialect, EntryKind, JournalEntry, Tier, UsageRecord
from ledger.money import usd
from ledger.reports.base import Choice, Report, all_reports
from ledger.reports.forms import ChoiceForm
from ledger.selectors import balance, today, trial_balance
from ledger.services import Leg, entry_post, model_add, provider_add, usage_roll, year_fund
from ledger.snapshot import snapshot
from teams.models import User
from teams.selectors import system_user
from tests.bench.facts import LINES, TRANSFERS, bare_tables, entries_write, usage_write
from tests.bench.place import own_database
from tests.conftest import FreshDatabase
from tests.databases import ROOT

POSTS = 400
PROCESSES = 8


def main(rounds: int, size: int) -> None:
    """Measure and print; `size` scales the large cases, 1,000,000 for the full ones."""
    with ExitStack() as stack:
        place = own_database(stack)
        _set_up()
        _posting(place, rounds)
        _transfers(place, rounds)
        _balances(place, rounds, size)
        _verify(place, f"{size:,} postings")
        _usage(place, size)
        _reports(rounds)


def _set_up() -> None:
    actor = system_user()
    year_fund(actor=actor, amount=usd("1000000000"), reason="Benchmark")
    provider = provider_add(actor=actor, name="bench", dialect=Dialect.SANDBOX)
    model_add(
        actor=actor,
        provider=provider,
        name="bench",
        tier=Tier.STANDARD,
        input_price=Decimal(1),
        output_price=Decimal(3),
    )
    for number in range(LINES):
        allocation = grant_make(
            actor=actor, team_name=f"Team {number}", amount=usd(1_000_000), tier=Tier.STANDARD, reason="Benchmark"
        )
        key_issue(actor=actor, allocation=allocation, name="k")


def _say(what: str, figure: str) -> None:
    sys.stdout.write(f"{what}: {figure}\n")
    sys.stdout.flush()


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# --- Posting ------------------------------------------------------------------------------------


def _posting(place: FreshDatabase, rounds: int) -> None:
    one, other = Account.objects.filter(account_class=AccountClass.LINE).order_by("pk")[:2]
    actor = system_user()

    def service() -> None:
        for _ in range(POSTS):
            entry_post(
                actor=actor,
                kind=EntryKind.TRANSFER,
                source="bench",
                key=str(time.perf_counter_ns()),
                legs=[Leg(one, Decimal("0.01")), Leg(other, Decimal("-0.01"))],
            )

    with psycopg.connect(place.url, autocommit=True) as bare:
        statements = bare_tables(bare, one.pk, other.pk)
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(POSTS / _timed(lambda: [statements() for _ in range(POSTS)]))
            ours.append(POSTS / _timed(service))
    ratio = median(ours) / median(theirs)
    _say("posting, entries a second", f"{median(ours):.0f} beside {median(theirs):.0f} bare, ratio {ratio:.2f}")


def _balances(place: FreshDatabase, rounds: int, size: int) -> None:
    line = Account.objects.filter(account_class=AccountClass.LINE).order_by("pk")[0]
    figures: dict[int, tuple[float, float]] = {}
    for postings in (size // 100, size):
        with psycopg.connect(place.url, autocommit=True) as owner:
            entries_write(owner, postings // 2 - JournalEntry.objects.count(), system_user().pk)
        one = median(_timed(lambda: [balance(line) for _ in range(200)]) / 200 for _ in range(max(rounds, 5)))
        whole = median(_timed(trial_balance) for _ in range(max(rounds, 5)))
        figures[postings] = one, whole
        _say(f"at {postings:,} postings", f"balance {one * 1e6:.0f} µs, trial balance {whole * 1e3:.1f} ms")
    (small, small_whole), (large, large_whole) = figures.values()
    _say("balance, large to small", f"{large / small:.2f}; trial balance {large_whole / small_whole:.2f}")


def _verify(place: FreshDatabase, what: str) -> None:
    command = [sys.executable, "manage.py", "verify"]
    began = time.perf_counter()
    done = subprocess.run(command, env=place.env, cwd=ROOT, capture_output=True, text=True, check=False)
    _say(f"verify with {what}", f"{time.perf_counter() - began:.1f} s, exit {done.returncode}")
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])


# --- Processes of their own ---------------------------------------------------------------------


class Worker:
    """A process that does a piece of work each time it is told to (`tests.bench.work`)."""

    def __init__(self, place: FreshDatabase, name: str, number: int = 0) -> None:
        command = [sys.executable, "-m", "tests.bench.work", name, str(number)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=place.env, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        self._read()

    def start(self) -> None:
        """Let it work once."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def done(self) -> dict[str, float]:
        """Wait until it has, and return its figures."""
        figures: dict[str, float] = json.loads(self._read())
        return figures

    def end(self) -> None:
        """Let the process end."""
        self.process.communicate()

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit("a process of the benchmark failed")
        return line


def _once(place: FreshDatabase, name: str, what: str) -> None:
    worker = Worker(place, name)
    worker.start()
    done = worker.done()
    worker.end()
    _say(what, f"{done['seconds']:.1f} s, {done['cpu']:.1f} s of Python's CPU, {done['grown']:.0f} MiB more")


def _transfers(place: FreshDatabase, rounds: int) -> None:
    rounds = max(rounds, 5)
    workers = [Worker(place, "transfers", number) for number in range(PROCESSES)]
    rates, deadlocks = [], 0
    for _ in range(rounds):
        before = JournalEntry.objects.count()
        began = time.perf_counter()
        for worker in workers:
            worker.start()
        deadlocks += sum(int(worker.done()["deadlocks"]) for worker in workers)
        rates.append((JournalEntry.objects.count() - before) / (time.perf_counter() - began))
    for worker in workers:
        worker.end()
    what = f"{rounds * PROCESSES * TRANSFERS:,} opposite transfers from {PROCESSES} processes"
    _say(what, f"{median(rates):.0f} a second, {deadlocks} deadlocks")
    if deadlocks:
        sys.exit(1)


# --- Usage --------------------------------------------------------------------------------------


def _usage(place: FreshDatabase, size: int) -> None:
    usage_write(place.url, size, hours=1)
    count = UsageRecord.objects.count()
    _once(place, "post", f"hourly posting of {count:,} records over {LINES} lines")
    for name in ("csv", "xlsx"):
        _once(place, name, f"{count:,} usage records as {name}")
    _verify(place, f"{count:,} usage records")
    usage_write(place.url, size * 5, hours=365 * 24)
    a_year_ago = datetime.now(UTC) - timedelta(days=366)
    _say(f"roll-up of {size * 5:,} more over a year", f"{_timed(lambda: usage_roll(since=a_year_ago)):.1f} s")
    _say("once more, nothing new", f"{_timed(lambda: usage_roll(since=a_year_ago)):.1f} s")
    _verify(place, f"{size * 6:,} usage records")


def _reports(rounds: int) -> None:
    viewer = system_user()
    viewer.is_superuser = True
    day = today()
    asked = f"from={day.replace(year=day.year - 1).isoformat()}&to={day.isoformat()}"
    for report in all_reports():
        form = ChoiceForm(report, viewer, QueryDict(asked))
        if not form.is_valid():
            continue
        read = partial(_read, report, form.choice, viewer)
        _say(f"report {report.slug}", f"{median(_timed(read) for _ in range(max(rounds, 5))) * 1e3:.0f} ms")


def _read(report: Report, choice: Choice, viewer: User) -> None:
    with snapshot():  # as the page reads it
        for _ in islice(report.rows(choice, viewer), 200):
            pass
        report.ties(choice)
