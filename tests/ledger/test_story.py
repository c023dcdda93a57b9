"""The way of a dollar, told as bookkeeping: step and balances, step and balances."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from ledger.models import JournalEntry
from ledger.money import usd
from ledger.selectors import reserve_account, statement, trial_balance
from ledger.services import entry_reverse, pool_return
from teams.errors import Refused
from teams.services import user_create
from tests.ledger.books import open_books

pytestmark = pytest.mark.django_db


def test_a_dollar_goes_from_the_authority_to_a_line_and_back_to_the_reserve() -> None:
    books = open_books(funded="1000", in_pool="400")
    assert books.balances() == {"reserve": 600, "pool": 400, "committed": 0, "line": 0}

    books.award("150.25")
    assert books.balances() == {"reserve": 600, "pool": Decimal("249.75"), "committed": Decimal("150.25"), "line": 0}

    books.release("100")
    assert books.balances() == {
        "reserve": 600,
        "pool": Decimal("249.75"),
        "committed": Decimal("50.25"),
        "line": 100,
    }

    pool_return(actor=books.actor, pool=books.pool, amount=usd("249.75"), reason="Round settled", key="settle")
    assert books.balances() == {"reserve": Decimal("849.75"), "pool": 0, "committed": Decimal("50.25"), "line": 100}


def test_the_trial_balance_is_zero_after_every_step() -> None:
    books = open_books()
    steps: list[Callable[[], JournalEntry]] = [
        lambda: books.award("10"),
        lambda: books.release("3.000000000001"),
        lambda: books.award("1", "b"),
    ]
    for step in steps:
        step()
        assert sum(row.balance for row in trial_balance()) == 0
        assert sum(row.debits for row in trial_balance()) == sum(row.credits for row in trial_balance())


def test_a_statement_carries_the_running_balance_newest_first() -> None:
    books = open_books(in_pool="400")
    books.award("100", "a")
    books.award("50", "b")

    rows = [(posting.amount, posting.balance_after) for posting in statement(books.pool)]

    assert rows == [(-50, 250), (-100, 300), (400, 400)]
    assert [posting.amount for posting in statement(books.pool, before=2)] == [400]


def test_a_reversal_restores_every_balance_and_both_entries_stay_in_the_sums() -> None:
    books = open_books()
    before = books.balances()
    entry = books.award("75")
    second = user_create(actor=books.actor, email="lou@acorn.example", name="Lou Example")

    mirror = entry_reverse(actor=books.actor, entry=entry, reason="Awarded to the wrong team", approved_by=second)

    assert books.balances() == before
    assert mirror.reverses == entry
    assert len(statement(books.pool)) == 3
    with pytest.raises(Refused, match="already reversed"):
        entry_reverse(actor=books.actor, entry=entry, reason="Again", approved_by=second)


def test_a_pool_cannot_award_more_than_it_has() -> None:
    books = open_books(in_pool="400")
    books.award("399.99", "a")
    before = books.balances()

    with pytest.raises(Refused, match=r"Test round has \$0.01; \$0.02 is needed") as refused:
        books.award("0.02", "b")

    assert refused.value.code == "overdraft"
    assert books.balances() == before


def test_a_million_tiny_costs_sum_exactly() -> None:
    books = open_books()
    books.award("1")
    for place in range(20):
        books.release("0.000000125", f"r{place}")
    assert books.balances()["line"] == Decimal("0.0000025")


def test_the_reserve_belongs_to_the_fiscal_year_of_today() -> None:
    books = open_books()
    assert reserve_account() == books.reserve
