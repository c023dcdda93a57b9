"""Wall clocks and moments: what is typed in a zone, what does not exist there, and the same wall clock months later."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


class BadHour(ValueError):
    """A wall clock that a zone shows never, or twice, on that day."""


def moment_of(wall: datetime, zone: str) -> datetime:
    """Return the moment at which a zone's clocks show a time; raises BadHour where they skip it or show it twice."""
    naive = wall.replace(tzinfo=None)
    first, second = (naive.replace(tzinfo=ZoneInfo(zone), fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != naive:
        raise BadHour(
            f"{naive:%H:%M} does not exist in {zone} on that day: the clocks go forward. Choose another hour."
        )
    raise BadHour(f"{naive:%H:%M} comes twice in {zone} on that day: the clocks go back. Choose another hour.")


def months_later(day: date, months: int) -> date:
    """Return the same day of the month some months later, or the month's last day where it has no such day."""
    count = day.year * 12 + day.month - 1 + months
    first = date(count // 12, count % 12 + 1, 1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return min(first + timedelta(days=day.day - 1), last)


def moment_months_later(moment: datetime, zone: str, months: int) -> datetime:
    """Return the moment at which a zone's clocks show the same time months later.

    A time that the clocks skip on that day moves forward with them; of one that they show twice it is the first.
    """
    local = moment.astimezone(ZoneInfo(zone))
    later = datetime.combine(months_later(local.date(), months), local.time(), tzinfo=ZoneInfo(zone))
    return later.astimezone(UTC)
