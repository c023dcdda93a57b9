"""A process that is killed in the middle of a fetch leaves no half of it, and stands in nobody's way."""

import sys

from ledger.models import FeedFigure, FeedKind, FeedPage, FetchState
from ledger.services.feeds import feed_add
from teams.selectors import system_user
from tests.conftest import FreshDatabase
from tests.databases import ROOT
from tests.ledger.feeds import account as at
from tests.ledger.feeds.account import KEY, account, sample
from tests.ledger.feeds.conftest import a_provider
from tests.ledger.feeds.test_faults import in_pages
from tests.ledger.feeds.test_samples import fetched
from tests.processes import start_process

FETCH = """
import django
django.setup()
from datetime import date
from ledger.models import Feed
from ledger.providers.base import Span
from ledger.services.fetching import feed_fetch
from teams.selectors import system_user
day = date(2026, 10, 7)
feed_fetch(actor=system_user(), feed=Feed.objects.get(), span=Span(day, day))
"""


def test_a_killed_fetch_leaves_no_half_effect_and_the_next_one_completes_at_once(fresh_database: FreshDatabase) -> None:
    with account() as their:
        feed = feed_add(
            actor=system_user(),
            provider=a_provider(),
            kind=FeedKind.OPENAI_COSTS,
            base_url=their.url,
            credential=KEY,
        )
        their.has(at.COSTS, *in_pages(sample("openai/costs")))
        their.faults = ["", "", "", "wait"]
        env = fresh_database.env | {"PYTHONPATH": str(ROOT)}

        with start_process([sys.executable, "-c", FETCH], env, ready=lambda _: their.reached.is_set()) as running:
            running.process.kill()
            running.ended()
        their.go_on.set()

        lost = feed.fetches.get()
        assert (lost.state, FeedPage.objects.filter(fetch=lost).count()) == (FetchState.RUNNING, 3)
        assert not FeedFigure.objects.exists()
        fetch = fetched(feed)

    lost.refresh_from_db()
    assert (lost.state, lost.failure) == (FetchState.FAILED, "Its process went away; the next fetch does it again.")
    assert (fetch.state, fetch.rows_count, fetch.changes_count) == (FetchState.DONE, 11, 10)
    assert str(sum(figure.amount for figure in FeedFigure.objects.all())) == "15.584900000000"
