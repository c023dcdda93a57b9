"""Posting usage: the general ledger gets the hourly sums of the subledger, and only ever the difference.

A bucket is one line, one provider and one hour of `settled_at`. Its last `UsagePosting` says how much of it is
in the ledger; a run posts what has come since. Run twice, the second finds no difference; run late, it finds
all of it. Records of the hour that is still running are posted too: the next run adds the rest.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from ledger.models import Account, EntryKind, JournalEntry, Period, PeriodState, Provider, UsagePosting
from ledger.services.posting import Leg, entry_post
from teams.models import User

# One statement finds every bucket whose sums differ from what was posted. Settled_at is the time at which a
# metering transaction began; one that began before `since` and committed later is found by the next run over
# the whole open period.
DIFFERENCES = """
WITH sums AS (
    SELECT account_id, provider_id, date_trunc('hour', settled_at, 'UTC') AS hour,
           count(*) AS records, sum(charged) AS charged, sum(overage) AS overage,
           encode(sha256(convert_to(string_agg(
               request_id::text || ' ' || trim_scale(cost)::text, ',' ORDER BY settled_at, id),
               'UTF8')), 'hex') AS digest
      FROM ledger_usagerecord
     WHERE settled_at >= date_trunc('hour', %s::timestamptz, 'UTC')
     GROUP BY 1, 2, 3
), posted AS (
    SELECT account_id, provider_id, hour, max(charged) AS charged, max(overage) AS overage
      FROM ledger_usageposting
     WHERE hour >= date_trunc('hour', %s::timestamptz, 'UTC')
     GROUP BY 1, 2, 3
)
SELECT s.account_id, s.provider_id, s.hour, s.records, s.charged, s.overage, s.digest
  FROM sums s LEFT JOIN posted p USING (account_id, provider_id, hour)
 WHERE s.charged > coalesce(p.charged, 0) OR s.overage > coalesce(p.overage, 0)
 ORDER BY s.hour, s.account_id, s.provider_id
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The usage of one line at one provider in one hour, so far; amounts in the line's currency."""

    account_id: int
    provider_id: int
    hour: datetime
    records: int
    charged: Decimal
    overage: Decimal
    digest: str


def usage_post(*, actor: User, since: datetime | None = None) -> list[JournalEntry]:
    """Post the difference of every bucket from `since` on, by default from the first day of an open period.

    Each bucket is a transaction of its own, so an interrupted run keeps what it did. Returns the entries made.
    """
    since = since or _first_open_moment()
    if since is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(DIFFERENCES, [since, since])
        buckets = [Bucket(*row) for row in cursor.fetchall()]
    accounts = Account.objects.in_bulk({bucket.account_id for bucket in buckets})
    providers = Provider.objects.in_bulk({bucket.provider_id for bucket in buckets})
    entries: list[JournalEntry] = []
    for bucket in buckets:
        entries += _post_bucket(actor, bucket, accounts[bucket.account_id], providers[bucket.provider_id])
    return entries


def _first_open_moment() -> datetime | None:
    first = Period.objects.filter(state=PeriodState.OPEN).order_by("starts_on").first()
    return datetime.combine(first.starts_on, time.min, UTC) if first else None


@transaction.atomic
def _post_bucket(actor: User, bucket: Bucket, line: Account, provider: Provider) -> list[JournalEntry]:
    before = _posted_before(bucket)
    metered = Account.objects.get(code=f"metered:{provider.name}")
    variance = Account.objects.get(code=f"variance:{provider.name}")
    charged = bucket.charged - (before.charged if before else 0)
    overage = bucket.overage - (before.overage if before else 0)
    entries = []
    if charged > 0:
        entries.append(_post(actor, EntryKind.USAGE, bucket, metered, line, charged))
    if overage > 0:
        entries.append(_post(actor, EntryKind.OVERAGE, bucket, metered, variance, overage))
    if entries:
        UsagePosting.objects.create(entry=entries[0], account=line, provider=provider, **_totals(bucket))
    return entries


def _totals(bucket: Bucket) -> dict[str, Any]:
    return {name: getattr(bucket, name) for name in ("hour", "records", "charged", "overage", "digest")}


def _posted_before(bucket: Bucket) -> UsagePosting | None:
    with connection.cursor() as cursor:
        # One run at a time per line: two would both post the same difference.
        cursor.execute("SELECT pg_advisory_xact_lock(7246882, %s)", [bucket.account_id % 2**31])
    rows = UsagePosting.objects.filter(account_id=bucket.account_id, provider_id=bucket.provider_id, hour=bucket.hour)
    return rows.order_by("-records").first()


def _post(
    actor: User, kind: EntryKind, bucket: Bucket, metered: Account, against: Account, amount: Decimal
) -> JournalEntry:
    return entry_post(
        actor=actor,
        kind=kind,
        source="usage",
        key=f"{bucket.account_id}:{bucket.provider_id}:{bucket.hour:%Y-%m-%dT%H}:{bucket.records}:{kind}",
        legs=[Leg(metered, amount), Leg(against, -amount)],
        effective_on=bucket.hour.date(),
        memo=f"{against.name}, {bucket.hour:%Y-%m-%d %H}:00 UTC, {bucket.records} calls so far",
    )
