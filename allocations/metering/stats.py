"""What a sync loop counts of itself: plain numbers without locks, since one event loop writes and reads them.

A call pays for two looks at the clock. Everything else is one pass over a batch after its commit.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from allocations.metering.types import CallFacts

SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CALLS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
VOID = "void"
LOST, REFUSED = "lost", "refused"
# The loop commits every second, if only its heartbeat.
STALE_SECONDS = 5.0


class Waiting(Protocol):
    """What waited for a commit, since a moment of the monotonic clock."""

    since: float


class Settling(Waiting, Protocol):
    """A settle, or a void when it has no facts."""

    facts: CallFacts | None


class Histogram:
    """Values counted by size: `bounds` are the upper ends of its buckets, ascending; one more is open at its end."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_waits(self, now: float, waited: Sequence[Waiting]) -> None:
        """Count how many seconds each of some had waited by now."""
        bounds, counts, total = self.bounds, self.counts, 0.0
        for one in waited:
            seconds = now - one.since
            counts[bisect_left(bounds, seconds)] += 1
            total += seconds
        self.total += total


class MeterStats:
    """The counts of one process's sync loop; times in seconds."""

    def __init__(self) -> None:
        self.answered = 0
        """Admits that a commit answered, granted or stopped."""
        self.stops: Counter[str] = Counter()
        """Those that a quota stopped, by `Stop`."""
        self.settles: Counter[str] = Counter()
        """Committed settles, by their kind, and voids."""
        self.spooled = 0
        """Settles that went to disk because the database stayed away."""
        self.failures: Counter[str] = Counter()
        """Transactions that did not commit: `LOST` with the database, or `REFUSED` by it."""
        self.hold_seconds, self.settle_seconds, self.commit_seconds = (Histogram(SECONDS) for _ in range(3))
        self.batch_admits, self.batch_settles = Histogram(CALLS), Histogram(CALLS)
        self.last_commit = 0.0

    @property
    def admitted(self) -> int:
        """Return how many calls got their hold."""
        return self.answered - self.stops.total()

    @property
    def is_stale(self) -> bool:
        """Say whether the loop has not committed for so long that something must hold it up."""
        return monotonic() - self.last_commit > STALE_SECONDS

    def connected(self) -> None:
        """Take note that the database is there."""
        self.last_commit = monotonic()

    def committed(self, admits: Sequence[Waiting], settles: Sequence[Settling], began: float) -> None:
        """Count a transaction that began at a moment of the monotonic clock; an empty one is a heartbeat."""
        now = self.last_commit = monotonic()
        if admits or settles:
            self.commit_seconds.observe(now - began)
        if admits:
            self.answered += len(admits)
            self.batch_admits.observe(len(admits))
            self.hold_seconds.observe_waits(now, admits)
        if settles:
            self.batch_settles.observe(len(settles))
            self.settled(settles, now)

    def settled(self, settles: Sequence[Settling], now: float) -> None:
        """Count settles that are committed."""
        self.settle_seconds.observe_waits(now, settles)
        kinds = self.settles
        for settle in settles:
            kinds[VOID if settle.facts is None else settle.facts.settle_kind] += 1
