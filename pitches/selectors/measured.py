"""What a key really used, as rows of an ask: calls a month and tokens per call, by the tier of the model called.

Sums come from the roll-ups, and for the hours after them from the records, so they are whole even where old records
were archived. The median is of the latest records only.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.db import connection
from django.db.models import Count, Min, QuerySet, Sum

from allocations.models import QuotaKey
from ledger.models import Tier, UsageDay, UsageHour, UsageRecord
from ledger.selectors.spend import BEGINNING, rolled_until
from teams.models import Team

DAYS_A_MONTH = Decimal("30.4375")
"""A twelfth of 365.25 days."""
LATEST = 10_000
SUMS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens")
# By the index on key and id; a key with millions of calls is read no further than its latest ones.
MEDIANS = """
    SELECT m.tier,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY r.input_tokens + r.cache_read_tokens
                                                       + r.cache_write_5m_tokens + r.cache_write_1h_tokens),
           percentile_disc(0.5) WITHIN GROUP (ORDER BY r.output_tokens)
      FROM (SELECT * FROM ledger_usagerecord WHERE key_id = %s AND settled_at >= %s ORDER BY id DESC LIMIT %s) r
      JOIN ledger_aimodel m ON m.id = r.model_id
     GROUP BY m.tier
"""


@dataclass(frozen=True, slots=True)
class TierUse:
    """Calls of a key on one tier and the tokens of one call: means up to the next token, medians of the latest calls.

    `input` counts cached tokens too; a median is None where only sums are left.
    """

    tier: Tier
    calls: int
    calls_a_month: int
    input: int
    cached: int
    output: int
    median_input: int | None
    median_output: int | None


@dataclass(frozen=True, slots=True)
class KeyMeasure:
    """What a key used since a moment, as of another one."""

    key: QuotaKey
    since: datetime
    as_of: datetime
    tiers: list[TierUse]

    @property
    def calls(self) -> int:
        """Return how many calls it rests on."""
        return sum(use.calls for use in self.tiers)

    @property
    def batch_share(self) -> Decimal:
        """Return the part of the calls that went to the batch tier, between 0 and 1."""
        batch = sum(use.calls for use in self.tiers if use.tier == Tier.BATCH)
        return Decimal(batch) / Decimal(self.calls) if self.calls else Decimal(0)


def keys_of_team(team: Team) -> QuerySet[QuotaKey]:
    """Return every key of a team's allocations, newest first; one that has ended was measured too."""
    return QuotaKey.objects.filter(allocation__team=team).select_related("allocation").order_by("-pk")


def key_measure(key: QuotaKey, *, days: int, now: datetime | None = None) -> KeyMeasure:
    """Return what a key used in the last days (UTC), or since its first call if that is later."""
    as_of = now or datetime.now(UTC)
    since = max(_day(as_of - timedelta(days=days)), _first_day(key))
    span = Decimal(str((as_of - since).total_seconds())) / 86_400
    sums, medians = _sums(key, since), _medians(key, since)
    uses = [_use(tier, sums[tier], medians.get(tier), max(span, Decimal(1))) for tier in Tier if tier in sums]
    return KeyMeasure(key, since, as_of, uses)


def _day(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(UTC).date(), time.min, UTC)


def _first_day(key: QuotaKey) -> datetime:
    mine = {"account__in": key.allocation.lines.values("account"), "key_id": key.pk}
    day = UsageDay.objects.filter(**mine).aggregate(first=Min("day"))["first"]
    if day is not None:
        return datetime.combine(day, time.min, UTC)
    moment = UsageRecord.objects.filter(**mine).aggregate(first=Min("settled_at"))["first"]
    return _day(moment) if moment else BEGINNING


def _sums(key: QuotaKey, since: datetime) -> dict[str, dict[str, int]]:
    until = max(rolled_until(), since)
    midnight = max(_day(until), since)
    accounts = key.allocation.lines.values("account")
    parts: tuple[tuple[QuerySet[Any], Any], ...] = (
        (UsageDay.objects.filter(day__gte=since.date(), day__lt=until.date()), Sum("records")),
        (UsageHour.objects.filter(hour__gte=midnight, hour__lt=until), Sum("records")),
        (UsageRecord.objects.filter(settled_at__gte=until), Count("pk")),
    )
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for part, calls in parts:
        rows = part.filter(account__in=accounts, key_id=key.pk).values("model__tier")
        for row in rows.annotate(calls=calls, **{f"sum_{name}": Sum(name) for name in SUMS}):
            for name in ("calls", *(f"sum_{name}" for name in SUMS)):
                found[row["model__tier"]][name] += int(row[name])
    return found


def _medians(key: QuotaKey, since: datetime) -> dict[str, tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(MEDIANS, [key.pk, since, LATEST])
        return {tier: (median_in, median_out) for tier, median_in, median_out in cursor.fetchall()}


def _use(tier: Tier, sums: dict[str, int], medians: tuple[int, int] | None, days: Decimal) -> TierUse:
    calls = sums["calls"]
    incoming = sum(sums[f"sum_{name}"] for name in SUMS if name != "output_tokens")

    def each(total: int) -> int:
        return -(-total // calls)

    return TierUse(
        tier=tier,
        calls=calls,
        calls_a_month=int((calls * DAYS_A_MONTH / days).to_integral_value(ROUND_CEILING)),
        input=each(incoming),
        # Rounded down, so that it never exceeds what goes in.
        cached=sums["sum_cache_read_tokens"] // calls,
        output=each(sums["sum_output_tokens"]),
        median_input=medians[0] if medians else None,
        median_output=medians[1] if medians else None,
    )
