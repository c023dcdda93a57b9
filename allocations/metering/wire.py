"""How holds, settles and quota standings travel to and from `allocations_meter`."""

from decimal import Decimal
from typing import Any

from allocations.metering.types import CallFacts, Hold, Standing, Wish


def standings(quotas: dict[str, list[Any]] | None) -> dict[int, Standing]:
    """Read the quotas of an answer."""
    return {int(quota): _standing(*figures) for quota, figures in (quotas or {}).items()}


def _standing(limit: str | None, spent: str, held: str, is_open: bool, *tokens: Any) -> Standing:
    return Standing(None if limit is None else Decimal(limit), Decimal(spent), Decimal(held), is_open, *tokens)


def wish_row(wish: Wish) -> dict[str, Any]:
    """Write a wish as the row that the database reads."""
    return {
        "quotas": wish.quota_ids,
        "bound": str(wish.bound),
        "least": None if wish.least is None else str(wish.least),
        "tokens": wish.tokens,
        "least_tokens": wish.least_tokens,
    }


def is_beyond(row: dict[str, Any]) -> bool:
    """Say whether a settle's row charges more money or tokens than were held."""
    if row["void"]:
        return False
    tokens = sum(
        row[f"{name}_tokens"] for name in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    )
    return Decimal(row["cost"]) > Decimal(row["bound"]) or tokens > row["tokens_bound"]


def settle_row(hold: Hold, facts: CallFacts | None) -> dict[str, Any]:
    """Write a settle, or a void for None, as the row that the database reads; also the spool's line."""
    row: dict[str, Any] = {
        "request_id": hold.request_id,
        "worker": hold.worker,
        "quotas": hold.quota_ids,
        "bound": str(hold.bound),
        "tokens_bound": hold.tokens,
        "void": facts is None,
        "sent_at": hold.sent_at,
    }
    if facts is None:
        return row
    tokens = facts.tokens
    return row | {
        "cost": str(facts.cost),
        "account_id": facts.account_id,
        "team_id": facts.team_id,
        "key_id": facts.key_id,
        "provider_id": facts.provider_id,
        "model_id": facts.model_id,
        "rate_id": facts.rate_id,
        "model_asked": facts.model_asked,
        "model_returned": facts.model_returned,
        "surface": facts.surface,
        "streamed": facts.streamed,
        "input_tokens": tokens.input,
        "cache_read_tokens": tokens.cache_read,
        "cache_write_5m_tokens": tokens.cache_write_5m,
        "cache_write_1h_tokens": tokens.cache_write_1h,
        "output_tokens": tokens.output,
        "reasoning_tokens": tokens.reasoning,
        "settle_kind": facts.settle_kind,
        "service_tier": facts.service_tier,
        "upstream_id": facts.upstream_id,
        "tags": facts.tags,
        "served_because": facts.served_because,
    }
