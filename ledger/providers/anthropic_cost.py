"""Anthropic's cost analytics: `GET /v1/organizations/analytics/cost` (beta), by UTC day, in cents.

Amounts are decimal texts in fractional cents, after discounts and before credits. The watermark is as for usage.
Source: PyPI anthropic `resources/beta/organization/analytics/cost.py`.
"""

from collections.abc import Iterator
from typing import Any

from ledger.models.feeds import Charge
from ledger.providers.anthropic_shared import KEPT, charge_of, dimensions, keys_of
from ledger.providers.anthropic_usage import analytics_pages
from ledger.providers.base import KeySeen, Page, Row, Source, Span
from ledger.providers.http import document_of
from ledger.providers.reading import amount, count, day_of_iso, detail_of, items, part, text

OWN_COLUMNS = KEPT | {"token_type"}


class AnthropicCost:
    """Reads the organization's cost analytics."""

    gives_tokens = False
    gives_money = True

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch every page, 31 days at once as the source allows; raises FeedFailed."""
        yield from analytics_pages(source, span, "cost", "cost_type", "token_type")

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of a page; raises FeedFailed."""
        for item in items(document_of(body), "data"):
            day = day_of_iso(item)
            if day not in span:
                continue
            group, cost = part(item, "group"), part(item, "cost")
            yield Row(
                day=day,
                detail=detail_of(group, OWN_COLUMNS),
                amount=amount(cost.get("amount"), in_cents=True),
                currency=text(cost, "currency").upper(),
                requests=count(cost, "requests", optional=True),
                **facts_of(group),
            )

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List the organization's keys."""
        return keys_of(source)


def facts_of(item: dict[str, Any], words: str = "") -> dict[str, Any]:
    """Return dimensions and charge; what is no token belongs to no model, whose name stays in the detail."""
    facts = dimensions(item) | charge_of(item, words)
    return facts if facts["charge"] == Charge.TOKENS else facts | {"model_name": ""}


ADAPTER = AnthropicCost()
