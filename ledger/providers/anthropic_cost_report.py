"""Anthropic's cost report (legacy): `GET /v1/organizations/cost_report`, by UTC day, in cents.

Amounts are decimal texts in cents. It tells no keys, and the cost of the Priority Tier is not in it.
Source: platform.claude.com/docs/en/api/admin.
"""

from collections.abc import Iterator

from ledger.providers.anthropic_cost import OWN_COLUMNS, facts_of
from ledger.providers.anthropic_shared import DAYS_AT_ONCE, client_of, days_of, keys_of, results_of
from ledger.providers.base import KeySeen, Page, Row, Source, Span
from ledger.providers.http import pages_of
from ledger.providers.reading import amount, detail_of, text

KEPT = OWN_COLUMNS | {"currency", "amount"}


class AnthropicCostReport:
    """Reads the organization's cost report."""

    gives_tokens = False
    gives_money = True

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch every page; raises FeedFailed."""
        grouped = [("group_by[]", name) for name in ("workspace_id", "description")]
        params = [*days_of(span), ("bucket_width", "1d"), ("limit", str(DAYS_AT_ONCE)), *grouped]
        return pages_of(client_of(source), "/v1/organizations/cost_report", params)

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of a page; raises FeedFailed."""
        for day, result in results_of(body, span):
            yield Row(
                day=day,
                detail=detail_of(result, KEPT),
                amount=amount(result.get("amount"), in_cents=True),
                currency=text(result, "currency").upper(),
                **facts_of(result, text(result, "description")),
            )

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List the organization's keys."""
        return keys_of(source)


ADAPTER = AnthropicCostReport()
