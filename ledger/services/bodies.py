"""Bytes as they came in: kept once by what they hash to, and given up where nothing came of them."""

import zlib

from django.db import connection
from django.db.models.functions import Now

from ledger.models import FeedBody

FAST_BYTES = 2 * 1024 * 1024
"""Of more than so many the fastest compression: somebody waits, and a fifth more of the disk is cheaper than that."""
UPLOAD_HOURS = 24
"""How long bytes are kept that nothing refers to; `ledger/sql/file_runs.sql` refuses to delete them any earlier."""
CLEAR = """DELETE FROM ledger_feedbody
            WHERE kept_at < now() - make_interval(hours => %s) AND NOT ledger_body_is_needed(sha256)"""


def body_keep(sha256: str, content: bytes) -> None:
    """Keep bytes by what they hash to; those that are there already are kept as long as if they came now.

    That also holds up whoever would delete them just now: it sees the new time, and lets them be.
    """
    if not FeedBody.objects.filter(pk=sha256).update(kept_at=Now()):
        compressed = zlib.compress(content, 6 if len(content) <= FAST_BYTES else 1)
        body = FeedBody(sha256=sha256, compressed=compressed, size=len(content))
        FeedBody.objects.bulk_create([body], update_conflicts=True, unique_fields=["sha256"], update_fields=["kept_at"])


def body_of(sha256: str) -> bytes:
    """Return the bytes that are kept by a hash; raises FeedBody.DoesNotExist."""
    return FeedBody.objects.get(pk=sha256).content


def bodies_clear() -> int:
    """Delete bytes that nothing refers to, a day after they came; returns how many.

    Those are files that were checked and that nobody imported. What a provider answered, and what was taken in, is
    evidence and stays.
    """
    with connection.cursor() as cursor:
        cursor.execute(CLEAR, [UPLOAD_HOURS])
        count: int = cursor.rowcount
    return count
