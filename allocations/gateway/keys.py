"""Who calls: the key behind a secret, and whether it may be used now."""

from datetime import UTC, datetime

from allocations import secrets
from allocations.gateway.catalogue import Catalogue
from allocations.gateway.entries import KeyEntry
from allocations.gateway.refusal import Denied, Kind, Refusal
from allocations.models import AllocationState, DenialReason, KeyState

# An exhausted allocation is open for calls: the quota says what is left, and names the budget that stops them.
OPEN = {AllocationState.ACTIVE.value, AllocationState.EXHAUSTED.value}
REVOKED, SUSPENDED = KeyState.REVOKED.value, KeyState.SUSPENDED.value

NO_KEY = "No key: send `Authorization: Bearer tank_…` or `x-api-key: tank_…`."


async def authenticate(catalogue: Catalogue, secret: str) -> KeyEntry:
    """Return the key of a secret. Raises Refusal when there is none or it may not be used now."""
    if not secret:
        raise Refusal(Kind.BAD_KEY, NO_KEY)
    digest = secrets.digest(secret)
    key = catalogue.known_key(digest)
    if key is None:
        require_well_formed(secret)
        key = await catalogue.key(digest)
    if key is None:
        raise unknown_key()
    require_usable(key, datetime.now(UTC))
    return key


def require_usable(key: KeyEntry, now: datetime) -> None:
    """Refuse a key that may not spend now, or whose allocation is not open. Raises Refusal."""
    if key.state == REVOKED:
        raise _bad_key("This key has been revoked.", DenialReason.KEY_REVOKED, key)
    if key.state == SUSPENDED:
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


def require_well_formed(secret: str) -> None:
    """Refuse what was never a key, before the database is asked. Raises Refusal."""
    if not secrets.is_well_formed(secret):
        raise _unknown("This is not a Tank key: such keys start with `tank_` and are 43 characters long.")


def unknown_key() -> Refusal:
    """Make the refusal of a key that Tank does not know."""
    return _unknown("This key is not known to Tank.")


def _bad_key(message: str, reason: DenialReason, key: KeyEntry) -> Refusal:
    return Refusal(Kind.BAD_KEY, message, denied=Denied(reason.value, key.id))


def _unknown(message: str) -> Refusal:
    return Refusal(Kind.BAD_KEY, message, denied=Denied(DenialReason.KEY_UNKNOWN.value, None))


def _shut(message: str, key: KeyEntry) -> Refusal:
    return Refusal(Kind.FORBIDDEN, message, denied=Denied(DenialReason.ALLOCATION_SHUT.value, key.id))
