"""A provider's account, and the feeds that read it."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from ledger.models import Dialect, Feed, FeedKind, Provider
from ledger.providers.base import Span
from ledger.services import provider_add
from ledger.services.feeds import feed_add
from teams.selectors import system_user
from tests.ledger.feeds.account import KEY, Account, account

DAY = date(2026, 10, 7)
THAT_DAY = Span(DAY, DAY)


@pytest.fixture
def their(settings: Any) -> Iterator[Account]:
    """Give an account of a provider; tests wait for nobody, so another try comes at once."""
    settings.FEED_BACKOFF_SECONDS = 0
    with account() as ours:
        yield ours


def a_provider(name: str = "acme") -> Provider:
    """Return a provider, with its accounts."""
    return provider_add(actor=system_user(), name=name, dialect=Dialect.OPENAI, base_url="https://api.acme.example")


Feeds = Callable[[FeedKind], Feed]


@pytest.fixture
def feed_of(db: None, their: Account) -> Feeds:
    """Give what makes feeds that read the account."""
    provider = a_provider()

    def make(kind: FeedKind) -> Feed:
        return feed_add(actor=system_user(), provider=provider, kind=kind, base_url=their.url, credential=KEY)

    return make
