"""Posting usage: the general ledger gets the hourly sums of the subledger, and only ever the difference.

A bucket is one line, one provider and one hour of `settled_at`. Its last `UsagePosting` says how much of it is
in the ledger; a run posts what has come since. Run twice, the second finds no difference; run late, it finds
all of it. Records of the hour that is still running are posted too: the next run adds the rest. The hourly
roll-up says where to look; the records themselves say what is posted.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from ledger.models import Account, EntryKind, JournalEntry, Provider, UsagePosting
from ledger.selectors.spend import posted_until, rolled_until
from ledger.services.posting import Leg, entry_post
from teams.models import User

# The buckets whose sums are above what was posted, from the roll-up ...
CHANGED = """
SELECT array_agg(account_id), array_agg(provider_id), array_agg(hour) FROM (
    SELECT h.account_id, h.provider_id, h.hour
      FROM ledger_usagehour h LEFT JOIN LATERAL (
          SELECT max(charged) AS charged, max(overage) AS overage FROM ledger_usageposting p
           WHERE p.account_id = h.account_id AND p.provider_id = h.provider_id AND p.hour = h.hour) p ON true
     WHERE h.hour >= date_trunc('hour', %s::timestamptz, 'UTC')
     GROUP BY h.account_id, h.provider_id, h.hour, p.charged, p.overage
    HAVING sum(h.charged) > coalesce(p.charged, 0) OR sum(h.overage) > coalesce(p.overage, 0)) changed
"""
# ... and their sums and digest from the records themselves: what is posted must be what it says it covers.
DIFFERENCES = """
SELECT u.account_id, u.provider_id, b.hour, count(*), sum(u.charged), sum(u.overage),
       encode(sha256(convert_to(string_agg(
           u.request_id::text || ' ' || trim_scale(u.cost)::text, ',' ORDER BY u.settled_at, u.id), 'UTF8')), 'hex')
  FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) b (account_id, provider_id, hour)
  JOIN ledger_usagerecord u ON u.account_id = b.account_id AND u.provider_id = b.provider_id
       AND u.settled_at >= b.hour AND u.settled_at < b.hour + interval '1 hour'
 GROUP BY u.account_id, u.provider_id, b.hour
 ORDER BY b.hour, u.account_id, u.provider_id
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
    """Add up the records settled from `since` on and post the difference of every bucket.

    Without `since` the run goes on where the roll-up ends, two hours back for what committed late. Each bucket is a
    transaction of its own, so an interrupted run keeps what it did. Returns the entries made.
    """
    usage_roll(since=since)
    buckets = _differences(since or posted_until())
    accounts = Account.objects.in_bulk({bucket.account_id for bucket in buckets})
    providers = Provider.objects.in_bulk({bucket.provider_id for bucket in buckets})
    entries: list[JournalEntry] = []
    for bucket in buckets:
        entries += _post_bucket(actor, bucket, accounts[bucket.account_id], providers[bucket.provider_id])
    return entries


def usage_roll(*, since: datetime | None = None) -> int:
    """Add up the records settled from `since` on into hours and days; returns how many sums changed.

    Without `since` it goes on where it ended, two hours back for what committed late.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_usage_roll(%s)", [since or rolled_until()])
        changed: int = cursor.fetchone()[0]
    return changed


def _differences(since: datetime) -> list[Bucket]:
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, [since])
        cursor.execute(DIFFERENCES, cursor.fetchone())
        return [Bucket(*row) for row in cursor.fetchall()]


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
