"""Forecast: when each live line runs out at the pace of the last seven days, against its last day."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import ClassVar

from django.db.models import QuerySet

from allocations.models import AllocationLine
from allocations.reports.lines import lines_of, links_of, unspent_ties
from allocations.selectors.outlook import Outlook, outlooks
from allocations.selectors.pages import LIVE_STATES
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
from ledger.selectors import today
from teams.models import User

MICRO = Decimal("0.000001")


class Forecast(Report):
    """Left, pace, the day on which that ends, and an alarm where it comes before the last day."""

    slug = "forecast"
    title = "Forecast and run-out"
    purpose = "Whose budget ends before its last day, at this week's pace?"
    group = "Budget"
    filters: ClassVar = frozenset({Filter.UNIT, Filter.TEAM, Filter.TIER})
    currency = ""

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("allocation", "Allocation", drill="allocation"),
            Column("name", "Name"),
            Column("team", "Team"),
            Column("tier", "Tier", drill="account"),
            Column("runs_out_on", "Runs out", Kind.DATE),
            Column("ends_on", "Last day", Kind.DATE),
            Column("days_early", "Early", Kind.COUNT, unit="days"),
            Column("alarm", "Alarm"),
            Column("left", "Not spent", Kind.MONEY),
            Column("pace", "A day", Kind.MONEY, unit="mean of 7 days"),
            Column("currency", "Currency"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the live lines, those that run out first in front."""
        found = outlooks(_live(choice), today())
        for outlook in sorted(found, key=lambda one: (one.runs_out_on or date.max, one.line.pk)):
            yield _row(outlook)

    def ties(self, choice: Choice) -> list[Tie]:
        """Return what is not spent beside the balances of the line accounts."""
        return unspent_ties(_live(choice), "Not spent")

    def notes(self, choice: Choice) -> list[str]:
        """Say what the figures mean."""
        return [
            "The pace is the mean daily spend of the seven days (UTC) that end today; what is held counts as not spent."
        ]


def _live(choice: Choice) -> QuerySet[AllocationLine]:
    return lines_of(choice).filter(allocation__state__in=LIVE_STATES)


def _row(outlook: Outlook) -> Row:
    line, early = outlook.line, outlook.days_early
    allocation = line.allocation
    cells = (
        allocation.number,
        allocation.name,
        allocation.team.name,
        line.get_tier_display(),
        outlook.runs_out_on,
        allocation.ends_on,
        early,
        "" if early is None else "Used up" if outlook.left <= 0 else "Runs out early",
        outlook.left,
        outlook.pace.quantize(MICRO, ROUND_HALF_EVEN),
        line.account.currency,
    )
    return Row(cells, links_of(line), line.account.currency)
