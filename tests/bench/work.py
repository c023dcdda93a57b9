"""Work of a process of its own: `python -m tests.bench.work NAME`. For each line it reads it does the work once.

It answers with a line of JSON: seconds, and those of this process's CPU, the mebibytes that it grew above what it had
after starting, and how often the database broke a deadlock.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from decimal import Decimal

import django

MEBIBYTE = 1024  # ru_maxrss counts KiB
django.setup()

from django.db import OperationalError  # noqa: E402
from django.http import QueryDict  # noqa: E402
from psycopg.errors import DeadlockDetected  # noqa: E402

from ledger.models import Account, AccountClass, EntryKind, UsageRecord  # noqa: E402
from ledger.reports.base import report_of  # noqa: E402
from ledger.reports.files import Asked, csv_file, json_file, xlsx_file  # noqa: E402
from ledger.reports.forms import ChoiceForm  # noqa: E402
from ledger.services import Leg, entry_post, usage_post  # noqa: E402
from ledger.streams import FileStream  # noqa: E402
from teams.selectors import system_user  # noqa: E402
from tests.bench.facts import TRANSFERS  # noqa: E402


def transfers() -> int:
    """Move a cent there and back between two lines, and return how often that ended in a deadlock."""
    one, other = Account.objects.filter(account_class=AccountClass.LINE).order_by("pk")[:2]
    actor, deadlocks = system_user(), 0
    for number in range(TRANSFERS):
        there, back = (one, other) if number % 2 else (other, one)
        try:
            entry_post(
                actor=actor,
                kind=EntryKind.TRANSFER,
                source="bench",
                key=f"{sys.argv[2]}-{time.perf_counter_ns()}",
                legs=[Leg(there, Decimal("0.01")), Leg(back, Decimal("-0.01"))],
            )
        except OperationalError as error:
            if not isinstance(error.__cause__, DeadlockDetected):
                raise
            deadlocks += 1
    return deadlocks


def post() -> int:
    """Post the usage of the hour."""
    usage_post(actor=system_user())
    return 0


def _file(write: Callable[[Asked], FileStream]) -> Callable[[], int]:
    """Return what reads a file of all usage records to its end, as a server does, and keeps none of it."""

    def work() -> int:
        report, viewer = report_of("usage-records"), system_user()
        assert report is not None
        moments = [UsageRecord.objects.order_by(by).values_list("settled_at", flat=True)[0] for by in ORDERS]
        first, last = (moment.date().isoformat() for moment in moments)
        form = ChoiceForm(report, viewer, QueryDict(f"from={first}&to={last}"))
        assert form.is_valid(), form.errors
        asked = Asked(report, form.choice, viewer, form.typed, report.columns(form.choice), report.ties(form.choice))
        for _ in write(asked):
            pass
        return 0

    return work


ORDERS = ("settled_at", "-settled_at")
WORK: dict[str, Callable[[], int]] = {
    "transfers": transfers,
    "post": post,
    "csv": _file(csv_file),
    "xlsx": _file(xlsx_file),
    "json": _file(json_file),
}


def main(name: str) -> None:
    """Say that it is ready, then work once for each line."""
    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    system_user()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        started, used = time.perf_counter(), time.process_time()
        deadlocks = WORK[name]()
        seconds, cpu = time.perf_counter() - started, time.process_time() - used
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began) / MEBIBYTE
        sys.stdout.write(json.dumps({"seconds": seconds, "cpu": cpu, "grown": grown, "deadlocks": deadlocks}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
