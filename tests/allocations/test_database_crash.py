"""`kill -9` of the database under full load: nothing that was acknowledged is lost, and nothing is there twice."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from uuid import UUID

import psycopg
import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from ledger.checks import breaches
from ledger.models import JournalEntry, Posting, UsageRecord
from ledger.selectors import balance
from ledger.services import usage_post
from tests.allocations.gateways import House, Purse, gateway, sandbox
from tests.allocations.test_gateway_load import answers_of, clients
from tests.databases import ROOT
from tests.ledger.books import Books, open_books
from tests.ledger.test_posting_crash import AWARDS, awards
from tests.own_server import OwnServer, own_server
from tests.processes import Running, start_process, until

pytestmark = pytest.mark.slow

CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def server(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnServer]:
    with django_db_blocker.unblock(), own_server(tmp_path_factory.mktemp("crash") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def books(server: OwnServer) -> Books:
    return open_books()


@pytest.fixture(scope="module")
def purse(books: Books) -> Purse:
    return House().purse("1000")


def posting(server: OwnServer, stack: ExitStack, turns: int) -> Running:
    """Run a process that posts awards, from the first key on, and prints each that was acknowledged."""
    env = server.database.env | {"PYTHONPATH": str(ROOT)}
    return stack.enter_context(start_process([sys.executable, "-c", AWARDS, str(turns)], env))


def acknowledged(running: Running) -> set[str]:
    return {line for line in running.output.splitlines() if line.isdigit()}


def posted() -> set[str]:
    return set(JournalEntry.objects.filter(source="crash").values_list("key", flat=True))


def answered(crowd: Running) -> set[UUID]:
    return {UUID(answer["id"]) for answer in answers_of(crowd) if answer["status"] == 200}


def recorded(purse: Purse) -> set[UUID]:
    return {record.request_id for record in purse.records}


def test_the_postmaster_is_killed_while_calls_are_metered_and_entries_posted(
    server: OwnServer, books: Books, purse: Purse
) -> None:
    with ExitStack() as stack:
        box = stack.enter_context(sandbox(server.database, delay_ms=20))
        at = stack.enter_context(gateway(server.database, box.url))
        plan = {"callers": 16, "calls": 1_000_000, "mixed": True}
        crowd = stack.enter_context(clients(server.database, purse, [at.url], **plan))
        writer = posting(server, stack, 1_000_000)
        until(lambda: len(answered(crowd)) > 100, within=60, what="calls")
        until(lambda: len(acknowledged(writer)) > 50, within=60, what="entries")

        server.kill()
        writer.ended()
        before = len(answered(crowd))
        server.start()

        assert acknowledged(writer) <= posted()
        until(lambda: len(answered(crowd)) > before + 100, within=60, what="calls after the crash")
        crowd.end()
        until(lambda: purse.quota().held == 0, within=60, what="the end of the calls in flight")
        assert answered(crowd) <= recorded(purse)

    # Every key again, also those that nobody heard of: only what is missing is added.
    there = awards()
    with ExitStack() as stack:
        assert posting(server, stack, there + 10).ended() == 0
    assert posted() == {str(turn) for turn in range(there + 10)}
    assert balance(books.committed).amount == CENT * (there + 10)

    usage_post(actor=books.actor)
    assert purse.quota().spent == sum(record.charged for record in purse.records)
    assert UsageRecord.objects.count() == len(recorded(purse))
    assert breaches() == []


def test_a_backend_is_killed_at_any_moment_of_a_posting(server: OwnServer, books: Books) -> None:
    for _ in range(2):
        goal = awards() + 10
        with ExitStack() as stack:
            writer = posting(server, stack, 1_000_000)
            until(partial(_has_posted, goal), within=60, what="entries")
            connections.close_all()
            [backend] = server.backends()
            os.kill(backend, signal.SIGKILL)
            writer.ended()
        until(lambda: server.is_up, within=60, what="the recovery")
        assert acknowledged(writer) <= posted()

    assert Posting.objects.filter(entry__source="crash").count() == 2 * awards()
    assert balance(books.committed).amount == CENT * awards()
    assert breaches() == []


def test_a_backend_is_killed_while_its_posting_waits_for_a_balance(server: OwnServer, books: Books) -> None:
    before = awards()
    with ExitStack() as stack:
        busy = psycopg.connect(server.database.url)
        stack.callback(busy.close)
        busy.execute("SELECT ledger_lock_accounts(ARRAY[%s::bigint])", (books.committed.pk,))
        writer = posting(server, stack, before + 1)
        until(lambda: bool(server.backends("ledger_post(")), within=60, what="the posting")
        [backend] = server.backends("ledger_post(")
        os.kill(backend, signal.SIGKILL)
        writer.ended()
    until(lambda: server.is_up, within=60, what="the recovery")
    connections.close_all()
    assert awards() == before

    with ExitStack() as stack:
        assert posting(server, stack, before + 1).ended() == 0
    assert awards() == before + 1
    assert breaches() == []


def _has_posted(goal: int) -> bool:
    return awards() >= goal
