"""The count of refused calls: kept in memory, written every few seconds and at the end, never on a call's way.

What was counted since the last flush is lost in a crash. Memory is bounded: by keys, reasons and models that
exist, and beyond `MOST_BUCKETS` of them by reasons alone.
"""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import psycopg

from allocations.gateway.refusal import Denied
from ledger.money import plain

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
PATIENCE_SECONDS = 5
MOST_BUCKETS = 5_000
MOST_CHARACTERS = 120
AWAY = (psycopg.Error, OSError)

# In the order of the unique constraint, so that two gateways never wait for each other in a circle.
FLUSH = """
    INSERT INTO allocations_denial AS d (hour, key_id, reason, model, count, last_at, example_asked, example_bytes,
                                         example_bound)
    SELECT hour, key_id, reason, model, count, last_at, asked, size, bound
      FROM json_to_recordset(%s) c (hour timestamptz, key_id bigint, reason text, model text, count bigint,
                                    last_at timestamptz, asked text, size bigint, bound numeric)
     WHERE key_id IS NULL OR EXISTS (SELECT 1 FROM allocations_quotakey k WHERE k.id = key_id)
     ORDER BY hour, key_id, reason, model
    ON CONFLICT (hour, key_id, reason, model) DO UPDATE
       SET count = d.count + excluded.count, last_at = greatest(d.last_at, excluded.last_at)
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Refused calls that are counted together."""

    hour: datetime
    key_id: int | None
    reason: str
    model: str


@dataclass(slots=True)
class Count:
    """How many there were, when the last one came, and what the first one was."""

    calls: int
    last_at: datetime
    asked: str
    size: int | None
    bound: Decimal | None


class Denials:
    """The counts of one process."""

    def __init__(self, dsn: str) -> None:
        self.totals: Counter[str] = Counter()
        """Calls that this process refused, by reason."""
        self._dsn = dsn
        self._counts: dict[Bucket, Count] = {}
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Begin to flush; works without a database, which gets the counts when it is there."""
        self._task = asyncio.create_task(self._flush_for_ever(), name="gateway-denials")

    async def stop(self) -> None:
        """Write what was counted and end."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        await self.flush()

    def count(self, denied: Denied, *, model: str, asked: str, size: int | None, now: datetime | None = None) -> None:
        """Count a refused call; `model` is a name that Tank knows or "", `asked` what the call said. Never waits."""
        self.totals[denied.reason] += 1
        now = now or datetime.now(UTC)
        bucket = Bucket(_hour(now), denied.key_id, denied.reason, model)
        self._add(bucket, Count(1, now, _storable(asked), size, denied.bound))

    async def flush(self) -> None:
        """Write what was counted; when the database is away, keep it for the next time."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                    await connection.execute(FLUSH, (_rows(counts),))
        except AWAY as error:
            logger.warning("refused calls could not be logged yet: %s", error)
            newer, self._counts = self._counts, counts
            for bucket, count in newer.items():
                self._add(bucket, count)

    def _add(self, bucket: Bucket, count: Count) -> None:
        if bucket not in self._counts and len(self._counts) >= MOST_BUCKETS:
            bucket = Bucket(bucket.hour, None, bucket.reason, "")
        before = self._counts.setdefault(bucket, count)
        if before is not count:
            before.calls += count.calls
            before.last_at = max(before.last_at, count.last_at)

    async def _flush_for_ever(self) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._stopping.wait()
            await self.flush()


def row_of(denied: Denied, *, model: str, asked: str, size: int | None, now: datetime) -> str:
    """Return one refused call as `FLUSH` reads it, for whoever writes it at once."""
    bucket = Bucket(_hour(now), denied.key_id, denied.reason, model)
    return _rows({bucket: Count(1, now, _storable(asked), size, denied.bound)})


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _storable(text: str) -> str:
    # What the database's text cannot hold: half a character, and the character zero.
    return text[:MOST_CHARACTERS].encode("utf-8", "replace").decode().replace("\0", "")


def _rows(counts: dict[Bucket, Count]) -> str:
    rows = [
        {
            "hour": bucket.hour,
            "key_id": bucket.key_id,
            "reason": bucket.reason,
            "model": bucket.model,
            "count": count.calls,
            "last_at": count.last_at,
            "asked": count.asked,
            "size": count.size,
            "bound": None if count.bound is None else plain(count.bound),
        }
        for bucket, count in counts.items()
    ]
    return orjson.dumps(rows).decode()
