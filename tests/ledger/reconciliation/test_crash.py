"""A process that reconciles is killed in the middle: no day is half posted, and the next run does the rest."""

import subprocess
import sys
import time
from decimal import Decimal

import psycopg
import pytest
from django.db.models import Sum

from ledger.checks import breaches
from ledger.models import Outcome, ReconciliationLine, ReconciliationPosting
from ledger.services.reconciliation import reconcile
from tests.conftest import FreshDatabase
from tests.databases import ROOT
from tests.ledger.history import Used
from tests.ledger.reconciliation.bill import Bill, balances, open_bill
from tests.ledger.reconciliation.month import day

CALL = Used(input=1_000_000, output=100_000)
RUN = """
import django
django.setup()
from ledger.models import Provider
from ledger.services.reconciliation import reconcile
from teams.selectors import system_user
reconcile(actor=system_user(), provider=Provider.objects.get(name="acme"))
"""
SOON = 60  # seconds


@pytest.fixture
def bill(fresh_database: FreshDatabase, owner_connection: psycopg.Connection) -> Bill:
    """Give twenty days of both models, all of them a fifth dearer than the rate card says."""
    bill = open_bill(owner_connection)
    for number in range(1, 21):
        for model in ("acme-small", "acme-big"):
            bill.used(day(number), CALL, model=model)
            bill.bills(day(number), CALL, model=model, times="1.2")
    bill.fetch()
    return bill


def run(place: FreshDatabase) -> subprocess.Popen[bytes]:
    """Start a process that reconciles."""
    return subprocess.Popen([sys.executable, "-c", RUN], cwd=ROOT, env=place.env)


def wait_for_days(at_least: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many days are posted, or the process has ended."""
    until = time.monotonic() + SOON
    while ReconciliationPosting.objects.values("day").distinct().count() < at_least and process.poll() is None:
        assert time.monotonic() < until, "nothing was posted"


@pytest.mark.parametrize("days", [0, 1, 7])
def test_killed_in_the_middle_it_posts_whole_days_and_the_next_run_the_rest(
    bill: Bill, fresh_database: FreshDatabase, days: int
) -> None:
    process = run(fresh_database)
    wait_for_days(days, process)
    process.kill()
    process.wait()
    posted = ReconciliationPosting.objects.values("day").annotate(sum=Sum("amount"))
    assert {row["sum"] for row in posted} <= {Decimal("17.16") + Decimal("2.86")}

    reconcile(actor=bill.actor, provider=bill.provider)

    assert {line.outcome for line in ReconciliationLine.objects.all()} == {Outcome.EXPLAINED}
    assert balances() == {
        "metered": Decimal(0),
        "billed": Decimal("343.2"),
        "variance": Decimal(0),
        "line Blue": Decimal("656.8"),
        "line Green": Decimal(1000),
    }
    assert breaches() == []


def test_two_processes_at_once_post_every_day_once(bill: Bill, fresh_database: FreshDatabase) -> None:
    processes = [run(fresh_database) for _number in range(2)]

    assert [process.wait(SOON) for process in processes] == [0, 0]

    assert ReconciliationPosting.objects.count() == 2 * 20
    assert balances()["billed"] == Decimal("343.2")
    assert breaches() == []
