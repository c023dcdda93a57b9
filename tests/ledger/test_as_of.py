"""A read as of a time sees nothing from its future, and what comes late comes late in it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.models import EntryKind
from ledger.reports.base import Choice
from ledger.reports.trial import TrialBalance
from ledger.selectors import today
from ledger.selectors.pages import trial_rows
from ledger.services import Leg, entry_post
from teams.selectors import system_user
from tests.conftest import FreshDatabase
from tests.ledger.books import Books, open_books


@pytest.fixture
def books(fresh_database: FreshDatabase) -> Books:
    return open_books()


def known_at(moment: datetime, books: Books) -> Decimal:
    """Return the pool's balance as the books knew it at a moment."""
    choice = Choice(starts_on=today(), ends_on=today(), as_of=moment)
    found = {row.cells[0]: row.cells[6] for row in TrialBalance().rows(choice, system_user())}
    amount = found.get(books.pool.code, Decimal(0))
    assert isinstance(amount, Decimal)
    return amount


def dated(days_ago: int, books: Books) -> Decimal:
    """Return the pool's balance at the end of a day, by the dates of the facts that are known now."""
    day = today() - timedelta(days=days_ago)
    return next(row.balance for row in trial_rows(day) if row.account == books.pool)


def test_a_back_dated_entry_changes_its_day_and_not_what_was_known(books: Books) -> None:
    moments = [datetime.now(UTC)]
    for place, days_ago in enumerate((2, 1, 0)):
        legs = [Leg(books.committed, Decimal(10)), Leg(books.pool, Decimal(-10))]
        entry_post(
            actor=books.actor,
            kind=EntryKind.AWARD,
            source="test",
            key=str(place),
            legs=legs,
            effective_on=today() - timedelta(days=days_ago),
        )
        moments.append(datetime.now(UTC))

    # By the time of recording: each moment says for ever what it said then.
    assert [known_at(moment, books) for moment in moments] == [400, 390, 380, 370]
    assert known_at(moments[0] - timedelta(days=1), books) == 0
    # By the dates of the facts: the pool was opened today, and the late entries lie before it.
    assert [dated(days_ago, books) for days_ago in (3, 2, 1, 0)] == [0, -10, -20, 370]
