"""The sandbox's own count of what it answered: a line of JSON for each call, in a file for each UTC day.

It is what a provider would bill by, kept apart from Tank's metering and by other means, so that the two can be set
against one another. A line is appended in one write, which several processes may do at once and which outlives the
process; it costs a few microseconds. Sums are made when somebody asks, of the lines that came since the last time.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path

import orjson
from django.conf import settings

logger = logging.getLogger(__name__)

Place = tuple[str, str]  # model, and the id of the key
MEASURES = ("requests", "input_tokens", "cached_tokens", "output_tokens")  # cached ones are input too
LONGEST_NAME = 160
DAY_SECONDS = 86_400


class Tally:
    """Counts into the files of a folder, and sums them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._day, self._file = -1, -1
        self._read: dict[date, tuple[int, dict[str, Counter[Place]]]] = {}
        self._lock = threading.Lock()

    def add(self, model: object, key: str, *, calls: int, input_tokens: int, output_tokens: int) -> None:
        """Count calls of a model with the tokens of all of them; what cannot be written is logged, the call goes on."""
        now = datetime.now(UTC)
        line = orjson.dumps([_name(model), _name(key), calls, input_tokens, 0, output_tokens])
        try:
            os.write(self._open(now), line + b"\n")
        except OSError:
            logger.exception("The sandbox cannot count a call in %s.", self._folder)

    def put_day(self, day: date, sums: Mapping[Place, Sequence[int]]) -> None:
        """Say what a day of the past counted, in place of what its file says: the four measures by model and key."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [orjson.dumps([*place, *counts]) + b"\n" for place, counts in sums.items()]
        self._path(day).write_bytes(b"".join(lines))
        self._read.pop(day, None)

    def _open(self, now: datetime) -> int:
        day = int(now.timestamp()) // DAY_SECONDS
        if day != self._day:
            if self._file >= 0:
                os.close(self._file)
            self._day, self._file = -1, -1
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path(now.date()), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            self._day = day
        return self._file

    def _path(self, day: date) -> Path:
        return self._folder / f"usage-{day.isoformat()}.jsonl"

    def of_day(self, day: date) -> dict[Place, dict[str, int]]:
        """Return calls and tokens of a UTC day by model and key, in the order of their names."""
        with self._lock:
            sums = self._sums(day)
            places = sorted(sums["requests"])
            return {place: {name: sums[name][place] for name in MEASURES} for place in places}

    def _sums(self, day: date) -> dict[str, Counter[Place]]:
        done, sums = self._read.get(day, (0, {name: Counter() for name in MEASURES}))
        path = self._path(day)
        if not path.exists():
            return {name: Counter() for name in MEASURES}
        with path.open("rb") as file:
            file.seek(done)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                done += len(line)
                _put(line, sums)
        self._read[day] = done, sums
        return sums


def _name(given: object) -> str:
    """Return a name as it is counted under; empty for what no provider would have as one."""
    return given[:LONGEST_NAME] if isinstance(given, str) and given.isprintable() else ""


def _put(line: bytes, sums: dict[str, Counter[Place]]) -> None:
    try:
        model, key, *counts = orjson.loads(line)
    except orjson.JSONDecodeError:
        logger.warning("The sandbox cannot read a call that it counted: the disk was full?")
        return
    for name, count in zip(MEASURES, counts, strict=True):
        sums[name][(model, key)] += count


@cache
def tally() -> Tally:
    """Return this process's tally, in the data folder."""
    return Tally(settings.DATA_DIR / "sandbox")
