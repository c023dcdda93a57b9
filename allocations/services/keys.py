"""Issuing, rotating, suspending and revoking quota keys."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Least, Now

from allocations import secrets
from allocations.models import Allocation, AllocationState, KeySecret, KeyState, Quota, QuotaKey, Window
from allocations.models.quota import starts_on
from allocations.services.notices import key_suspended_tell
from allocations.transitions import KEY
from ledger.models import AiModel
from ledger.money import exact
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

LONGEST_GRACE = timedelta(days=30)
# Of the limits, what stands on the key, and what stands on its own quota beside the totals.
RECURRING = ("day_cap", "month_cap", "day_tokens", "month_tokens")
RATES = ("requests_per_minute", "tokens_per_minute", "calls_at_once")


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key may use; None is no limit. Caps in the allocation's currency, tokens are input and output together.

    Days and months are those of UTC. The three rates protect a key from itself.
    """

    cap: Decimal | None = None
    day_cap: Decimal | None = None
    month_cap: Decimal | None = None
    tokens: int | None = None
    day_tokens: int | None = None
    month_tokens: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    calls_at_once: int | None = None


NO_LIMITS = KeyLimits()


@transaction.atomic
def key_issue(
    *,
    actor: User,
    allocation: Allocation,
    name: str,
    limits: KeyLimits = NO_LIMITS,
    expires_at: datetime | None = None,
    models: Sequence[AiModel] = (),
) -> tuple[QuotaKey, str]:
    """Issue a key and return it with its secret, which is never readable again.

    It may call `models`; without any, all of the allocation's tiers. Raises Refused (name_missing, name_taken,
    limit_not_positive, expiry_past, model_without_line) or WrongState.
    """
    allocation = Allocation.objects.select_for_update().get(pk=allocation.pk)
    require(actor, "allocations.issue_key", allocation, message="Only the team issues keys.")
    if allocation.state in {AllocationState.EXPIRED, AllocationState.CLOSED}:
        raise WrongState(f"{allocation.number} is {allocation.get_state_display().lower()}.")
    name = name.strip()
    _require_name(allocation, name)
    _require_limits(limits)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Refused("The expiry lies in the past.", code="expiry_past", field="expires_at")
    _require_lines(allocation, models)
    key = QuotaKey.objects.create(
        allocation=allocation, name=name, expires_at=expires_at, created_by=actor, **_recurring(limits)
    )
    Quota.objects.create(key=key, currency=allocation.committed_account.currency, **_lasting(limits))
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


def _require_limits(limits: KeyLimits) -> None:
    for name, value in asdict(limits).items():
        if value is not None and exact(value) <= 0:
            raise Refused("A limit must be more than zero.", code="limit_not_positive", field=name)


def _recurring(limits: KeyLimits) -> dict[str, Any]:
    """Return what stands on the key: the caps that each day's and month's quota starts with."""
    return {name: getattr(limits, name) for name in RECURRING}


def _lasting(limits: KeyLimits) -> dict[str, Any]:
    """Return what stands on the key's own quota: its totals and its rates."""
    return {"limit": limits.cap, "token_limit": limits.tokens} | {name: getattr(limits, name) for name in RATES}


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
def key_limits_set(*, actor: User, key: QuotaKey, limits: KeyLimits, reason: str) -> QuotaKey:
    """Set or lift a key's limits; today's and this month's windows follow at once.

    Raises Refused (limit_not_positive, limit_below_use), which names the limit as its field.
    """
    _require_limits(limits)
    key = _locked(key)
    require(actor, "allocations.issue_key", key, message="Only the team sets the limits of its keys.")
    before = limits_of(key)
    _quota_limit(Quota.objects.filter(key=key), limits.cap, limits.tokens, ("cap", "tokens"))
    Quota.objects.filter(key=key).update(**_lasting(limits))
    now = datetime.now(UTC)
    for window in Window.values:
        rows = Quota.objects.filter(window_of=key, window=window, starts_on=starts_on(window, now))
        names = (f"{window}_cap", f"{window}_tokens")
        _quota_limit(rows, getattr(limits, names[0]), getattr(limits, names[1]), names)
    QuotaKey.objects.filter(pk=key.pk).update(**_recurring(limits))
    key.refresh_from_db()
    changed = {name: [_said(old), _said(asdict(limits)[name])] for name, old in asdict(before).items()}
    details = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
    audit_record(actor=actor, verb="key.limits_set", target=key, reason=reason, details=details)
    return key


def limits_of(key: QuotaKey) -> KeyLimits:
    """Return a key's limits as they are."""
    key, quota = QuotaKey.objects.get(pk=key.pk), Quota.objects.get(key=key)
    rates = {name: getattr(quota, name) for name in RATES}
    recurring = {name: getattr(key, name) for name in RECURRING}
    return KeyLimits(cap=quota.limit, tokens=quota.token_limit, **recurring, **rates)


def _quota_limit(rows: QuerySet[Quota], cap: Decimal | None, tokens: int | None, names: tuple[str, str]) -> None:
    quota = rows.select_for_update().first()
    if quota is None:
        return
    if cap is not None and cap < quota.spent + quota.held:
        raise Refused("The cap is below what the key has spent and holds.", code="limit_below_use", field=names[0])
    if tokens is not None and tokens < quota.tokens_spent + quota.tokens_held:
        raise Refused("That is fewer tokens than the key has used and holds.", code="limit_below_use", field=names[1])
    rows.update(limit=cap, token_limit=tokens)


def _said(limit: Decimal | int | None) -> str | None:
    return None if limit is None else str(limit)


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
    # Not the whole row: the meter, which holds the key's quota, looks at the row for its foreign key.
    return QuotaKey.objects.select_for_update(no_key=True).get(pk=key.pk)
