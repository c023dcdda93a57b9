"""Settles on disk: written and fsynced when the database stays away, replayed when it is back.

One file per process, one JSON row a line, the same row that `allocations_settle` reads. A file whose process is
gone is replayed by whichever gateway on this machine finds it; settles are unique by request id, so replaying
one twice changes nothing. A last line that a crash cut short was never acknowledged, and is dropped.
"""

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import orjson
import psycopg

from allocations.metering.wire import is_beyond

logger = logging.getLogger(__name__)

REPLAY = "SELECT allocations_replay(%s::bigint[], %s, %s)"
MOST_ROWS = 500


class Spool:
    """The spool of one process, and the way to replay those that others left."""

    def __init__(self, folder: Path, worker: UUID) -> None:
        self._folder = folder
        self._path = folder / f"{worker}.jsonl"
        self._file: IO[bytes] | None = None

    @property
    def depth(self) -> int:
        """Return how many settles wait in the spools of this machine; it reads them all."""
        return sum(_lines(path) for path in self._folder.glob("*.jsonl"))

    @property
    def refused_files(self) -> int:
        """Return how many spools of this machine the database refused, kept for a person to look at."""
        return sum(1 for _ in self._folder.glob("*.refused"))

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Write rows and wait until they are on disk."""
        if not rows:
            return
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            # Held as long as this process lives: nobody else replays a file that may still grow.
            fcntl.flock(self._file, fcntl.LOCK_EX)
        for row in rows:
            self._file.write(orjson.dumps(row) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    async def replay(self, connection: psycopg.AsyncConnection[Any], forget: Callable[[list[UUID]], None]) -> None:
        """Settle what this process and vanished ones left; `forget` learns which requests are recorded."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.jsonl")):
            await self._replay_own(connection, forget) if path == self._path else await _replay_left(connection, path)

    async def _replay_own(self, connection: psycopg.AsyncConnection[Any], forget: Callable[[list[UUID]], None]) -> None:
        if self._file is None:
            return
        rows = _rows(self._path.read_bytes())
        if await _settled(connection, self._path, rows):
            forget([UUID(row["request_id"]) for row in rows])
            self._path.unlink()
        self.close()

    def close(self) -> None:
        """Let others replay what is left of this process's spool."""
        if self._file is not None:
            self._file.close()
            self._file = None


async def _replay_left(connection: psycopg.AsyncConnection[Any], path: Path) -> None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # its process lives, or another gateway is at it
        rows = _rows(file.read())
        if not await _settled(connection, path, rows):
            return
        path.unlink(missing_ok=True)
    logger.info("replayed %s settles of a process that is gone", len(rows))


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:  # replayed in this moment
        return 0


def _rows(content: bytes) -> list[dict[str, Any]]:
    rows = []
    for line in content.splitlines():
        try:
            rows.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            logger.warning("dropped a spool line that a crash cut short: it was never acknowledged")
    return rows


async def _settled(connection: psycopg.AsyncConnection[Any], path: Path, rows: list[dict[str, Any]]) -> bool:
    try:
        await _settle(connection, rows)
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        refused = path.rename(path.with_suffix(".refused"))
        logger.error("the database refused a spool, kept for a person to look at: %s: %s", refused, error)
        return False
    return True


async def _settle(connection: psycopg.AsyncConnection[Any], rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), MOST_ROWS):
        part = rows[start : start + MOST_ROWS]
        beyond = [row for row in part if is_beyond(row)]
        within = [row for row in part if not is_beyond(row)]
        quotas = sorted({quota for row in part for quota in row["quotas"]})
        await connection.execute(REPLAY, (quotas, _json(within), _json(beyond)))


def _json(rows: list[dict[str, Any]]) -> str | None:
    return orjson.dumps(rows).decode() if rows else None
