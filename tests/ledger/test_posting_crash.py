"""A posting run that is killed, and a database that dies under it: afterwards everything is there once."""

import os
import signal
import sys
from decimal import Decimal
from functools import partial

import psycopg
from django.db import connections

from ledger.checks import breaches
from ledger.models import EntryKind, JournalEntry
from ledger.selectors import balance
from tests import databases
from tests.conftest import FreshDatabase
from tests.databases import ROOT
from tests.ledger.books import open_books
from tests.processes import Running, start_process, until

AWARDS = """
import sys, django
django.setup()
from decimal import Decimal
from ledger.models import Account, EntryKind
from ledger.services import Leg, entry_post
from teams.selectors import system_user
to, out_of = Account.objects.get(code="committed:test"), Account.objects.get(code="pool:test")
actor = system_user()
for turn in range(int(sys.argv[1])):
    entry_post(actor=actor, kind=EntryKind.AWARD, source="crash", key=str(turn),
               legs=[Leg(to, Decimal("0.01")), Leg(out_of, Decimal("-0.01"))])
    print(turn, flush=True)
"""
MANY = 2000


def awards() -> int:
    return JournalEntry.objects.filter(source="crash").count()


def _reached(goal: int, _: Running) -> bool:
    return awards() >= goal


def test_a_killed_process_loses_nothing_it_acknowledged_and_a_retry_doubles_nothing(
    fresh_database: FreshDatabase,
) -> None:
    books = open_books()
    command = [sys.executable, "-c", AWARDS, str(MANY)]
    env = fresh_database.env | {"PYTHONPATH": str(ROOT)}

    for goal in (20, 60, 120):
        with start_process(command, env, ready=partial(_reached, goal)) as running:
            os.kill(running.process.pid, signal.SIGKILL)
            running.process.wait()
            acknowledged = [int(line) for line in running.output.splitlines() if line.isdigit()]
        assert awards() >= len(acknowledged)  # each run begins again at the first key: what was there stays once
        assert balance(books.committed).amount == Decimal("0.01") * awards()

    assert breaches() == []


def test_a_backend_that_is_ended_in_the_middle_of_a_posting_leaves_no_trace(fresh_database: FreshDatabase) -> None:
    books = open_books()
    command = [sys.executable, "-c", AWARDS, str(MANY)]
    env = fresh_database.env | {"PYTHONPATH": str(ROOT)}

    with start_process(command, env, ready=partial(_reached, 20)) as running:
        connections.close_all()
        with psycopg.connect(fresh_database.url, autocommit=True) as other:
            databases.end_sessions(other, fresh_database.name)
        until(lambda: not running.is_alive)

    assert awards() < MANY
    assert JournalEntry.objects.filter(kind=EntryKind.AWARD).count() == awards()
    assert balance(books.committed).amount == Decimal("0.01") * awards()
    assert breaches() == []
