"""The one door into the journal: idempotency, dates and refusals in words."""

from datetime import timedelta
from decimal import Decimal

import pytest

from ledger.models import EntryKind, JournalEntry, Period, PeriodState
from ledger.money import InexactAmount
from ledger.selectors import today
from ledger.services import IdempotencyClash, Leg, entry_post
from teams.errors import Refused
from tests.ledger.books import open_books

pytestmark = pytest.mark.django_db


def test_the_same_key_and_content_is_the_same_entry() -> None:
    books = open_books()
    first = books.award("10", "k")
    again = books.award("10.00", "k")
    assert first == again
    assert books.balances()["committed"] == 10


def test_the_same_key_with_another_content_is_refused() -> None:
    books = open_books()
    books.award("10", "k")
    with pytest.raises(IdempotencyClash):
        books.award("11", "k")
    assert books.balances()["committed"] == 10


@pytest.mark.parametrize("amounts", [["10"], ["10", "-9.98"], ["10", "-10", "0"]])
def test_an_entry_needs_two_postings_that_sum_to_zero(amounts: list[str]) -> None:
    books = open_books()
    accounts = [books.committed, books.pool, books.line]
    legs = [Leg(account, Decimal(amount)) for account, amount in zip(accounts, amounts, strict=False)]
    with pytest.raises(Refused, match="sum to zero"):
        entry_post(actor=books.actor, kind=EntryKind.AWARD, source="test", key="x", legs=legs)


def test_an_amount_finer_than_twelve_places_is_refused_not_rounded() -> None:
    books = open_books()
    with pytest.raises(InexactAmount):
        books.award("0.0000000000001")


def test_a_float_is_refused() -> None:
    books = open_books()
    legs = [Leg(books.committed, 0.5), Leg(books.pool, -0.5)]  # type: ignore[arg-type]
    with pytest.raises(InexactAmount):
        entry_post(actor=books.actor, kind=EntryKind.AWARD, source="test", key="x", legs=legs)


def test_a_late_fact_keeps_its_date_and_lands_in_the_open_period() -> None:
    books = open_books()
    late = today().replace(day=1) - timedelta(days=1)
    for state in (PeriodState.CLOSING, PeriodState.CLOSED):
        Period.objects.filter(ends_on__lte=late).update(state=state)

    legs = [Leg(books.committed, Decimal(5)), Leg(books.pool, Decimal(-5))]
    entry = entry_post(actor=books.actor, kind=EntryKind.AWARD, source="test", key="late", legs=legs, effective_on=late)

    assert entry.effective_on == late
    assert entry.period.state == PeriodState.OPEN
    assert entry.period.starts_on > late


def test_nothing_is_posted_when_no_period_is_open() -> None:
    books = open_books()
    for state in (PeriodState.CLOSING, PeriodState.CLOSED):
        Period.objects.update(state=state)
    entries = JournalEntry.objects.count()
    with pytest.raises(Refused, match="No accounting period is open"):
        books.award("5")
    assert JournalEntry.objects.count() == entries


def test_the_future_cannot_be_posted() -> None:
    books = open_books()
    legs = [Leg(books.committed, Decimal(5)), Leg(books.pool, Decimal(-5))]
    with pytest.raises(Refused, match="lies in the future"):
        entry_post(
            actor=books.actor,
            kind=EntryKind.AWARD,
            source="test",
            key="f",
            legs=legs,
            effective_on=today() + timedelta(days=1),
        )
