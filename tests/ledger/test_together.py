"""Many at once: real processes on real connections, and afterwards the books are what one hand would have written."""

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from functools import partial

import psycopg
import pytest
from django.db import connections, transaction

from ledger.checks import breaches
from ledger.models import AccountClass, EntryKind, JournalEntry, Period, PeriodState
from ledger.money import usd
from ledger.selectors import balance, reserve_account, today
from ledger.services import (
    Leg,
    account_open,
    entry_post,
    fiscal_year_open,
    period_accrue,
    period_close,
    period_close_begin,
    reversal_propose,
    year_fund,
)
from teams.selectors import system_user
from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.databases import ROOT
from tests.ledger.books import Books, open_books
from tests.ledger.history import last_month, open_year_from_last_month
from tests.ledger.test_year import Year
from tests.processes import start_process, until

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


def run(database: FreshDatabase, script: str, words: Sequence[str]) -> list[str]:
    """Run a script in several processes at once, one per word that it gets, and return what each printed."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, *word.split()],
            env=database.env,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for word in words
    ]
    done = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * len(running), [errors for _, errors in done]
    return [printed for printed, _ in done]


def lines(books: Books) -> None:
    """Give two lines a hundred dollars each."""
    books.award("200")
    for name in ("one", "other"):
        line = account_open(code=f"line:{name}", name=name, account_class=AccountClass.LINE)
        books.move(EntryKind.RELEASE, line, books.committed, "100", f"release:{name}")


def test_opposite_transfers_never_deadlock(fresh_database: FreshDatabase) -> None:
    books = open_books()
    lines(books)

    run(fresh_database, TRANSFERS, [f"{place} 250" for place in range(4)])

    assert JournalEntry.objects.filter(kind=EntryKind.TRANSFER).count() == 1000
    assert breaches() == []


ONE_KEY = """
import sys, django
django.setup()
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from django.db import connections
from ledger.models import Account, EntryKind
from ledger.services import Leg, entry_post
from teams.selectors import system_user

count = int(sys.argv[1])
to, out_of = Account.objects.get(code="committed:test"), Account.objects.get(code="pool:test")
actor, together = system_user(), Barrier(count)

def post(_):
    try:
        together.wait()
        return entry_post(actor=actor, kind=EntryKind.AWARD, source="test", key="one",
                          legs=[Leg(to, Decimal(7)), Leg(out_of, Decimal(-7))])
    finally:
        connections.close_all()

with ThreadPoolExecutor(count) as pool:
    for entry in pool.map(post, range(count)):
        print(entry.pk, entry.fingerprint, entry.recorded_at.isoformat(), entry.is_new)
"""


def test_one_key_from_twenty_connections_is_one_entry_and_nineteen_equal_answers(fresh_database: FreshDatabase) -> None:
    books = open_books()

    answers = [answer.split() for answer in "".join(run(fresh_database, ONE_KEY, ["5"] * 4)).splitlines()]

    assert len(answers) == 20
    assert len({tuple(answer[:-1]) for answer in answers}) == 1
    assert [answer[-1] for answer in answers].count("True") == 1
    assert balance(books.pool).amount == Decimal(393)
    assert JournalEntry.objects.filter(source="test").count() == 1


REVERSALS = """
import sys, django
django.setup()
from ledger.models import Correction
from ledger.services import correction_approve
from teams.errors import Refused
from teams.models import User

lou, me = User.objects.get(email="lou@acorn.example"), int(sys.argv[1])
waiting = list(Correction.objects.order_by("pk" if me % 2 else "-pk"))
for correction in waiting[me // 2::2]:
    try:
        correction_approve(actor=lou, correction=correction)
        print("won")
    except Refused:
        print("lost")
"""


def test_each_of_five_hundred_reversals_is_tried_twice_and_won_once(fresh_database: FreshDatabase) -> None:
    books, company = open_books(), build_company()
    entries = [books.award("0.5", f"award:{place}") for place in range(500)]
    for entry in entries:
        reversal_propose(actor=company.hana, entry=entry, reason="A try")

    # Two processes go up and two go down, so that they meet in the middle.
    answers = "".join(run(fresh_database, REVERSALS, ["0", "1", "2", "3"])).split()

    assert (answers.count("won"), answers.count("lost")) == (500, 500)
    assert JournalEntry.objects.filter(kind=EntryKind.REVERSAL).count() == 500
    assert balance(books.pool).amount == 400
    assert breaches() == []


LATE_FACTS = """
import sys, django
django.setup()
from datetime import date
from decimal import Decimal
from ledger.models import Account, EntryKind
from ledger.services import Leg, entry_post
from teams.selectors import system_user

me, day = sys.argv[1].split(":")
to, out_of = Account.objects.get(code="committed:test"), Account.objects.get(code="pool:test")
actor = system_user()
for turn in range(100_000):
    entry = entry_post(actor=actor, kind=EntryKind.AWARD, source="late", key=f"{me}:{turn}",
                       legs=[Leg(to, Decimal("0.001")), Leg(out_of, Decimal("-0.001"))],
                       effective_on=date.fromisoformat(day))
    print(entry.period_id, flush=True)
"""


def test_a_month_is_closed_while_its_facts_are_still_posted(fresh_database: FreshDatabase) -> None:
    company = build_company()
    open_year_from_last_month(company.system)
    books, month = open_books(), Period.objects.get(starts_on=last_month())
    command, env = [sys.executable, "-c", LATE_FACTS], fresh_database.env | {"PYTHONPATH": str(ROOT)}

    def inside() -> int:
        return JournalEntry.objects.filter(period=month).count()

    def late() -> int:
        return JournalEntry.objects.filter(source="late").exclude(period=month).count()

    with ExitStack() as stack:
        words = (f"{me}:{last_month()}" for me in ("one", "other"))
        writers = [stack.enter_context(start_process([*command, word], env)) for word in words]
        until(lambda: inside() > 50, within=60, what="facts in their own month")
        closing = period_close_begin(actor=company.hana, period=month)
        taken = inside()
        period_close(actor=company.hana, period=closing)
        until(lambda: late() > 50, within=60, what="facts in the next month")
        assert [writer.output for writer in writers if not writer.is_alive] == []

    assert inside() == taken
    assert balance(books.committed).amount == Decimal("0.001") * (taken + late())
    assert {entry.effective_on for entry in JournalEntry.objects.filter(source="late")} == {last_month()}
    assert breaches() == []


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


def test_an_entry_that_meets_a_close_in_flight_goes_to_the_next_month(fresh_database: FreshDatabase) -> None:
    open_year_from_last_month(build_company().system)
    books, month = open_books(), Period.objects.get(starts_on=last_month())
    legs = [Leg(books.committed, Decimal(1)), Leg(books.pool, Decimal(-1))]

    def post() -> JournalEntry:
        try:
            return entry_post(
                actor=books.actor, kind=EntryKind.AWARD, source="test", key="late", legs=legs, effective_on=last_month()
            )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Period.objects.filter(pk=month.pk).update(state=PeriodState.CLOSING)
            posting = pool.submit(post)
            until(partial(_somebody_waits, fresh_database.url))
        entry = posting.result()

    assert entry.period.starts_on > month.ends_on
    assert entry.effective_on == last_month()
    assert breaches() == []


def test_a_close_and_an_hour_of_usage_never_wait_for_each_other(fresh_database: FreshDatabase) -> None:
    year = Year(build_company())
    month, hana = year.period(0), year.company.hana
    year.give("1000")
    year.use("100", month.starts_on, "calls")
    period_close_begin(actor=hana, period=month)
    metered = year.account("metered:acme")

    def accrue() -> list[JournalEntry]:
        try:
            return period_accrue(actor=hana, period=month)
        finally:
            connections.close_all()

    with psycopg.connect(fresh_database.url) as usage, ThreadPoolExecutor(1) as pool:
        usage.execute("SELECT ledger_lock_accounts(ARRAY[%s::bigint])", (metered.pk,))
        accruing = pool.submit(accrue)
        until(partial(_somebody_waits, fresh_database.url))
        usage.execute("SELECT ledger_period_for(%s, ARRAY['closing'])", (month.ends_on,))
        usage.commit()
        entries = accruing.result()

    assert [entry.period for entry in entries] == [month]
    assert balance(metered).amount == 0


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
