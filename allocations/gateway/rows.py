"""The catalogue's queries, and what their rows become."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from allocations.gateway.entries import (
    AllocationEntry,
    Book,
    KeyEntry,
    LineEntry,
    ModelEntry,
    ProviderEntry,
    RateEntry,
)
from ledger import credentials

logger = logging.getLogger(__name__)

KEY = """
    SELECT k.id, k.name, k.state, k.expires_at, s.expires_at, q.id,
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
PROVIDERS = "SELECT id, name, dialect, base_url, credential_encrypted FROM ledger_provider WHERE is_enabled"
MODELS = """
    SELECT id, name, tier, context_window, default_output_cap, least_output_cap, provider_id
      FROM ledger_aimodel WHERE is_enabled ORDER BY name
"""
RATES = """
    SELECT model_id, id, valid_from, input, cache_read, cache_write_5m, cache_write_1h, output
      FROM ledger_rate WHERE approved_at IS NOT NULL ORDER BY valid_from
"""


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
    key, allocation = found[0][:6], found[0][6:]
    lines = {tier: LineEntry(tier, *rest) for tier, *rest in await reader.fetch(LINES, allocation[:1])}
    return KeyEntry(*(*key, AllocationEntry(*(*allocation, lines))))


async def load_book(reader: Reader) -> Book:
    """Read all enabled models of enabled providers that have an approved rate."""
    providers = {row[0]: _provider(*row) for row in await reader.fetch(PROVIDERS)}
    rates: dict[int, list[RateEntry]] = defaultdict(list)
    for model_id, *rate in await reader.fetch(RATES):
        rates[model_id].append(RateEntry(*rate))
    models = [
        ModelEntry(*(*row[:6], providers[row[6]], tuple(rates[row[0]])))
        for row in await reader.fetch(MODELS)
        if row[6] in providers
    ]
    return Book({model.name: model for model in models})


def _provider(provider_id: int, name: str, dialect: str, base_url: str, stored: bytes) -> ProviderEntry:
    try:
        credential: str | None = credentials.decrypt(stored)
    except credentials.BadCredential:
        logger.error("the credential of provider %s cannot be decrypted with this encryption key", name)
        credential = None
    return ProviderEntry(provider_id, name, dialect, base_url, credential)
