"""Different ways to the same facts give the same books: halves and wholes, any order, once or in two runs."""

from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.models import EntryKind
from ledger.selectors import trial_balance
from ledger.services import usage_post
from tests.budget import Budget
from tests.ledger.books import Books, open_books

pytestmark = pytest.mark.django_db

amounts = st.integers(min_value=1, max_value=5_000_000).map(lambda number: Decimal(number) / 1_000_000)
events = st.lists(st.tuples(st.sampled_from(["award", "return"]), amounts), min_size=2, max_size=8)


class _Undo(Exception):
    pass


def outcome(books: Books, moves: list[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Post movements, read the balances, and take everything back."""
    found: dict[str, Decimal] = {}
    try:
        with transaction.atomic():
            for place, (name, amount) in enumerate(moves):
                if name == "award":
                    books.move(EntryKind.AWARD, books.committed, books.pool, str(amount), f"{place}:{amount}")
                else:
                    books.move(EntryKind.POOL_RETURN, books.reserve, books.pool, str(amount), f"{place}:{amount}")
            found = books.balances()
            raise _Undo
    except _Undo:
        return found


@settings(max_examples=20)
@given(data=st.data(), moves=events)
def test_the_order_of_independent_events_does_not_matter(data: st.DataObject, moves: list[tuple[str, Decimal]]) -> None:
    books = open_books()
    other_order = data.draw(st.permutations(moves))
    assert outcome(books, moves) == outcome(books, other_order)


@settings(max_examples=20)
@given(amount=amounts.filter(lambda amount: amount > Decimal("0.000001")), share=st.integers(1, 999_999))
def test_two_halves_are_one_whole(amount: Decimal, share: int) -> None:
    books = open_books()
    part = max(min(amount - Decimal("0.000001"), amount * share / 1_000_000), Decimal("0.000001"))
    part = part.quantize(Decimal("0.000001"))
    whole = outcome(books, [("award", amount)])
    if 0 < part < amount:
        assert outcome(books, [("award", part), ("award", amount - part)]) == whole


def test_usage_posted_in_three_runs_is_usage_posted_in_one(budget: Budget) -> None:
    calls = (1_000_000, 2_000_003, 7)

    def run(*, posting_each: bool) -> dict[str, Decimal]:
        found: dict[str, Decimal] = {}
        try:
            with transaction.atomic():
                for tokens in calls:
                    budget.call(tokens=tokens)
                    if posting_each:
                        usage_post(actor=budget.company.system)
                usage_post(actor=budget.company.system)
                found = {row.account.code: row.balance for row in trial_balance()}
                raise _Undo
        except _Undo:
            return found

    once = run(posting_each=False)
    assert run(posting_each=True) == once
    assert once["metered:sandbox"] == Decimal("3.00001")
