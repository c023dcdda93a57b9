"""Budget against actual: what each line was granted and did, and whether it keeps to a straight line."""

from collections.abc import Iterator, Sequence
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import ClassVar

import plotly.graph_objects as go

from allocations.models import Allocation, AllocationLine
from allocations.reports.lines import granted_of, lines_of, links_of, share, unspent_ties
from ledger.money import plain
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
from ledger.selectors import today
from teams.models import User

CENT = Decimal("0.01")
MOST_BARS = 15


class BudgetAgainstActual(Report):
    """Granted, held, spent and left per line, beside the straight line from its first to its last day."""

    slug = "budget-against-actual"
    title = "Budget against actual"
    purpose = "What was each team granted, what has it spent, and does it keep to plan?"
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
            Column("granted", "Granted", Kind.MONEY),
            Column("spent", "Spent", Kind.MONEY),
            Column("held", "Held", Kind.MONEY),
            Column("remaining", "Remaining", Kind.MONEY),
            Column("plan", "Plan to date", Kind.MONEY),
            Column("pace", "Pace", Kind.PERCENT, unit="of plan"),
            Column("state", "State"),
            Column("starts_on", "From", Kind.DATE),
            Column("ends_on", "To", Kind.DATE),
            Column("cost_centre", "Cost centre"),
            Column("currency", "Currency"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the lines, by allocation."""
        now = today()
        for line in lines_of(choice).iterator():
            yield _row(line, now)

    def ties(self, choice: Choice) -> list[Tie]:
        """Return what is not spent beside the balances of the line accounts."""
        return unspent_ties(lines_of(choice), "Granted less spent")

    def notes(self, choice: Choice) -> list[str]:
        """Say what the figures mean."""
        return [
            "All figures are of now. Held is what calls in flight, and calls whose process went away, may still cost.",
            "The plan is the straight line over the allocation's days, today counted whole; the pace is spent as a "
            "share of the plan.",
        ]

    def plot(self, choice: Choice, viewer: User) -> go.Figure | None:
        """Draw the largest lines: spent and held as shares of what was granted; the rest of a bar is left."""
        lines = [line for line in lines_of(choice) if granted_of(line) > 0]
        if not lines:
            return None
        largest = sorted(lines, key=granted_of, reverse=True)[:MOST_BARS][::-1]
        figure = go.Figure(
            layout={
                "barmode": "stack",
                "xaxis": {"ticksuffix": " %", "range": [0, 100]},
                "yaxis": {"showgrid": False},
            }
        )
        for name, parts in _parts(largest).items():
            labels = [f"{line.allocation.number} {line.get_tier_display()}" for line in largest]
            figure.add_trace(go.Bar(name=name, y=labels, x=parts, orientation="h"))
        return figure


def _parts(lines: list[AllocationLine]) -> dict[str, list[str]]:
    spent = [line.quota.spent * 100 / granted_of(line) for line in lines]
    held = [line.quota.held * 100 / granted_of(line) for line in lines]
    shares = {"Spent, %": spent, "Held, %": held}
    return {name: [plain(part.quantize(CENT)) for part in parts] for name, parts in shares.items()}


def _row(line: AllocationLine, now: date) -> Row:
    allocation, quota, granted = line.allocation, line.quota, granted_of(line)
    plan = plan_to_date(allocation, granted, now)
    cells = (
        allocation.number,
        allocation.name,
        allocation.team.name,
        line.get_tier_display(),
        granted,
        quota.spent,
        quota.held,
        granted - quota.spent - quota.held,
        plan,
        share(quota.spent, plan),
        allocation.get_state_display(),
        allocation.starts_on,
        allocation.ends_on,
        allocation.team.cost_centre,
        quota.currency,
    )
    return Row(cells, links_of(line), quota.currency)


def plan_to_date(allocation: Allocation, granted: Decimal, now: date) -> Decimal:
    """Return what a straight line would have spent at the end of a day, to the cent, in the line's currency."""
    length = (allocation.ends_on - allocation.starts_on).days + 1
    gone = min(max((now - allocation.starts_on).days + 1, 0), length)
    return (granted * gone / length).quantize(CENT, ROUND_HALF_EVEN)
