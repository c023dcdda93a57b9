"""What happens on lines and keys at this moment, in a fixed number of queries that touch a bounded number of rows.

Rates come from the usage records themselves, by index, from the newest backwards: at most `MOST_RECORDS` of each line
and key. Where there are more within the window, the rate is that of the span which those cover, and says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any

from django.db import connection
from django.db.models import Max, Q, QuerySet, Sum

from allocations.models import (
    AlertKind,
    Allocation,
    AllocationLine,
    BudgetAlert,
    Denial,
    DenialReason,
    Hold,
    HoldState,
    KeyState,
    Quota,
    QuotaKey,
)
from allocations.selectors.limits import Limits, limits_by_key
from allocations.selectors.pages import live
from allocations.selectors.told import allocation_of, amount_words, key_of, what_words

MOST_RECORDS = 1000
MOST_KEYS = 200
MOST_DENIALS = 50
MOST_ALERTS = 10
SHORT, LONG = timedelta(minutes=5), timedelta(minutes=60)
ALERT_DAYS = 7
ZERO, CENT, MICRO = Decimal(0), Decimal("0.01"), Decimal("0.000001")

# Partitions are merged by index, so that each line or key costs one short walk from its newest record on. Written as
# a range and ordered by both columns, only the index of that line or key fits: with an equality the planner may walk
# all records by time, in search of an idle line's.
RATES = """
    SELECT w.id, r.*
      FROM unnest(%(ids)s::bigint[]) w (id)
     CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE settled_at > %(short)s),
               coalesce(sum(charged) FILTER (WHERE settled_at > %(short)s), 0),
               count(*) FILTER (WHERE settled_at > %(long)s),
               coalesce(sum(charged) FILTER (WHERE settled_at > %(long)s), 0),
               count(*), min(settled_at), max(settled_at)
          FROM (SELECT settled_at, charged FROM ledger_usagerecord u
                 WHERE u.{column} >= w.id AND u.{column} <= w.id ORDER BY {order} LIMIT %(most)s) newest) r
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast something spends: calls and money a minute, over five minutes and over sixty."""

    calls_short: Decimal = ZERO
    spent_short: Decimal = ZERO
    calls_long: Decimal = ZERO
    spent_long: Decimal = ZERO
    is_sampled: bool = False
    """There were more calls than are looked at: the rate is that of the newest ones."""
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Calls refused for one reason."""

    reason: str
    calls: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class LiveRow:
    """A line or a key now; amounts in the allocation's currency."""

    quota: Quota
    in_flight: int
    unsettled: Decimal
    rate: Rate
    refused: Sequence[Refused] = ()
    limits: Limits | None = None
    """Of a key: its day and month, where they are limited, and its rates."""

    @property
    def refused_calls(self) -> int:
        """Return how many calls were refused, for any reason."""
        return sum(one.calls for one in self.refused)

    @property
    def refused_at(self) -> datetime | None:
        """Return when the latest of them was refused."""
        return max((one.last_at for one in self.refused), default=None)


@dataclass(frozen=True, slots=True)
class LiveAlert:
    """What people were told about a line or a key; amounts in money, or counts of tokens, as they stood then."""

    pk: int
    at: datetime
    what: str
    allocation: Allocation
    tier: str
    """Of a line; empty of a key."""
    key: QuotaKey | None
    spent: str
    limit: str


@dataclass(frozen=True, slots=True)
class LiveAllocation:
    """An allocation with its lines, dearest tier first, and its usable keys, newest first."""

    allocation: Allocation
    lines: list[LiveRow] = field(default_factory=list)
    keys: list[LiveRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LiveView:
    """What a page of allocations does now, and of when that is true."""

    as_of: datetime
    refused_since: datetime
    allocations: list[LiveAllocation]
    denials: list[Denial]
    alerts: list[LiveAlert]
    keys_left_out: bool

    @property
    def totals(self) -> dict[str, Any]:
        """Return the sums over the lines shown; a call counts once, on its line."""
        rows = [row for one in self.allocations for row in one.lines]
        return {
            "in_flight": sum(row.in_flight for row in rows),
            "limit": sum((row.quota.limit or ZERO for row in rows), ZERO),
            "spent": sum((row.quota.spent for row in rows), ZERO),
            "held": sum((row.quota.held for row in rows), ZERO),
            "available": sum((row.quota.available or ZERO for row in rows), ZERO),
            "calls": sum((row.rate.calls_short for row in rows), ZERO),
            "spent_a_minute": sum((row.rate.spent_short for row in rows), ZERO),
        }


def live_allocations(rows: QuerySet[Allocation], *, busy: bool = False) -> QuerySet[Allocation]:
    """Return those that can be spent, newest first; with `busy` those alone that have calls in flight."""
    found = live(rows).select_related("team", "committed_account").order_by("-pk")
    if not busy:
        return found
    holding = Hold.objects.filter(state=HoldState.ACTIVE, calls__gt=0, quota__line__isnull=False)
    return found.filter(pk__in=holding.values("quota__line__allocation"))


def live_view(allocations: Sequence[Allocation], *, strangers: bool = False) -> LiveView:
    """Return how a page of allocations stands now; `strangers` adds the calls whose key nobody knows."""
    now = datetime.now(UTC)
    ids = [allocation.pk for allocation in allocations]
    lines = list(AllocationLine.objects.filter(allocation__in=ids).select_related("quota").order_by("pk"))
    usable = QuotaKey.objects.filter(allocation__in=ids).exclude(state=KeyState.REVOKED)
    keys = list(usable.select_related("quota", "allocation").order_by("-pk")[: MOST_KEYS + 1])
    left_out, keys = len(keys) > MOST_KEYS, keys[:MOST_KEYS]
    holds = _holds([line.quota.pk for line in lines] + [key.quota.pk for key in keys])
    rates = _rates("account_id", "u.account_id DESC, u.settled_at DESC", [line.account_id for line in lines], now)
    key_rates = _rates("key_id", "u.key_id, u.id DESC", [key.pk for key in keys], now)
    since = (now - LONG).replace(minute=0, second=0, microsecond=0)
    refused, limits = _refused(keys, since), limits_by_key(keys, now)
    found = {allocation.pk: LiveAllocation(allocation) for allocation in allocations}
    for line in lines:
        row = LiveRow(line.quota, *holds.get(line.quota.pk, (0, ZERO)), rates.get(line.account_id, Rate()))
        found[line.allocation_id].lines.append(row)
    for key in keys:
        place = holds.get(key.quota.pk, (0, ZERO))
        row = LiveRow(key.quota, *place, key_rates.get(key.pk, Rate()), refused.get(key.pk, ()), limits[key.pk])
        found[key.allocation_id].keys.append(row)
    return LiveView(
        as_of=now,
        refused_since=since,
        allocations=list(found.values()),
        denials=_denials(ids, since, strangers=strangers),
        alerts=_alerts(ids, now),
        keys_left_out=left_out,
    )


def _holds(quotas: Iterable[int]) -> dict[int, tuple[int, Decimal]]:
    rows = Hold.objects.filter(quota__in=list(quotas)).values("quota_id")
    found = rows.annotate(
        in_flight=Sum("calls", filter=Q(state=HoldState.ACTIVE), default=0),
        unsettled=Sum("amount", filter=Q(state=HoldState.UNSETTLED), default=ZERO),
    )
    return {row["quota_id"]: (row["in_flight"], row["unsettled"]) for row in found}


def _rates(column: str, order: str, ids: list[int], now: datetime) -> dict[int, Rate]:
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {"ids": ids, "short": now - SHORT, "long": now - LONG, "most": MOST_RECORDS}
        cursor.execute(RATES.format(column=column, order=order), parameters)
        return {pk: _rate(now, *row) for pk, *row in cursor.fetchall()}


def _rate(
    now: datetime,
    calls_short: int,
    spent_short: Decimal,
    calls_long: int,
    spent_long: Decimal,
    seen: int,
    oldest: datetime | None,
    last_at: datetime | None,
) -> Rate:
    is_sampled = seen >= MOST_RECORDS and oldest is not None and oldest > now - LONG
    span = now - oldest if is_sampled and oldest is not None else LONG
    short, long = _minutes(min(span, SHORT)), _minutes(span)
    return Rate(
        calls_short=(calls_short / short).quantize(CENT),
        spent_short=(spent_short / short).quantize(MICRO),
        calls_long=(calls_long / long).quantize(CENT),
        spent_long=(spent_long / long).quantize(MICRO),
        is_sampled=is_sampled,
        last_at=last_at,
    )


def _minutes(span: timedelta) -> Decimal:
    return Decimal(max(int(span.total_seconds()), 1)) / 60


def _refused(keys: Iterable[QuotaKey], since: datetime) -> dict[int, list[Refused]]:
    rows = Denial.objects.filter(key__in=[key.pk for key in keys], hour__gte=since).values("key_id", "reason")
    found: dict[int, list[Refused]] = {}
    for row in rows.annotate(calls=Sum("count"), last=Max("last_at")).order_by("-calls", "reason"):
        one = Refused(DenialReason(row["reason"]).label, row["calls"], row["last"])
        found.setdefault(row["key_id"], []).append(one)
    return found


def _denials(ids: list[int], since: datetime, *, strangers: bool) -> list[Denial]:
    mine = Q(key__allocation__in=ids) | Q(key=None) if strangers else Q(key__allocation__in=ids)
    rows = Denial.objects.filter(mine, hour__gte=since).select_related("key__allocation")
    return list(rows.order_by("-last_at", "-pk")[:MOST_DENIALS])


def _alerts(ids: list[int], now: datetime) -> list[LiveAlert]:
    owners = [f"quota__{owner}__allocation" for owner in ("line", "key", "window_of")]
    mine = reduce(or_, (Q(**{f"{owner}__in": ids}) for owner in owners))
    rows = BudgetAlert.objects.filter(mine, created_at__gte=now - timedelta(days=ALERT_DAYS))
    return [_alert(alert) for alert in rows.select_related(*owners).order_by("-pk")[:MOST_ALERTS]]


def _alert(alert: BudgetAlert) -> LiveAlert:
    unit = " tokens" if alert.kind == AlertKind.TOKENS else ""
    return LiveAlert(
        pk=alert.pk,
        at=alert.created_at,
        what=what_words(alert),
        allocation=allocation_of(alert.quota),
        tier=alert.quota.line.tier if alert.quota.line else "",
        key=key_of(alert.quota),
        spent=amount_words(alert, alert.spent) + unit,
        limit=amount_words(alert, alert.limit) + unit,
    )
