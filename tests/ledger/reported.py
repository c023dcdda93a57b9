"""What a provider reports, for stories of reconciliation: a feed, an adapter of the tests' own, and whole fetches."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from ledger.models import Charge, Feed, FeedFetch, FeedKind, Provider, ReconciliationLine
from ledger.providers.base import KeySeen, Page, Row, Source, Span
from ledger.selectors import today
from ledger.services.fetching import fetch_apply, fetch_begin, pages_keep
from ledger.services.reconciliation import Reconciled, reconcile
from tests.budget import Budget


class Said:
    """An adapter whose pages are JSON lists of rows, with the names of `Row`."""

    gives_tokens = gives_money = True

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Give no page: the tests keep their own."""
        yield from ()

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of one page."""
        for one in json.loads(body):
            amount, charge = Decimal(one.pop("amount", "0")), Charge(one.pop("charge", "tokens"))
            yield Row(day=date.fromisoformat(one.pop("day")), amount=amount, charge=charge, **one)

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List no key."""
        yield from ()


@dataclass
class Reports:
    """A budget whose provider reports its figures."""

    budget: Budget
    feed: Feed

    @property
    def provider(self) -> Provider:
        """Return the provider."""
        return self.feed.provider

    def says(self, *rows: dict[str, Any], span: Span | None = None) -> FeedFetch:
        """Fetch what the provider says of a span, by default of the days of the rows; one page."""
        days = [row["day"] for row in rows]
        covered = span or Span(min(days), max(days))
        fetch = fetch_begin(self.budget.company.system, self.feed, covered)
        body = json.dumps([{**row, "day": row["day"].isoformat()} for row in rows]).encode()
        pages_keep(fetch, [Page(f"/usage?first={covered.first}&last={covered.last}", body)])
        return fetch_apply(fetch, Said())

    def reconciled(self) -> Reconciled:
        """Reconcile all days that the feed covers."""
        return reconcile(actor=self.budget.company.hana, provider=self.provider)

    def lines(self) -> list[ReconciliationLine]:
        """Return all lines by day."""
        return list(ReconciliationLine.objects.order_by("day", "pk"))

    def used(self, dollars: str | int, *, ago: int) -> dict[str, Any]:
        """Meter a call some days ago, a dollar a million tokens, and return the row in which the provider has it."""
        self.budget.past_call(dollars, days=ago)
        return said(ago, dollars)


def said(ago: int, dollars: str | int, **more: Any) -> dict[str, Any]:
    """Return a row of so many dollars of tank-small, at one dollar a million input tokens."""
    tokens = int(Decimal(dollars) * 1_000_000)
    row = {
        "day": day_ago(ago),
        "model_name": "tank-small",
        "requests": 1,
        "input_tokens": tokens,
        "amount": str(dollars),
    }
    return row | more


def day_ago(days: int) -> date:
    """Return the day so many days ago, UTC."""
    return today() - timedelta(days=days)


def open_reports(budget: Budget) -> Reports:
    """Add a feed of tokens and money to the sandbox."""
    provider = Provider.objects.get(name="sandbox")
    feed = Feed.objects.create(
        provider=provider, kind=FeedKind.SANDBOX, gives_tokens=True, gives_money=True, base_url="https://feed.example"
    )
    return Reports(budget, feed)
