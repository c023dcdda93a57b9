"""What Anthropic's feeds have in common: how they are asked, cents, classes of tokens, and its list of keys."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from ledger.models.feeds import Charge
from ledger.providers.base import FeedFailed, KeySeen, Source, Span
from ledger.providers.http import Absent, Access, Client, Forbidden, document_of, listed
from ledger.providers.reading import charge_by_words, count, day_of_iso, items, part, text

BASE_URL = "https://api.anthropic.com"
VERSION = (("anthropic-version", "2023-06-01"),)
ANALYTICS = "/v1/organizations/analytics"
ANALYTICS_BETA = ("anthropic-beta", "analytics-usage-cost-2026-08-24")
DAYS_AT_ONCE = 31
ROWS_AT_ONCE = 1000
# At most five; cost adds `cost_type` and `token_type`, which are not counted.
ANALYTICS_DIMENSIONS = ("api_key_id", "workspace_id", "model", "service_tier", "speed")
CLASSES = {
    "uncached_input_tokens": "input",
    "cache_read_input_tokens": "cache_read",
    "cache_creation.ephemeral_5m_input_tokens": "cache_write_5m",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
    "output_tokens": "output",
}
KEPT = frozenset({"api_key_id", "workspace_id", "model", "service_tier"})
BATCH = "batch"


def client_of(source: Source, *headers: tuple[str, str]) -> Client:
    """Return a client for a feed; without an address it is Anthropic's own."""
    access = Access("Anthropic", "x-api-key", headers=(*VERSION, *headers))
    return Client(access, source.base_url or BASE_URL, source.credential)


def days_of(span: Span) -> list[tuple[str, str]]:
    """Return the query for whole UTC days."""
    return [("starting_at", _moment(span.starts_at)), ("ending_at", _moment(span.ends_at))]


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def analytics_params(source: Source, span: Span, *more: str) -> list[tuple[str, str]]:
    """Return the query of the analytics endpoints: a row for each day and set of dimensions, oldest first."""
    return [
        *days_of(span),
        ("time_bucket_width", "1d"),
        ("limit", str(ROWS_AT_ONCE)),
        ("order_by", "time"),
        ("order", "asc"),
        *(("group_by[]", name) for name in (*ANALYTICS_DIMENSIONS, *more)),
        *([("workspace_ids[]", source.project)] if source.project else []),
    ]


def results_of(body: bytes, span: Span) -> Iterator[tuple[date, dict[str, Any]]]:
    """Go through the results of a legacy report's page by UTC day; days out of the span are left out."""
    for bucket in items(document_of(body), "data"):
        day = day_of_iso(bucket)
        if day in span:
            yield from ((day, result) for result in items(bucket, "results"))


def dimensions(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dimensions that have columns. A batch is told as a service tier."""
    tier = text(item, "service_tier")
    return {
        "provider_key": text(item, "api_key_id"),
        "project": text(item, "workspace_id"),
        "model_name": text(item, "model"),
        "service_tier": tier,
        "is_batch": tier == BATCH,
    }


def tokens(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the token classes, which exclude one another here as they do at Anthropic."""
    written = part(item, "cache_creation")
    return {
        "input_tokens": count(item, "uncached_input_tokens"),
        "cache_read_tokens": count(item, "cache_read_input_tokens"),
        "cache_write_5m_tokens": count(written, "ephemeral_5m_input_tokens"),
        "cache_write_1h_tokens": count(written, "ephemeral_1h_input_tokens"),
        "output_tokens": count(item, "output_tokens"),
    }


def searches(item: Mapping[str, Any]) -> int:
    """Return how many searches of the web were made."""
    return count(part(item, "server_tool_use"), "web_search_requests")


def charge_of(item: Mapping[str, Any], words: str) -> dict[str, Any]:
    """Return what an amount is for, by `cost_type` and `token_type`; raises FeedFailed for an unknown class."""
    kind, token_type = text(item, "cost_type"), text(item, "token_type")
    if kind == "tokens" or token_type:
        if token_type and token_type not in CLASSES:
            raise FeedFailed(f"Anthropic reports tokens of the type {token_type!r}, which Tank cannot read yet.")
        return {"charge": Charge.TOKENS, "token_class": CLASSES.get(token_type, "")}
    return {"charge": charge_by_words(f"{kind} {words}")}


def keys_of(source: Source) -> Iterator[KeySeen]:
    """List the organization's keys, or those of the feed's workspace; none where the account refuses the list.

    They are all fetched before the first is given: who takes them may be in a transaction.
    """
    try:
        seen = [_key(item) for item in listed(client_of(source), "/v1/organizations/api_keys", "after_id")]
    except (Absent, Forbidden):
        return iter(())
    return iter([key for key in seen if not source.project or key.project == source.project])


def _key(item: Mapping[str, Any]) -> KeySeen:
    return KeySeen(text(item, "id"), text(item, "name"), text(item, "partial_key_hint")[:60], _workspace(item))


def _workspace(item: Mapping[str, Any]) -> str:
    scope = item.get("scope")
    return text(scope if isinstance(scope, dict) else item, "workspace_id")
