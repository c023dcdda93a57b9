"""Anomalies: days on which a line spent far more than it usually does.

The rule, for every line and day: look at the fourteen days before it, days without calls counted as zero. A day is
an anomaly when it is above `median + 6 x MAD`, where the median absolute deviation MAD is taken as a tenth of the
median at the least, and above everything in those fourteen days. Both are robust: one wild day does not move them,
and weekends do not either. A line needs seven days of history, and a day below one unit of the currency is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from statistics import median
from typing import ClassVar

from allocations.models import AllocationLine
from allocations.reports.lines import lines_of, links_of, share
from ledger.models import Account
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row
from ledger.selectors import today
from ledger.selectors.spend import charged_by_line
from teams.models import User

WINDOW_DAYS = 14
LEAST_HISTORY = 7
DEVIATIONS = 6
LEAST_AMOUNT = Decimal(1)
ZERO = Decimal(0)
MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A day far above a line's own past; amounts in the line's currency."""

    day: date
    spent: Decimal
    usual: Decimal
    threshold: Decimal


class Anomalies(Report):
    """The days on which a line spent far above the median of its fourteen days before."""

    slug = "anomalies"
    title = "Anomalies"
    purpose = "On which days did a line spend far more than it usually does?"
    group = "Control"
    filters: ClassVar = frozenset({Filter.PERIOD, Filter.UNIT, Filter.TEAM, Filter.TIER})
    currency = ""

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("day", "Day", Kind.DATE, unit="UTC"),
            Column("allocation", "Allocation", drill="allocation"),
            Column("name", "Name"),
            Column("team", "Team"),
            Column("tier", "Tier", drill="account"),
            Column("currency", "Currency"),
            Column("spent", "Spent", Kind.MONEY),
            Column("usual", "Usual", Kind.MONEY, unit="median of 14 days"),
            Column("threshold", "Alarm above", Kind.MONEY),
            Column("share", "Spent", Kind.PERCENT, unit="of usual"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the anomalies, newest first."""
        lines = {line.account_id: line for line in lines_of(choice)}
        since = choice.starts_on - timedelta(days=WINDOW_DAYS)
        spent = charged_by_line(Account.objects.filter(pk__in=list(lines)), since=since)
        found = [
            (anomaly, lines[account])
            for account, days in spent.items()
            for anomaly in anomalies(days, _first_day(lines[account], days), choice.starts_on, _last(choice))
        ]
        for anomaly, line in sorted(found, key=lambda one: (one[0].day, one[0].spent, one[1].pk), reverse=True):
            yield _row(anomaly, line)

    def notes(self, choice: Choice) -> list[str]:
        """Say what counts as an anomaly."""
        return [
            f"A day counts when it is above the median of the {WINDOW_DAYS} days before plus {DEVIATIONS} times their "
            "median absolute deviation (a tenth of the median at the least), and above every one of those days. "
            f"A line needs {LEAST_HISTORY} days of history, and less than {LEAST_AMOUNT} of its currency is never one.",
        ]


def _last(choice: Choice) -> date:
    return min(choice.ends_on, today())


def _first_day(line: AllocationLine, days: dict[date, Decimal]) -> date:
    return min([line.allocation.starts_on, *days])


def anomalies(spent: dict[date, Decimal], began: date, first: date, last: date) -> Iterator[Anomaly]:
    """Go through the days from `first` to `last` that are far above a line's past since it began."""
    for day in sorted(day for day in spent if first <= day <= last):
        since = max(began, day - timedelta(days=WINDOW_DAYS))
        window = [spent.get(since + timedelta(days=place), ZERO) for place in range((day - since).days)]
        if len(window) < LEAST_HISTORY or spent[day] < LEAST_AMOUNT:
            continue
        usual, threshold = _threshold(window)
        if spent[day] > threshold:
            yield Anomaly(day, spent[day], usual, threshold)


def _threshold(window: list[Decimal]) -> tuple[Decimal, Decimal]:
    usual = median(window)
    deviation = median(abs(amount - usual) for amount in window)
    return usual, max(usual + DEVIATIONS * max(deviation, usual / 10), *window)


def _row(anomaly: Anomaly, line: AllocationLine) -> Row:
    cells = (
        anomaly.day,
        line.allocation.number,
        line.allocation.name,
        line.allocation.team.name,
        line.get_tier_display(),
        line.account.currency,
        anomaly.spent,
        anomaly.usual.quantize(MICRO),
        anomaly.threshold.quantize(MICRO),
        share(anomaly.spent, anomaly.usual),
    )
    return Row(cells, links_of(line), line.account.currency)
