"""The verbs of the history of allocations and keys, in words."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ledger.models import Tier

VERBS = {
    "allocation.create": "Given",
    "allocation.activate": "Started",
    "allocation.suspend": "Suspended",
    "allocation.resume": "Resumed",
    "allocation.expire": "Ended",
    "allocation.return": "Gave back what was not spent",
    "line.tokens_set": "Token limit changed",
    "hold.release": "Released what lost calls held",
    "hold.charge": "Charged lost calls by hand",
    "key.issue": "Issued",
    "key.rotate": "New secret",
    "key.limits_set": "Limits changed",
    "key.models_set": "Models changed",
    "key.suspend": "Suspended",
    "key.resume": "Resumed",
    "key.revoke": "Revoked",
}


def _limits(details: Mapping[str, Any]) -> str:
    pairs = details.items()
    return ", ".join(f"{name.replace('_', ' ')}: {_amount(old)} to {_amount(new)}" for name, (old, new) in pairs)


def _amount(limit: str | int | None) -> str:
    return "none" if limit is None else f"{Decimal(limit):,f}"


def _models(details: Mapping[str, Any]) -> str:
    return f"may call {', '.join(details['models']) or 'all models of its tiers'}"


def _line_tokens(details: Mapping[str, Any]) -> str:
    old, new = map(_amount, details["tokens"])
    return f"{Tier(details['tier']).label} line: {old} to {new}"


DETAILS = {"key.limits_set": _limits, "key.models_set": _models, "line.tokens_set": _line_tokens}
