"""`GET /v1/models` and `GET /v1/quota`: what a key may call, and what it has left."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from allocations.gateway.catalogue import Catalogue
from allocations.gateway.dialect import Dialect
from allocations.gateway.entries import KeyEntry, ModelEntry
from allocations.gateway.refusal import Kind, Refusal
from allocations.gateway.routing import option_of, usable_options
from allocations.models.quota import starts_on
from ledger.models import Tier
from ledger.money import CURRENCY, plain

FIGURES = """
    SELECT id, "limit", spent, held, token_limit, tokens_spent, tokens_held FROM allocations_quota WHERE id = ANY(%s)
"""


async def usable_models(catalogue: Catalogue, key: KeyEntry, dialect: Dialect) -> list[ModelEntry]:
    """Return the models that a key may call in a dialect, by name; an alias is listed as a model of that name."""
    book, now = await catalogue.book(), datetime.now(UTC)
    models = [option.model for option in usable_options(book, key, dialect.name, now)]
    aliases = [
        replace(model, name=alias)
        for alias, model in book.aliases.items()
        if option_of(book, model, key, dialect.name, now)
    ]
    return sorted([*models, *aliases], key=lambda model: model.name)


async def usable_model(catalogue: Catalogue, key: KeyEntry, dialect: Dialect, name: str) -> ModelEntry:
    """Return the model that a key may call by a name. Raises Refusal."""
    book = await catalogue.book()
    model = book.named(name)
    if model is None or option_of(book, model, key, dialect.name, datetime.now(UTC)) is None:
        raise Refusal(Kind.NO_SUCH_MODEL, f"The model `{name[:120]}` does not exist, or this key may not use it.")
    return replace(model, name=name)


async def quota(catalogue: Catalogue, key: KeyEntry) -> dict[str, Any]:
    """Return how a key's lines and its own cap stand now: amounts as decimal strings."""
    lines = sorted(key.allocation.lines.values(), key=lambda line: list(Tier).index(Tier(line.tier)))
    quota_ids = [line.quota_id for line in lines] + ([key.quota_id] if key.quota_id is not None else [])
    now = datetime.now(UTC)
    windows = {window: await catalogue.window(key.id, window, starts_on(window, now)) for window in key.windows}
    wanted = (quota_ids + list(windows.values()),)
    figures = {row[0]: _figures(*row[1:]) for row in await catalogue.fetch(FIGURES, wanted)}
    return {
        "object": "quota",
        "as_of": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        "currency": CURRENCY,
        "allocation": {
            "number": key.allocation.number,
            "name": key.allocation.name,
            "ends_on": key.allocation.ends_on.isoformat(),
            "stop_behaviour": key.allocation.stop_behaviour,
        },
        "lines": [{"tier": line.tier} | figures.get(line.quota_id, {}) for line in lines],
        "key": {"name": key.name}
        | figures.get(key.quota_id or 0, {})
        | {
            window: {"starts_on": starts_on(window, now).isoformat()} | figures.get(quota, {})
            for window, quota in windows.items()
        },
    }


def _figures(
    limit: Decimal | None, spent: Decimal, held: Decimal, token_limit: int | None, tokens_spent: int, tokens_held: int
) -> dict[str, Any]:
    money = {
        "limit": None if limit is None else plain(limit),
        "spent": plain(spent),
        "held": plain(held),
        "available": None if limit is None else plain(limit - spent - held),
    }
    left = None if token_limit is None else token_limit - tokens_spent - tokens_held
    tokens = {"limit": token_limit, "spent": tokens_spent, "held": tokens_held, "available": left}
    return money if token_limit is None else money | {"tokens": tokens}
