"""However a provider splits, orders and repeats its rows over pages, its figures are the same."""

import json
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from ledger.models import Feed, FeedKind
from tests.ledger.feeds.account import Account, Document, sample
from tests.ledger.feeds.conftest import Feeds
from tests.ledger.feeds.test_faults import SOURCES
from tests.ledger.feeds.test_samples import current, fetched


class _Undone(Exception):
    pass


def rows_of(document: Document) -> list[Document]:
    """Return a document's rows, each as the one of a bucket of its own."""
    return [
        item | {"results": [result]} if "results" in item else item
        for item in document["data"]
        for result in item.get("results", [None])
    ]


@pytest.mark.parametrize("kind", SOURCES)
def test_any_split_any_order_and_any_repetition_give_the_same_figures(
    their: Account, feed_of: Feeds, kind: FeedKind
) -> None:
    path, name = SOURCES[kind]
    feed = feed_of(kind)
    document = sample(name)
    rows = rows_of(document)
    their.has(path, document)
    expected = figures_of(feed)

    @examples(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def holds(data: Any) -> None:
        order = data.draw(st.permutations(rows)) + data.draw(st.lists(st.sampled_from(rows), max_size=4))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=3)) if len(order) > 1 else [])
        ends = zip([0, *cuts], [*cuts, len(order)], strict=True)
        pages = [document | {"data": _once_each(order[first:last])} for first, last in ends]
        their.has(path, *pages)
        assert figures_of(feed) == expected

    holds()


def _once_each(rows: list[Document]) -> list[Document]:
    """Return rows without the repetitions within one page, which no provider makes."""
    return [json.loads(text) for text in dict.fromkeys(json.dumps(row) for row in rows)]


def figures_of(feed: Feed) -> list[dict[str, Any]]:
    """Return the figures that a first fetch gives, and undo it."""
    found: list[dict[str, Any]] = []
    try:
        with transaction.atomic():
            fetch = fetched(feed)
            assert fetch.failure == ""
            found = current(feed)
            raise _Undone
    except _Undone:
        return found
