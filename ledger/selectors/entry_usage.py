"""The usage records behind a journal entry: what its one sum is made of."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q, QuerySet

from ledger.models import EntryKind, JournalEntry, UsageArchive, UsagePosting, UsageRecord


@dataclass(frozen=True, slots=True)
class EntryUsage:
    """A bucket of usage as an entry found it: the calls of a line at a provider in an hour, so far.

    The entry brought what came since the posting before it, of which `before` is the number of calls.
    """

    posting: UsagePosting
    before: int

    @property
    def records(self) -> QuerySet[UsageRecord]:
        """Return the records of the bucket, whichever posting brought them."""
        bucket = self.posting
        return UsageRecord.objects.filter(
            account_id=bucket.account_id,
            provider_id=bucket.provider_id,
            settled_at__gte=bucket.hour,
            settled_at__lt=bucket.hour + timedelta(hours=1),
        )

    @property
    def is_archived(self) -> bool:
        """Say whether records of the hour may have left the database with their month."""
        return UsageArchive.objects.filter(settled_before__gt=self.posting.hour).exists()


def entry_usage(entry: JournalEntry) -> EntryUsage | None:
    """Return the usage behind an entry that brought metered usage in; None for any other entry."""
    posting = _posting(entry)
    if posting is None:
        return None
    earlier = UsagePosting.objects.filter(
        account_id=posting.account_id,
        provider_id=posting.provider_id,
        hour=posting.hour,
        records__lt=posting.records,
    ).order_by("-records")
    return EntryUsage(posting, earlier.values_list("records", flat=True).first() or 0)


def _posting(entry: JournalEntry) -> UsagePosting | None:
    rows = UsagePosting.objects.select_related("account", "provider")
    if entry.kind == EntryKind.OVERAGE:
        # When a run posts usage and overage of a bucket, the posting names the first; the keys differ in the kind.
        twin = f"{entry.key.removesuffix(EntryKind.OVERAGE)}{EntryKind.USAGE}"
        return rows.filter(entry=entry).first() or rows.filter(entry__source=entry.source, entry__key=twin).first()
    return rows.filter(entry=entry).first() if entry.kind == EntryKind.USAGE else None


def entry_records(usage: EntryUsage, *, before: int | None = None, limit: int = 50) -> list[UsageRecord]:
    """Return the records behind an entry, newest first, older than the one with the id `before`.

    There are none when that is no record of the bucket.
    """
    rows = usage.records.select_related("model").order_by("-settled_at", "-id")
    if before is None:
        return list(rows[:limit])
    mark = usage.records.filter(id=before).first()
    if mark is None:
        return []
    newer = Q(settled_at=mark.settled_at, id__gte=mark.pk)
    return list(rows.filter(~newer, settled_at__lte=mark.settled_at)[:limit])
