"""How holds, settles and quota standings travel to and from `allocations_meter`."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from allocations.metering.types import CallFacts, Hold

UNLIMITED = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a quota stands after a commit; without a limit, what is available is infinite."""

    limit: Decimal | None
    spent: Decimal
    held: Decimal
    is_open: bool

    @property
    def available(self) -> Decimal:
        """Return limit minus spent minus held."""
        return UNLIMITED if self.limit is None else self.limit - self.spent - self.held


def standings(quotas: dict[str, list[Any]] | None) -> dict[int, Standing]:
    """Read the quotas of an answer."""
    return {
        int(quota): Standing(
            limit=None if limit is None else Decimal(limit), spent=Decimal(spent), held=Decimal(held), is_open=is_open
        )
        for quota, (limit, spent, held, is_open) in (quotas or {}).items()
    }


def settle_row(hold: Hold, facts: CallFacts | None) -> dict[str, Any]:
    """Write a settle, or a void for None, as the row that the database reads; also the spool's line."""
    row: dict[str, Any] = {
        "request_id": hold.request_id,
        "worker": hold.worker,
        "quotas": hold.quota_ids,
        "bound": str(hold.bound),
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
