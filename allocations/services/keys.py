"""Issuing, rotating, suspending and revoking quota keys."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Least, Now

from allocations import secrets
from allocations.models import Allocation, AllocationState, KeySecret, KeyState, Quota, QuotaKey
from allocations.services.notices import key_suspended_tell
from allocations.transitions import KEY
from ledger.models import AiModel
from ledger.money import exact
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

LONGEST_GRACE = timedelta(days=30)


@transaction.atomic
def key_issue(
    *,
    actor: User,
    allocation: Allocation,
    name: str,
    cap: Decimal | None = None,
    expires_at: datetime | None = None,
    models: Sequence[AiModel] = (),
) -> tuple[QuotaKey, str]:
    """Issue a key and return it with its secret, which is never readable again; `cap` in the allocation's currency.

    It may call `models`; without any, all of the allocation's tiers. Raises Refused (name_missing, name_taken,
    cap_not_positive, expiry_past, model_without_line) or WrongState.
    """
    allocation = Allocation.objects.select_for_update().get(pk=allocation.pk)
    require(actor, "allocations.issue_key", allocation, message="Only the team issues keys.")
    if allocation.state in {AllocationState.EXPIRED, AllocationState.CLOSED}:
        raise WrongState(f"{allocation.number} is {allocation.get_state_display().lower()}.")
    name = name.strip()
    _require_name(allocation, name)
    _require_cap(cap)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Refused("The expiry lies in the past.", code="expiry_past", field="expires_at")
    _require_lines(allocation, models)
    key = QuotaKey.objects.create(allocation=allocation, name=name, expires_at=expires_at, created_by=actor)
    Quota.objects.create(key=key, currency=allocation.committed_account.currency, limit=cap)
    key.models.set(models)
    secret = _secret_add(key)
    details = {"allocation": allocation.number} | ({"models": _names(models)} if models else {})
    audit_record(actor=actor, verb="key.issue", target=key, details=details)
    return key, secret


def _require_name(allocation: Allocation, name: str) -> None:
    if not name or len(name) > 80 or not name.isprintable():
        raise Refused("A key needs a name of 1 to 80 printable characters.", code="name_missing", field="name")
    if allocation.keys.filter(name=name).exclude(state=KeyState.REVOKED).exists():
        raise Refused(f"{allocation.number} already has a key called {name}.", code="name_taken", field="name")


def _require_cap(cap: Decimal | None) -> None:
    if cap is not None and exact(cap) <= 0:
        raise Refused("The cap must be more than zero.", code="cap_not_positive", field="cap")


def _require_lines(allocation: Allocation, models: Sequence[AiModel]) -> None:
    tiers = set(allocation.lines.values_list("tier", flat=True))
    for model in models:
        if model.tier not in tiers:
            tier = model.get_tier_display().lower()
            message = f"{model} is of the {tier} tier, for which {allocation.number} has no line."
            raise Refused(message, code="model_without_line", field="models")


def _names(models: Sequence[AiModel]) -> list[str]:
    return sorted(model.name for model in models)


def _secret_add(key: QuotaKey) -> str:
    secret = secrets.make()
    KeySecret.objects.create(key=key, digest=secrets.digest(secret), hint=secrets.hint(secret))
    return secret


@transaction.atomic
def key_rotate(*, actor: User, key: QuotaKey, grace: timedelta) -> str:
    """Give a key a new secret and return it; earlier ones work until the grace ends.

    Cap, spend and history stay with the key. Raises WrongState for a revoked key, Refused (grace) beyond 30 days.
    """
    if not timedelta(0) <= grace <= LONGEST_GRACE:
        raise Refused("The grace is between 0 and 30 days.", code="grace", field="grace")
    key = _locked(key)
    require(actor, "allocations.rotate_key", key, message="Only the team rotates its keys.")
    if key.state == KeyState.REVOKED:
        raise WrongState(f"Key {key.name} is revoked.")
    ends = datetime.now(UTC) + grace
    # Least ignores NULL on PostgreSQL: a secret without an end gets one, an earlier end stays.
    key.secrets.filter(Q(expires_at=None) | Q(expires_at__gt=ends)).update(expires_at=Least(F("expires_at"), ends))
    secret = _secret_add(key)
    audit_record(actor=actor, verb="key.rotate", target=key, details={"grace_seconds": int(grace.total_seconds())})
    return secret


@transaction.atomic
def key_cap_set(*, actor: User, key: QuotaKey, cap: Decimal | None, reason: str) -> QuotaKey:
    """Set or lift a key's own cap, in its currency. Raises Refused (cap_not_positive, cap_below_use)."""
    _require_cap(cap)
    key = _locked(key)
    require(actor, "allocations.issue_key", key, message="Only the team sets the caps of its keys.")
    quota = Quota.objects.get(key=key)
    room = Quota.objects.filter(pk=quota.pk)
    if cap is not None:
        room = room.filter(spent__lte=cap - F("held"))
    if not room.update(limit=cap):
        raise Refused("The cap is below what the key has spent and holds.", code="cap_below_use", field="cap")
    audit_record(
        actor=actor, verb="key.cap_set", target=key, reason=reason, details={"cap": None if cap is None else str(cap)}
    )
    return key


@transaction.atomic
def key_models_set(*, actor: User, key: QuotaKey, models: Sequence[AiModel], reason: str) -> QuotaKey:
    """Set which models a key may call, backups among them; none means all of its allocation's tiers.

    Raises NotAllowed, WrongState for a revoked key, or Refused (reason_missing, model_without_line).
    """
    require_reason(reason)
    key = _locked(key)
    require(actor, "allocations.issue_key", key, message="Only the team says what its keys may call.")
    if key.state == KeyState.REVOKED:
        raise WrongState(f"Key {key.name} is revoked.")
    _require_lines(key.allocation, models)
    key.models.set(models)
    audit_record(actor=actor, verb="key.models_set", target=key, reason=reason, details={"models": _names(models)})
    return key


def key_revoke(*, actor: User, key: QuotaKey, reason: str) -> QuotaKey:
    """End a key for good; every gateway refuses it at once. Raises WrongState or Refused (reason_missing)."""
    return _move(actor, key, KeyState.REVOKED, "key.revoke", reason)


@transaction.atomic
def key_suspend(*, actor: User, key: QuotaKey, reason: str) -> QuotaKey:
    """Stop a key until it is resumed, and tell webhooks. Raises WrongState or Refused (reason_missing)."""
    suspended = _move(actor, key, KeyState.SUSPENDED, "key.suspend", reason)
    key_suspended_tell(suspended, reason)
    return suspended


def key_resume(*, actor: User, key: QuotaKey, reason: str) -> QuotaKey:
    """Let a suspended key spend again. Raises WrongState or Refused (reason_missing)."""
    return _move(actor, key, KeyState.ACTIVE, "key.resume", reason)


@transaction.atomic
def _move(actor: User, key: QuotaKey, state: KeyState, verb: str, reason: str) -> QuotaKey:
    require_reason(reason)
    key = _locked(key)
    require(actor, "allocations.revoke_key", key, message="You may not stop or resume this key.")
    if state not in KEY[KeyState(key.state)]:
        raise WrongState(f"Key {key.name} is {key.get_state_display().lower()}.")
    ended = {"ended_at": Now()} if state == KeyState.REVOKED else {}
    QuotaKey.objects.filter(pk=key.pk).update(state=state, end_reason=reason[:300], **ended)
    # A closed quota refuses in the database itself: no gateway's memory matters.
    Quota.objects.filter(key=key).update(is_open=state == KeyState.ACTIVE)
    key.refresh_from_db()
    audit_record(actor=actor, verb=verb, target=key, reason=reason)
    return key


def _locked(key: QuotaKey) -> QuotaKey:
    return QuotaKey.objects.select_for_update().get(pk=key.pk)
