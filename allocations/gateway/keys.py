"""Who calls: the key behind a secret, and whether it may be used now."""

from datetime import UTC, datetime

from allocations import secrets
from allocations.gateway.catalogue import Catalogue
from allocations.gateway.entries import KeyEntry
from allocations.gateway.refusal import Denied, Kind, Refusal
from allocations.models import AllocationState, DenialReason, KeyState

# An exhausted allocation is open for calls: the quota says what is left, and names the budget that stops them.
OPEN = {AllocationState.ACTIVE.value, AllocationState.EXHAUSTED.value}


async def authenticate(catalogue: Catalogue, secret: str) -> KeyEntry:
    """Return the key of a secret. Raises Refusal when there is none or it may not be used now."""
    if not secret:
        words = "No key: send `Authorization: Bearer tank_…` or `x-api-key: tank_…`."
        raise Refusal(Kind.BAD_KEY, words)
    digest = secrets.digest(secret)
    key = catalogue.known_key(digest)
    if key is None:
        # The checksum keeps what was never a key away from the database.
        if not secrets.is_well_formed(secret):
            raise _unknown("This is not a Tank key: such keys start with `tank_` and are 43 characters long.")
        key = await catalogue.key(digest)
    if key is None:
        raise _unknown("This key is not known to Tank.")
    _require_usable(key, datetime.now(UTC))
    return key


def _require_usable(key: KeyEntry, now: datetime) -> None:
    if key.state == KeyState.REVOKED:
        raise _bad_key("This key has been revoked.", DenialReason.KEY_REVOKED, key)
    if key.state == KeyState.SUSPENDED:
        raise _bad_key("This key is suspended; its team can see why.", DenialReason.KEY_SUSPENDED, key)
    if key.expires_at is not None and key.expires_at <= now:
        raise _bad_key(f"This key expired on {key.expires_at:%Y-%m-%d %H:%M} UTC.", DenialReason.KEY_EXPIRED, key)
    if key.secret_expires_at is not None and key.secret_expires_at <= now:
        words = "This key was rotated, and the grace of its former secret is over."
        raise _bad_key(words, DenialReason.KEY_EXPIRED, key)
    _require_open(key, now)


def _require_open(key: KeyEntry, now: datetime) -> None:
    allocation = key.allocation
    if allocation.state not in OPEN:
        raise _shut(f"Allocation {allocation.number} is {allocation.state}.", key)
    if now.date() < allocation.starts_on:
        raise _shut(f"Allocation {allocation.number} starts on {allocation.starts_on}.", key)
    if now.date() > allocation.ends_on:
        raise _shut(f"Allocation {allocation.number} ended on {allocation.ends_on}.", key)


def _bad_key(message: str, reason: DenialReason, key: KeyEntry) -> Refusal:
    return Refusal(Kind.BAD_KEY, message, denied=Denied(reason.value, key.id))


def _unknown(message: str) -> Refusal:
    return Refusal(Kind.BAD_KEY, message, denied=Denied(DenialReason.KEY_UNKNOWN.value, None))


def _shut(message: str, key: KeyEntry) -> Refusal:
    return Refusal(Kind.FORBIDDEN, message, denied=Denied(DenialReason.ALLOCATION_SHUT.value, key.id))
