"""What the pages show of allocations, keys and holds, each list in a fixed number of queries."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from django.db.models import DecimalField, OuterRef, Prefetch, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from allocations.models import (
    Allocation,
    AllocationState,
    HoldState,
    KeySecret,
    KeyState,
    QuotaKey,
    StopBehaviour,
)
from allocations.selectors.burn import BurnDay
from ledger.models import Account, AccountClass, AiModel, Tier, UsageRecord
from ledger.selectors import rates_at
from ledger.selectors.spend import KeyUse, use_by_key
from teams.models import Role, Team
from teams.selectors import Person, has_role, standing

ZERO = Decimal(0)
NO_USE = KeyUse(0, ZERO)
LIVE_STATES = (AllocationState.ACTIVE, AllocationState.SUSPENDED, AllocationState.EXHAUSTED, AllocationState.SCHEDULED)


def allocations_visible_to(user: Person) -> QuerySet[Allocation]:
    """Return the allocations that somebody may open: own teams' and headed units', all for overseers."""
    rows = Allocation.objects.all()
    if has_role(user, Role.FINANCE, Role.AUDITOR, Role.PLATFORM_ADMIN):
        return rows
    own = standing(user)
    return rows.filter(Q(team_id__in=[pk for pk, _ in own.teams]) | Q(team__business_unit_id__in=own.units))


def allocations_of_teams(teams: QuerySet[Team] | list[Team]) -> QuerySet[Allocation]:
    """Return the allocations of some teams."""
    return Allocation.objects.filter(team__in=teams)


def with_figures(rows: QuerySet[Allocation]) -> QuerySet[Allocation]:
    """Add `limit`, `spent`, `held` and `available` over all lines, and what a list shows; newest first."""
    return (
        rows.select_related("team__business_unit", "owner", "committed_account")
        .annotate(limit=_sum("lines__quota__limit"), spent=_sum("lines__quota__spent"), held=_sum("lines__quota__held"))
        .annotate(available=_sum("lines__quota__limit") - _sum("lines__quota__spent") - _sum("lines__quota__held"))
        .order_by("-pk")
    )


def _sum(column: str) -> Coalesce:
    return Coalesce(Sum(column), ZERO, output_field=DecimalField())


def live(rows: QuerySet[Allocation]) -> QuerySet[Allocation]:
    """Keep the allocations that can be spent now or later."""
    return rows.filter(state__in=LIVE_STATES)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as its list shows it; money in the allocation's currency, times in UTC."""

    key: QuotaKey
    hint: str
    cap: Decimal | None
    spent: Decimal
    held: Decimal
    state_words: str
    state_class: str
    calls_24h: int
    spent_24h: Decimal
    in_flight: int
    last_used_at: datetime | None


def key_rows(allocation: Allocation) -> list[KeyRow]:
    """Return the keys of an allocation, usable ones first, newest first."""
    keys = list(_keys_with_facts().filter(allocation=allocation).order_by("-pk"))
    used = _usage_24h(allocation)
    rows = [_key_row(key, used.get(key.pk, NO_USE)) for key in keys]
    return sorted(rows, key=lambda row: row.key.state == KeyState.REVOKED)


@dataclass(frozen=True, slots=True)
class KeyLoad:
    """What goes through the keys of an allocation; money in its currency."""

    usable: int
    calls_24h: int
    spent_24h: Decimal
    in_flight: int


def key_load(allocation: Allocation) -> KeyLoad:
    """Return what goes through all keys of an allocation together."""
    rows = key_rows(allocation)
    return KeyLoad(
        usable=sum(row.key.state == KeyState.ACTIVE for row in rows),
        calls_24h=sum(row.calls_24h for row in rows),
        spent_24h=sum((row.spent_24h for row in rows), ZERO),
        in_flight=sum(row.in_flight for row in rows),
    )


def key_row(key: QuotaKey) -> KeyRow:
    """Return one key as its page shows it."""
    found = _keys_with_facts().get(pk=key.pk)
    return _key_row(found, _usage_24h(found.allocation).get(key.pk, NO_USE))


def _keys_with_facts() -> QuerySet[QuotaKey]:
    last = UsageRecord.objects.filter(key_id=OuterRef("pk")).order_by("-id").values("settled_at")[:1]
    return (
        QuotaKey.objects.select_related("quota", "allocation__committed_account", "created_by")
        .prefetch_related(Prefetch("secrets", KeySecret.objects.order_by("-pk")))
        .annotate(
            in_flight=Coalesce(Sum("quota__holds__calls", filter=Q(quota__holds__state=HoldState.ACTIVE)), 0),
            last_used_at=Subquery(last),
        )
    )


def _usage_24h(allocation: Allocation) -> dict[int, KeyUse]:
    since = datetime.now(UTC) - timedelta(hours=24)
    return use_by_key(Account.objects.filter(line__allocation=allocation), since=since)


def _key_row(key: QuotaKey, used: KeyUse) -> KeyRow:
    annotated: Any = key
    secrets = list(key.secrets.all())
    words, look = _state_words(key, secrets)
    return KeyRow(
        key=key,
        hint=secrets[0].hint if secrets else "",
        cap=key.quota.limit,
        spent=key.quota.spent,
        held=key.quota.held,
        state_words=words,
        state_class=look,
        calls_24h=used.calls,
        spent_24h=used.spent,
        in_flight=annotated.in_flight,
        last_used_at=annotated.last_used_at,
    )


def _state_words(key: QuotaKey, secrets: list[KeySecret]) -> tuple[str, str]:
    now = datetime.now(UTC)
    if key.state != KeyState.ACTIVE:
        return key.get_state_display().lower(), "no"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired", "no"
    if key.quota.available is not None and key.quota.available <= 0:
        return "at its cap", "no"
    ending = [secret.expires_at for secret in secrets if secret.expires_at is not None and secret.expires_at > now]
    if ending:
        return f"rotating, {hours_words(max(ending) - now)} left", "wait"
    return "active", "ok"


def hours_words(span: timedelta) -> str:
    """Write a span of time in its largest fitting unit: "22 h", "40 min", "6 days"."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 60 * 48 else f"{minutes // 1440} days"


def calls_of(key: QuotaKey, *, before: int | None = None, limit: int = 25) -> list[UsageRecord]:
    """Return what a key was charged for, newest first, calls older than the record id `before`."""
    rows = UsageRecord.objects.filter(key_id=key.pk).select_related("model").order_by("-id")
    return list((rows if before is None else rows.filter(pk__lt=before))[:limit])


def runs_out_on(days: list[BurnDay]) -> date | None:
    """Return the first day on which the forecast is nothing; None when it lasts to the end."""
    return next((day.day for day in days if day.forecast is not None and day.forecast <= 0), None)


def stop_words(allocation: Allocation, tiers: Iterable[Tier]) -> str:
    """Say what happens when a tier's line is spent, and who chose that."""
    ladder = [tier.label for tier in tiers if tier != Tier.BATCH]
    granted = allocation.funded_from.account_class == AccountClass.RESERVE
    chosen = "Chosen with the grant." if granted else "Chosen in the pitch."
    if allocation.stop_behaviour == StopBehaviour.FALL and len(ladder) > 1:
        falls = ", from ".join(f"{dearer} to {cheaper}" for dearer, cheaper in pairwise(ladder))
        return f"When a tier is empty, calls fall to the next cheaper one: from {falls}. {chosen}"
    return f"When a tier is empty, calls to it are refused. {chosen}"


def models_of(allocation: Allocation) -> QuerySet[AiModel]:
    """Return the models that keys of an allocation may be limited to: those of its tiers, by name."""
    tiers = allocation.lines.values("tier")
    rows = AiModel.objects.filter(tier__in=tiers, is_enabled=True, provider__is_enabled=True)
    return rows.select_related("provider", "backup_of").order_by("name")


def callable_model(key: QuotaKey) -> AiModel | None:
    """Return a model that a key can call now, the sandbox's first: for an example that works."""
    models = models_of(key.allocation).filter(backup_of=None)
    if key.models.exists():
        models = models.filter(keys=key)
    found = sorted(models, key=lambda m: (m.provider.dialect != "sandbox", m.pk))
    rated = rates_at(found, datetime.now(UTC))
    return next((model for model in found if model.pk in rated), None)
