"""Who calls: the key behind a secret, and whether it may be used now."""

from datetime import UTC, datetime

from allocations import secrets
from allocations.gateway.catalogue import Catalogue
from allocations.gateway.entries import AllocationEntry, KeyEntry
from allocations.gateway.refusal import Kind, Refusal
from allocations.models import AllocationState, KeyState

# An exhausted allocation is open for calls: the quota says what is left, and names the budget that stops them.
OPEN = {AllocationState.ACTIVE.value, AllocationState.EXHAUSTED.value}


async def authenticate(catalogue: Catalogue, secret: str) -> KeyEntry:
    """Return the key of a secret. Raises Refusal when there is none or it may not be used now."""
    if not secret:
        raise _bad_key("No key: send `Authorization: Bearer tank_…` or `x-api-key: tank_…`.")
    digest = secrets.digest(secret)
    key = catalogue.known_key(digest)
    if key is None:
        # The checksum keeps what was never a key away from the database.
        if not secrets.is_well_formed(secret):
            raise _bad_key("This is not a Tank key: such keys start with `tank_` and are 43 characters long.")
        key = await catalogue.key(digest)
    if key is None:
        raise _bad_key("This key is not known to Tank.")
    _require_usable(key, datetime.now(UTC))
    return key


def _require_usable(key: KeyEntry, now: datetime) -> None:
    if key.state == KeyState.REVOKED:
        raise _bad_key("This key has been revoked.")
    if key.state == KeyState.SUSPENDED:
        raise _bad_key("This key is suspended; its team can see why.")
    if key.expires_at is not None and key.expires_at <= now:
        raise _bad_key(f"This key expired on {key.expires_at:%Y-%m-%d %H:%M} UTC.")
    if key.secret_expires_at is not None and key.secret_expires_at <= now:
        raise _bad_key("This key was rotated, and the grace of its former secret is over.")
    _require_open(key.allocation, now)


def _require_open(allocation: AllocationEntry, now: datetime) -> None:
    if allocation.state not in OPEN:
        raise Refusal(Kind.FORBIDDEN, f"Allocation {allocation.number} is {allocation.state}.")
    if now.date() < allocation.starts_on:
        raise Refusal(Kind.FORBIDDEN, f"Allocation {allocation.number} starts on {allocation.starts_on}.")
    if now.date() > allocation.ends_on:
        raise Refusal(Kind.FORBIDDEN, f"Allocation {allocation.number} ended on {allocation.ends_on}.")


def _bad_key(message: str) -> Refusal:
    return Refusal(Kind.BAD_KEY, message)
