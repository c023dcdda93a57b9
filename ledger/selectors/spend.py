"""What was charged to allocation lines, out of the roll-ups and, for what is newer than they are, the records.

A roll-up goes on two hours before its last hour, so what lies before that is whole and is read from days and hours;
only the few hours after it are added up record by record. The sum is that of all records, to the last digit, and
stays so when old records are detached.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.db.models.functions import TruncDate

from ledger.models import Account, UsageDay, UsageHour, UsagePosting, UsageRecord

# A metering transaction lasts milliseconds; one that began in an hour has committed long before this is over.
OVERLAP = timedelta(hours=2)
BEGINNING = datetime.min.replace(tzinfo=UTC)
PACE_DAYS = 7


def rolled_until() -> datetime:
    """Return the hour (UTC) before which every record is in the roll-ups."""
    last = UsageHour.objects.order_by("-hour").values_list("hour", flat=True).first()
    return last - OVERLAP if last else BEGINNING


def posted_until() -> datetime:
    """Return the hour (UTC) before which every record is in the journal."""
    last = UsagePosting.objects.order_by("-hour").values_list("hour", flat=True).first()
    return last - OVERLAP if last else BEGINNING


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls and what they cost, in the currency of the rates."""

    records: int
    cost: Decimal


def recorded_between(first: datetime, after: datetime) -> Usage:
    """Return the usage settled from one hour to before another (UTC); that of archived months too."""
    until = rolled_until()
    hours = UsageHour.objects.filter(hour__gte=first, hour__lt=min(after, until))
    newer = UsageRecord.objects.filter(settled_at__gte=max(first, until), settled_at__lt=after)
    cost = Sum("cost", default=Decimal(0))
    sums = hours.aggregate(records=Sum("records", default=0), cost=cost)
    tail = newer.aggregate(records=Count("pk"), cost=cost)
    return Usage(int(sums["records"]) + tail["records"], sums["cost"] + tail["cost"])


def posted_between(first: datetime, after: datetime) -> Usage:
    """Return the usage settled from one hour to before another (UTC) that is in the journal."""
    postings = UsagePosting.objects.filter(hour__gte=first, hour__lt=after)
    # Each posting says how much of its bucket is in the journal so far.
    buckets = postings.values("account", "provider", "hour").annotate(
        records_so_far=Max("records"), cost_so_far=Max(F("charged") + F("overage"))
    )
    sums = buckets.aggregate(records=Sum("records_so_far", default=0), cost=Sum("cost_so_far", default=Decimal(0)))
    return Usage(int(sums["records"]), sums["cost"])


def charged_by_day(accounts: QuerySet[Account], *, since: date | None = None) -> dict[date, Decimal]:
    """Return what lines of one currency were charged on each day (UTC) with usage."""
    found: dict[date, Decimal] = defaultdict(Decimal)
    for row in _daily(accounts, ("day",), since):
        found[row["day"]] += row["spent"]
    return dict(found)


def charged_by_line(accounts: QuerySet[Account], *, since: date) -> dict[int, dict[date, Decimal]]:
    """Return what each line was charged on each day (UTC) with usage, by account id, in the account's currency."""
    found: dict[int, dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for row in _daily(accounts, ("account_id", "day"), since):
        found[row["account_id"]][row["day"]] += row["spent"]
    return {account: dict(days) for account, days in found.items()}


def _daily(accounts: QuerySet[Account], by: tuple[str, ...], since: date | None) -> Iterator[dict[str, Any]]:
    until = rolled_until()
    midnight = datetime.combine(until.date(), time.min, UTC)
    parts: tuple[QuerySet[Any], ...] = (
        UsageDay.objects.filter(day__lt=until.date()),
        UsageHour.objects.filter(hour__gte=midnight, hour__lt=until).annotate(day=TruncDate("hour", tzinfo=UTC)),
        UsageRecord.objects.filter(settled_at__gte=until).annotate(day=TruncDate("settled_at", tzinfo=UTC)),
    )
    for part in parts:
        rows = part.filter(account__in=accounts)
        if since is not None:
            rows = rows.filter(day__gte=since)
        yield from rows.values(*by).annotate(spent=Sum("charged"))


@dataclass(frozen=True, slots=True)
class KeyUse:
    """What a key did in a span of time; the money in the currency of its lines."""

    calls: int
    spent: Decimal


def use_by_key(accounts: QuerySet[Account], *, since: datetime) -> dict[int, KeyUse]:
    """Return what each key did on some lines since a moment, by key id."""
    until, first_hour = rolled_until(), since.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    newer = Q(settled_at__gte=since)
    if until > first_hour:
        newer &= Q(settled_at__lt=first_hour) | Q(settled_at__gte=until)
    records = UsageRecord.objects.filter(newer, account__in=accounts).values("key_id")
    hours = UsageHour.objects.filter(hour__gte=first_hour, hour__lt=until, account__in=accounts).values("key_id")
    found: dict[int, KeyUse] = {}
    for row in [
        *records.annotate(calls=Count("pk"), spent=Sum("charged")),
        *hours.annotate(calls=Sum("records"), spent=Sum("charged")),
    ]:
        before = found.get(row["key_id"], KeyUse(0, Decimal(0)))
        found[row["key_id"]] = KeyUse(before.calls + row["calls"], before.spent + row["spent"])
    return found


def charged_not_posted(accounts: QuerySet[Account]) -> Decimal:
    """Return what lines of one currency were charged that the hourly posting has not brought into the journal yet."""
    since, until = posted_until(), rolled_until()
    hours = UsageHour.objects.filter(hour__gte=since, hour__lt=until, account__in=accounts)
    records = UsageRecord.objects.filter(settled_at__gte=max(since, until), account__in=accounts)
    postings = UsagePosting.objects.filter(hour__gte=since, account__in=accounts)
    # Each posting says how much of its bucket is in the journal so far.
    posted = postings.values("account", "provider", "hour").annotate(so_far=Max("charged"))
    charged: Decimal = sum(rows.aggregate(sum=Sum("charged", default=Decimal(0)))["sum"] for rows in (hours, records))
    return charged - sum((row["so_far"] for row in posted), Decimal(0))


def daily_pace(spent_on: dict[date, Decimal], now: date) -> Decimal:
    """Return the mean daily spend of the seven days that end today, in the currency of what was spent."""
    since = now - timedelta(days=PACE_DAYS)
    return sum((spent for day, spent in spent_on.items() if since < day <= now), Decimal(0)) / PACE_DAYS


def runs_out_on(left: Decimal, pace: Decimal, now: date) -> date | None:
    """Return the day on which `left` is used up at a daily pace; None when it lasts longer than anybody plans."""
    if left <= 0:
        return now
    if pace <= 0 or left / pace > 36_500:
        return None
    # A seventh is not exact: what its last digits make of a whole number of days is rounded off first.
    days = (left / pace).quantize(Decimal("1e-9")).to_integral_value(ROUND_CEILING)
    return now + timedelta(days=int(days))
