"""Anthropic's usage analytics: `GET /v1/organizations/analytics/usage` (beta), by UTC day, in tokens.

`data_refreshed_at` is the watermark: days after it are not complete. Refreshed about every four hours, final about 30
days after the day. Source: PyPI anthropic `resources/beta/organization/analytics/usage.py`.
"""

from collections.abc import Iterator
from dataclasses import replace

from ledger.models.feeds import Charge
from ledger.providers.anthropic_shared import (
    ANALYTICS,
    ANALYTICS_BETA,
    KEPT,
    analytics_params,
    client_of,
    dimensions,
    keys_of,
    searches,
    tokens,
)
from ledger.providers.base import KeySeen, Page, Row, Source, Span
from ledger.providers.http import document_of, pages_of
from ledger.providers.reading import count, day_of_iso, detail_of, items, part, pieces


class AnthropicUsage:
    """Reads the organization's usage analytics."""

    gives_tokens = True
    gives_money = False

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch every page, 31 days at once as the source allows; raises FeedFailed."""
        yield from analytics_pages(source, span, "usage")

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of a page; raises FeedFailed."""
        for item in items(document_of(body), "data"):
            day = day_of_iso(item)
            if day not in span:
                continue
            group, used = part(item, "group"), part(item, "usage")
            detail, facts = detail_of(group, KEPT), dimensions(group)
            called = count(used, "requests", optional=True)
            yield Row(day=day, detail=detail, requests=called, **facts, **tokens(used))
            if searched := searches(used):
                search = detail_of(group, KEPT - {"model"}, "web_search")
                facts["model_name"] = ""
                yield Row(day=day, charge=Charge.TOOL, detail=search, requests=searched, **facts)

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List the organization's keys."""
        return keys_of(source)


def analytics_pages(source: Source, span: Span, what: str, *more: str) -> Iterator[Page]:
    """Fetch the pages of an analytics endpoint; what says no watermark claims to be complete for no day."""
    client, earliest = client_of(source, ANALYTICS_BETA), None
    for some in pieces(span):
        for page in pages_of(client, f"{ANALYTICS}/{what}", analytics_params(source, some, *more)):
            told = page.complete_until or span.starts_at
            earliest = min(earliest, told) if earliest else told
            yield replace(page, complete_until=earliest)


ADAPTER = AnthropicUsage()
