"""The catalogue's queries, and what their rows become."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Protocol

from allocations.gateway.entries import (
    AllocationEntry,
    Book,
    KeyEntry,
    LineEntry,
    ModelEntry,
    ProviderEntry,
    RateEntry,
    StepEntry,
)
from ledger import credentials

logger = logging.getLogger(__name__)

KEY = """
    SELECT k.id, k.name, k.state, k.expires_at, s.expires_at, q.id,
           ARRAY(SELECT aimodel_id FROM allocations_quotakey_models m WHERE m.quotakey_id = k.id),
           array_remove(ARRAY[CASE WHEN num_nonnulls(k.day_cap, k.day_tokens) > 0 THEN 'day' END,
                              CASE WHEN num_nonnulls(k.month_cap, k.month_tokens) > 0 THEN 'month' END], NULL),
           a.id, a.name, a.state, a.stop_behaviour, a.starts_on, a.ends_on, a.team_id
      FROM allocations_keysecret s
      JOIN allocations_quotakey k ON k.id = s.key_id
      JOIN allocations_allocation a ON a.id = k.allocation_id
      LEFT JOIN allocations_quota q ON q.key_id = k.id
     WHERE s.digest = %s
"""
LINES = """
    SELECT l.tier, q.id, l.account_id
      FROM allocations_allocationline l JOIN allocations_quota q ON q.line_id = l.id
     WHERE l.allocation_id = %s
"""
PROVIDERS = "SELECT id, name, dialect, base_url, credential_encrypted FROM ledger_provider WHERE is_enabled OR %s"
MODELS = """
    SELECT id, name, coalesce(nullif(upstream_name, ''), name), tier, backup_of_id, context_window,
           default_output_cap, least_output_cap, provider_id
      FROM ledger_aimodel WHERE is_enabled OR %s ORDER BY backup_place, name
"""
RATES = """
    SELECT model_id, valid_from, id, above_input_tokens, input, cache_read, cache_write_5m, cache_write_1h, output
      FROM ledger_rate WHERE approved_at <= coalesce(%s::timestamptz, 'infinity')
     ORDER BY model_id, valid_from, above_input_tokens
"""
ALIASES = "SELECT name, model_id FROM ledger_modelalias ORDER BY name"


class Reader(Protocol):
    """What runs a query."""

    async def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows."""
        ...


async def load_key(reader: Reader, digest: bytes) -> KeyEntry | None:
    """Read a key, its allocation and the lines; None when no secret has this digest."""
    found = await reader.fetch(KEY, (digest,))
    if not found:
        return None
    *key, may_call, windows = found[0][:8]
    allocation = found[0][8:]
    lines = {tier: LineEntry(tier, *rest) for tier, *rest in await reader.fetch(LINES, allocation[:1])}
    return KeyEntry(*(*key, frozenset(may_call), tuple(windows), AllocationEntry(*(*allocation, lines))))


async def load_book(reader: Reader, *, known_at: datetime | None = None) -> Book:
    """Read all enabled models of enabled providers with their approved rates, backups and aliases.

    With `known_at` the book for a call that was admitted then: the rates approved until then, and whatever was disabled
    since.
    """
    past = (known_at is not None,)
    providers = {row[0]: _provider(*row) for row in await reader.fetch(PROVIDERS, past)}
    rates = _rates(await reader.fetch(RATES, (known_at,)))
    models = [
        ModelEntry(*(*row[:8], providers[row[8]], tuple(rates[row[0]])))
        for row in await reader.fetch(MODELS, past)
        if row[8] in providers
    ]
    by_id = {model.id: model for model in models}
    return Book(
        models={model.name: model for model in sorted(models, key=lambda model: model.name)},
        aliases={name: by_id[model] for name, model in await reader.fetch(ALIASES) if model in by_id},
        backups=_backups(models),
        upstream={(model.provider.id, model.upstream_name): model for model in reversed(models)},
    )


def _rates(rows: list[tuple[Any, ...]]) -> dict[int, list[RateEntry]]:
    rates: dict[int, list[RateEntry]] = defaultdict(list)
    for (model, valid_from), steps in groupby(rows, key=lambda row: row[:2]):
        rates[model].append(RateEntry(valid_from, tuple(StepEntry(*step[2:]) for step in steps)))
    return rates


def _backups(models: list[ModelEntry]) -> dict[int, tuple[ModelEntry, ...]]:
    found: dict[int, tuple[ModelEntry, ...]] = {}
    for model in models:
        if model.backup_of is not None:
            found[model.backup_of] = (*found.get(model.backup_of, ()), model)
    return found


def _provider(provider_id: int, name: str, dialect: str, base_url: str, stored: bytes) -> ProviderEntry:
    try:
        credential: str | None = credentials.decrypt(stored)
    except credentials.BadCredential:
        logger.error("the credential of provider %s cannot be decrypted with this encryption key", name)
        credential = None
    return ProviderEntry(provider_id, name, dialect, base_url, credential)
