"""The database committed and nobody heard of it: who asks again gets the same answer, and nothing is there twice."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import psycopg
import pytest
from django.db import OperationalError, connections

from allocations.metering.loop import SyncLoop
from ledger.checks import breaches
from ledger.models import Correction, CorrectionState, JournalEntry, UsageRecord
from ledger.money import usd
from ledger.selectors import balance, current_fiscal_year, trial_balance
from ledger.services import correction_approve, pool_delegate, reversal_propose, usage_post, year_cut, year_fund
from teams.errors import WrongState
from teams.models import AuditEvent, BusinessUnit, User
from teams.services import business_unit_create
from tests.allocations.desk import open_desk, wish
from tests.allocations.test_loop import dsn
from tests.cast import build_company
from tests.conftest import FreshDatabase
from tests.cut import Wire, wire
from tests.ledger.books import open_books
from tests.own_server import django_at


@contextmanager
def over(line: Wire) -> Iterator[None]:
    """Let Django use the database over a wire."""
    settings = connections.settings["default"]
    options = settings["OPTIONS"] | {"sslmode": "disable"}
    with django_at({"HOST": "127.0.0.1", "PORT": line.port, "OPTIONS": options}):
        yield


@pytest.fixture
def line(fresh_database: FreshDatabase) -> Iterator[Wire]:
    with wire() as made, over(made):
        yield made


def test_an_entry_whose_commit_nobody_heard_of_is_found_again_by_its_key(line: Wire) -> None:
    books = open_books()
    before = JournalEntry.objects.count()

    line.cut_after_commit()
    with pytest.raises(OperationalError):
        books.award("5")
    connections.close_all()
    assert (line.cuts, JournalEntry.objects.count()) == (1, before + 1)

    again = books.award("5")

    assert again == JournalEntry.objects.latest("pk")
    assert JournalEntry.objects.count() == before + 1
    assert balance(books.committed).amount == 5
    assert breaches() == []


FORMS: dict[str, Callable[[User], object]] = {
    "fund": lambda actor: year_fund(actor=actor, amount=usd("70"), reason="More", key="monday"),
    # All that is left: asked again, nothing would be.
    "cut": lambda actor: year_cut(
        actor=actor, year=current_fiscal_year(), amount=usd("600"), reason="Less", key="monday"
    ),
    "delegate": lambda actor: pool_delegate(
        actor=actor, unit=BusinessUnit.objects.get(name="Security"), amount=usd("600"), reason="Own pool", key="monday"
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_of_finance_that_is_sent_again_is_the_same_entry_and_the_same_history(line: Wire, name: str) -> None:
    books, send = open_books(), FORMS[name]
    business_unit_create(actor=books.actor, name="Security")
    before = JournalEntry.objects.count()

    line.cut_after_commit()
    with pytest.raises(OperationalError):
        send(books.actor)
    connections.close_all()
    history, balances = AuditEvent.objects.count(), trial_balance()

    assert send(books.actor) == send(books.actor)

    assert JournalEntry.objects.count() == before + 1
    assert (AuditEvent.objects.count(), trial_balance()) == (history, balances)


def test_an_approval_that_is_sent_again_finds_the_correction_decided(line: Wire) -> None:
    company, books = build_company(), open_books()
    entry = books.award("5")
    proposed = reversal_propose(actor=company.hana, entry=entry, reason="The wrong round")

    line.cut_after_commit()
    with pytest.raises(OperationalError):
        correction_approve(actor=company.lou, correction=proposed)
    connections.close_all()
    with pytest.raises(WrongState):
        correction_approve(actor=company.lou, correction=proposed)

    assert Correction.objects.get().state == CorrectionState.APPROVED
    assert balance(books.pool).amount == 400
    assert breaches() == []


def test_a_settle_whose_commit_nobody_heard_of_charges_once(fresh_database: FreshDatabase) -> None:
    desk = open_desk()
    chain = desk.chain
    with wire() as line:
        at = psycopg.conninfo.make_conninfo(dsn(fresh_database), host="127.0.0.1", port=line.port, sslmode="disable")

        async def story() -> None:
            loop = SyncLoop(at, fresh_database.data / "spool")
            await loop.start()
            try:
                hold = await loop.admit(wish(chain, Decimal(4)))
                line.cut_after(lambda answer: b"granted" in answer)
                charge = await loop.settle(hold, desk.facts())
                assert (charge.charged, charge.overage) == (Decimal(1), Decimal(0))
                await loop.void(await loop.admit(wish(chain, Decimal(4))))
            finally:
                await loop.stop()

        asyncio.run(story())

    assert line.cuts == 1
    assert UsageRecord.objects.get().charged == 1
    assert (desk.quota.spent, desk.quota.held) == (1, 0)
    usage_post(actor=desk.actor)
    assert breaches() == []
