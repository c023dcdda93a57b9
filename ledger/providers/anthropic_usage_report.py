"""Anthropic's usage report (legacy): `GET /v1/organizations/usage_report/messages`, by UTC day, in tokens.

Its classes exclude one another, and it counts no calls. A key that is not told is the Console's; a workspace that is
not told is the default one. Source: platform.claude.com/docs/en/api/admin.
"""

from collections.abc import Iterator

from ledger.models.feeds import Charge
from ledger.providers.anthropic_shared import (
    DAYS_AT_ONCE,
    KEPT,
    client_of,
    days_of,
    dimensions,
    keys_of,
    results_of,
    searches,
    tokens,
)
from ledger.providers.base import KeySeen, Page, Row, Source, Span
from ledger.providers.http import pages_of
from ledger.providers.reading import detail_of

DIMENSIONS = ("api_key_id", "workspace_id", "model", "service_tier", "context_window", "inference_geo")


class AnthropicUsageReport:
    """Reads the organization's usage report."""

    gives_tokens = True
    gives_money = False

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch every page; raises FeedFailed."""
        params = [
            *days_of(span),
            ("bucket_width", "1d"),
            ("limit", str(DAYS_AT_ONCE)),
            *(("group_by[]", name) for name in DIMENSIONS),
            *([("workspace_ids[]", source.project)] if source.project else []),
        ]
        return pages_of(client_of(source), "/v1/organizations/usage_report/messages", params)

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of a page; raises FeedFailed."""
        for day, result in results_of(body, span):
            facts = dimensions(result)
            yield Row(day=day, detail=detail_of(result, KEPT | _MEASURES), **facts, **tokens(result))
            if searched := searches(result):
                search = detail_of(result, KEPT - {"model"} | _MEASURES, "web_search")
                facts["model_name"] = ""
                yield Row(day=day, charge=Charge.TOOL, detail=search, requests=searched, **facts)

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List the organization's keys."""
        return keys_of(source)


# Objects of counts, which are no dimensions.
_MEASURES = frozenset({"cache_creation", "server_tool_use"})

ADAPTER = AnthropicUsageReport()
