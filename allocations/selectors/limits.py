"""A key's limits as pages show them: what is spent and held of each, today, this month and in all."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q

from allocations.models import Quota, QuotaKey, Window
from allocations.models.quota import starts_on

SPANS = {Window.DAY.value: "Today", Window.MONTH.value: "This month"}


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One span of a key's limits, such as "Today", and its quota; one at zero for a day or month without a call yet."""

    span: str
    quota: Quota

    @property
    def resets_at(self) -> datetime | None:
        """Return when the span starts again, UTC; None for the key's whole life."""
        return self.quota.resets_at


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a key: its total, its day and month where they are limited, and its rates by name."""

    total: LimitRow
    windows: list[LimitRow]
    rates: list[tuple[str, int]]

    @property
    def rows(self) -> list[LimitRow]:
        """Return the total and after it the day and the month."""
        return [self.total, *self.windows]

    @property
    def is_empty(self) -> bool:
        """Say whether nothing limits the key but its allocation."""
        return not self.rates and all(row.quota.limit is None and row.quota.token_limit is None for row in self.rows)


def key_limits(key: QuotaKey) -> Limits:
    """Return a key's limits as they stand now; a day or month without a call yet stands at zero."""
    return limits_by_key([QuotaKey.objects.select_related("quota").get(pk=key.pk)], datetime.now(UTC))[key.pk]


def limits_by_key(keys: Iterable[QuotaKey], now: datetime) -> dict[int, Limits]:
    """Return the limits of keys that were read with their quotas, by id, in one query."""
    keys = list(keys)
    current = Q(window=Window.DAY, starts_on=starts_on(Window.DAY, now))
    current |= Q(window=Window.MONTH, starts_on=starts_on(Window.MONTH, now))
    rows = Quota.objects.filter(current, window_of__in=[key.pk for key in keys])
    found = {(quota.window_of_id, quota.window): quota for quota in rows}
    return {key.pk: Limits(LimitRow("In all", key.quota), _windows(key, found, now), _rates(key.quota)) for key in keys}


def _windows(key: QuotaKey, found: dict[tuple[int | None, str], Quota], now: datetime) -> list[LimitRow]:
    rows = []
    for window, words in SPANS.items():
        cap, tokens = getattr(key, f"{window}_cap"), getattr(key, f"{window}_tokens")
        if cap is not None or tokens is not None:
            rows.append(LimitRow(words, found.get((key.pk, window)) or _unused(key, window, now)))
    return rows


def _unused(key: QuotaKey, window: str, now: datetime) -> Quota:
    return Quota(
        window=window,
        starts_on=starts_on(window, now),
        currency=key.quota.currency,
        limit=getattr(key, f"{window}_cap"),
        token_limit=getattr(key, f"{window}_tokens"),
        spent=0,
        held=0,
        tokens_spent=0,
        tokens_held=0,
    )


def _rates(quota: Quota) -> list[tuple[str, int]]:
    rates = (
        ("Requests a minute", quota.requests_per_minute),
        ("Tokens a minute", quota.tokens_per_minute),
        ("Calls at once", quota.calls_at_once),
    )
    return [(name, rate) for name, rate in rates if rate is not None]
