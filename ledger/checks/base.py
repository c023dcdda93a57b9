"""What a check is, which there are, and how all of them are run: nothing here trusts a stored figure.

A floor registers its own checks in its `AppConfig.ready`, so that one command proves the promises of all of them.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from ledger.snapshot import snapshot

# As docs/architecture.md, "Promises", numbers them.
PROMISES = {
    1: "A quota is hard",
    2: "A finished response is a recorded response",
    3: "What was in flight at a crash stays held",
    4: "The journal balances and never changes",
    5: "A closed period stays closed",
    6: "A round cannot award more than its pool",
    7: "Nobody decides on their own pitch",
    8: "A secret is seen once",
    9: "Every change has an actor, a time, and a reason where policy asks one",
}


@dataclass(frozen=True, slots=True)
class Check:
    """A promise and the statement that finds what breaks it.

    Each row of the statement is a text that names the broken row, and where to look at it: the path of a page, or a
    command.
    """

    promise: int
    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Breach:
    """One row that breaks a promise, in words, and a page's address or a command that shows it."""

    promise: int
    check: str
    row: str
    look: str

    @property
    def words(self) -> str:
        """Return the promise in words."""
        return PROMISES[self.promise]


@dataclass(frozen=True, slots=True)
class Progress:
    """A check that was run: which of how many, its name, seconds it took, rows it found."""

    number: int
    of: int
    name: str
    seconds: float
    found: int


Source = Callable[[], Iterable[Check]]
_SOURCES: list[Source] = []


def register(source: Source) -> None:
    """Add a floor's checks to all checks; `source` is asked whenever they are run. A second time changes nothing."""
    if source not in _SOURCES:
        _SOURCES.append(source)


def all_checks() -> list[Check]:
    """Return the checks of every floor, as they are now."""
    return [check for source in _SOURCES for check in source()]


def breaches(checks: Iterable[Check] | None = None, *, tell: Callable[[Progress], None] | None = None) -> list[Breach]:
    """Return every row that breaks a promise; empty means that all of them hold now. `tell` hears of each check."""
    wanted = all_checks() if checks is None else list(checks)
    found: list[Breach] = []
    for number, check in enumerate(wanted, start=1):
        began = time.monotonic()
        rows = _run(check)
        found += rows
        if tell is not None:
            tell(Progress(number, len(wanted), check.name, time.monotonic() - began, len(rows)))
    return found


def prove(*, tell: Callable[[Progress], None] | None = None) -> list[Breach]:
    """Run every check in one snapshot, so that what is metered meanwhile cannot look like a difference."""
    with snapshot(), connection.cursor() as cursor:
        # Sums over the whole history sort once in memory rather than on disk.
        cursor.execute("SET LOCAL work_mem = '128MB'")
        # Compiling statements over as many partitions takes longer than it saves.
        cursor.execute("SET LOCAL jit = off")
        return breaches(tell=tell)


def _run(check: Check) -> list[Breach]:
    with connection.cursor() as cursor:
        cursor.execute(check.sql)
        return [Breach(check.promise, check.name, row, _address(look)) for row, look in cursor.fetchall()]


def _address(look: str) -> str:
    return f"{settings.TANK_URL}{look}" if look.startswith("/") else look
