"""Many at once: real processes on real connections, and afterwards the books are what one hand would have written."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial

import psycopg
import pytest
from django.db import connections, transaction

from ledger.checks import breaches
from ledger.models import AccountClass, EntryKind, JournalEntry, Period, PeriodState
from ledger.money import usd
from ledger.selectors import balance, reserve_account, today
from ledger.services import account_open, correction_approve, fiscal_year_open, reversal_propose, year_fund
from teams.errors import Refused, WrongState
from teams.models import Role
from teams.selectors import system_user
from teams.services import role_grant, user_create
from tests.conftest import FreshDatabase
from tests.databases import ROOT
from tests.ledger.books import Books, open_books
from tests.processes import until

TRANSFERS = """
import sys, django
django.setup()
from decimal import Decimal
from functools import partial
from ledger.models import Account, EntryKind
from ledger.services import Leg, entry_post
from teams.selectors import system_user

me, count = sys.argv[1], int(sys.argv[2])
one, other = Account.objects.filter(code__in=["line:one", "line:other"]).order_by("code")
actor = system_user()
for turn in range(count):
    to, out_of = (one, other) if (turn + int(me)) % 2 else (other, one)
    entry_post(actor=actor, kind=EntryKind.TRANSFER, source="transfer", key=f"{me}:{turn}",
               legs=[Leg(to, Decimal("0.01")), Leg(out_of, Decimal("-0.01"))])
"""


def run_transfers(database: FreshDatabase, processes: int, each: int) -> None:
    """Move cents to and fro between two lines from several processes at once."""
    command = [sys.executable, "-c", TRANSFERS]
    running = [
        subprocess.Popen(
            [*command, str(place), str(each)], env=database.env, cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for place in range(processes)
    ]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * processes, errors


def lines(books: Books) -> None:
    """Give two lines a hundred dollars each."""
    books.award("200")
    for name in ("one", "other"):
        line = account_open(code=f"line:{name}", name=name, account_class=AccountClass.LINE)
        books.move(EntryKind.RELEASE, line, books.committed, "100", f"release:{name}")


def test_opposite_transfers_never_deadlock(fresh_database: FreshDatabase) -> None:
    books = open_books()
    lines(books)

    run_transfers(fresh_database, processes=4, each=250)

    assert JournalEntry.objects.filter(kind=EntryKind.TRANSFER).count() == 1000
    assert breaches() == []


def test_one_key_from_twenty_connections_is_one_entry_and_twenty_equal_answers(fresh_database: FreshDatabase) -> None:
    books = open_books()

    def post(_: int) -> int:
        try:
            return books.award("7").pk
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))

    assert len(set(answers)) == 1
    assert balance(books.pool).amount == Decimal(393)


def test_each_reversal_is_won_once(fresh_database: FreshDatabase) -> None:
    books = open_books()
    second = user_create(actor=books.actor, email="lou@acorn.example", name="Lou Example")
    third = user_create(actor=books.actor, email="hana@acorn.example", name="Hana Example")
    for person in (second, third):
        role_grant(actor=books.actor, user=person, role=Role.FINANCE)
    entries = [books.award("1", f"award:{place}") for place in range(50)]
    proposed = [reversal_propose(actor=third, entry=entry, reason="A try") for entry in entries]

    def decide(place: int) -> bool:
        try:
            correction_approve(actor=second, correction=proposed[place % 50])
        except (WrongState, Refused):
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(decide, range(100)))

    assert won.count(True) == 50
    assert JournalEntry.objects.filter(kind=EntryKind.REVERSAL).count() == 50
    assert balance(books.pool).amount == 400


def test_a_period_that_closes_waits_for_entries_in_flight_and_takes_none_after(fresh_database: FreshDatabase) -> None:
    books = open_books()
    month = Period.objects.get(starts_on__lte=today(), ends_on__gte=today())
    before = JournalEntry.objects.count()

    def close() -> None:
        try:
            for state in (PeriodState.CLOSING, PeriodState.CLOSED):
                Period.objects.filter(pk=month.pk).update(state=state)
        finally:
            connections.close_all()

    with psycopg.connect(fresh_database.url) as slow, ThreadPoolExecutor(1) as pool:
        entry = slow.execute(
            """INSERT INTO ledger_journalentry (kind, source, key, fingerprint, period_id, effective_on, actor_id,
                   reason, memo) VALUES ('award', 'raw', 'slow', '', %s, %s, %s, '', '') RETURNING id""",
            (month.pk, today(), books.actor.pk),
        ).fetchone()
        assert entry is not None
        slow.execute(
            "INSERT INTO ledger_posting (entry_id, account_id, currency, amount)"
            " VALUES (%s, %s, 'USD', 5), (%s, %s, 'USD', -5)",
            (entry[0], books.committed.pk, entry[0], books.pool.pk),
        )
        closing = pool.submit(close)
        until(partial(_somebody_waits, fresh_database.url))
        slow.commit()
        closing.result()

    assert JournalEntry.objects.count() == before + 1
    assert JournalEntry.objects.get(key="slow").period == month
    with pytest.raises(psycopg.Error, match="is closed"), psycopg.connect(fresh_database.url) as late:
        late.execute(
            """INSERT INTO ledger_journalentry (kind, source, key, fingerprint, period_id, effective_on, actor_id,
                   reason, memo) VALUES ('award', 'raw', 'late', '', %s, %s, %s, '', '')""",
            (month.pk, today(), books.actor.pk),
        )


def test_two_first_fundings_at_the_same_moment_can_each_be_sent_again(fresh_database: FreshDatabase) -> None:
    actor = system_user()
    year = fiscal_year_open(actor=actor, first_day=today().replace(month=1, day=1))

    def fund(key: str) -> JournalEntry:
        try:
            return year_fund(actor=actor, amount=usd("10"), reason="Budget", key=key, year=year)
        finally:
            if key == "other":
                connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            one = fund("one")
            waiting = pool.submit(fund, "other")
            until(partial(_somebody_waits, fresh_database.url))
        other = waiting.result()

    assert (fund("one"), fund("other")) == (one, other)
    assert balance(reserve_account(year)).amount == 20


def _somebody_waits(url: str) -> bool:
    with psycopg.connect(url) as look:
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return look.execute(waits).fetchone() is not None


def test_a_thousandfold_of_the_smallest_price_sums_exactly(fresh_database: FreshDatabase) -> None:
    books = open_books()
    with psycopg.connect(fresh_database.url) as owner:
        total = owner.execute("SELECT sum(1.25e-7::numeric) FROM generate_series(1, 1000000)").fetchone()
    assert total == (Decimal("0.125"),)
    for place in range(1000):
        books.award("0.000000125", f"tiny:{place}")
    assert balance(books.committed).amount == Decimal("0.000125")
    assert balance(books.pool).amount == Decimal("399.999875")
