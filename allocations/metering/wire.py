"""How holds, settles and quota standings travel to and from `allocations_meter`."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from allocations.metering.types import CallFacts, Hold, Standing, Wish


def standings(quotas: dict[str, list[Any]] | None) -> dict[int, Standing]:
    """Read the quotas of an answer."""
    return {int(quota): _standing(*figures) for quota, figures in (quotas or {}).items()}


def _standing(limit: str | None, spent: str, held: str, is_open: bool, *tokens: Any) -> Standing:
    return Standing(None if limit is None else Decimal(limit), Decimal(spent), Decimal(held), is_open, *tokens)


class Batch(NamedTuple):
    """What one commit is about."""

    wishes: Sequence[Wish] = ()
    within: Sequence[tuple[Hold, CallFacts]] = ()
    """Settles that cost no more than was held."""
    voids: Sequence[Hold] = ()
    beyond: Sequence[tuple[Hold, CallFacts]] = ()

    def quotas(self) -> set[int]:
        """Return every quota that is touched."""
        found = {quota for wish in self.wishes for quota in wish.quota_ids}
        for hold, _ in (*self.within, *self.beyond):
            found.update(hold.quota_ids)
        return found.union(*(hold.quota_ids for hold in self.voids))


# What `allocations_meter` takes, in its order.
METER_TYPES = (
    *("uuid", "int", "bigint[]", "json", "int[]", "numeric[]", "numeric[]", "bigint[]", "bigint[]", "json", "int[]"),
    *("uuid[]", "timestamptz[]", "numeric[]", "bigint[]", "numeric[]", *("bigint[]",) * 6, "text[]", "json", "json"),
)
KIND_FIELDS = CallFacts._fields[2:15]
"""What many calls have in common; together with their tags and their chain of quotas it is their kind."""


def meter_parameters(worker: UUID, epoch: int, batch: Batch) -> list[str | None]:
    """Write a commit as the parameters of `allocations_meter`."""
    return [
        str(worker),
        str(epoch),
        _array(map(str, sorted(batch.quotas()))),
        *_wish_columns(batch.wishes),
        *_settle_columns(batch.within),
        _rows([settle_row(hold, None) for hold in batch.voids]),
        _rows([settle_row(hold, facts) for hold, facts in batch.beyond]),
    ]


def _wish_columns(wishes: Sequence[Wish]) -> list[str | None]:
    if not wishes:
        return [None] * 6
    chains: dict[tuple[int, ...], int] = {}
    columns = zip(
        *(
            (
                str(chains.setdefault(wish.quota_ids, len(chains))),
                str(wish.bound),
                "NULL" if wish.least is None else str(wish.least),
                str(wish.tokens),
                "NULL" if wish.least_tokens is None else str(wish.least_tokens),
            )
            for wish in wishes
        ),
        strict=True,
    )
    return [orjson.dumps(list(chains)).decode(), *map(_array, columns)]


def _settle_columns(settles: Sequence[tuple[Hold, CallFacts]]) -> list[str | None]:
    if not settles:
        return [None] * 14
    kinds: dict[tuple[object, ...], int] = {}
    columns = zip(*(_settle_cells(kinds, hold, facts) for hold, facts in settles), strict=True)
    return [orjson.dumps([_kind_row(*kind) for kind in kinds]).decode(), *map(_array, columns)]


def _settle_cells(kinds: dict[tuple[object, ...], int], hold: Hold, facts: CallFacts) -> tuple[str, ...]:
    tokens, tags = facts.tokens, facts.tags
    kind = (hold.quota_ids, facts[2:15], tuple(tags.items()) if tags else ())
    return (
        str(kinds.setdefault(kind, len(kinds) + 1)),
        hold.request_id.hex,
        hold.sent_at.isoformat(),
        str(hold.bound),
        str(hold.tokens),
        str(facts.cost),
        *map(str, tokens),
        _quoted(facts.upstream_id),
    )


def _kind_row(*kind: Any) -> dict[str, Any]:
    quotas, facts, tags = kind
    return dict(zip(KIND_FIELDS, facts, strict=True)) | {"quotas": quotas, "tags": dict(tags)}


def _array(items: Iterable[str]) -> str:
    return "{" + ",".join(items) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rows(rows: list[dict[str, Any]]) -> str | None:
    return orjson.dumps(rows).decode() if rows else None


def costs_beyond(hold: Hold, facts: CallFacts) -> bool:
    """Say whether a settle charges more money or tokens than were held."""
    return facts.cost > hold.bound or facts.tokens.total > hold.tokens


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
        "tags": dict(facts.tags),
        "served_because": facts.served_because,
    }
