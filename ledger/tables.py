"""The columns of the ledger's exports, and the plots of its pages."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from ledger.exports import Cell
from ledger.models import Posting
from ledger.money import plain
from ledger.selectors import TrialRow
from ledger.selectors.year import Step, YearBurn, YearDay, YearFigures, waterfall

TRIAL_HEADER = ("account", "name", "class", "team", "currency", "debits", "credits", "balance")
STATEMENT_HEADER = (
    "number",
    "effective_on",
    "recorded_at",
    "entry",
    "kind",
    "memo",
    "reason",
    "actor",
    "currency",
    "amount",
    "balance",
)


def trial_cells(rows: Iterable[TrialRow]) -> Iterator[Sequence[Cell]]:
    """Turn a trial balance into cells."""
    for row in rows:
        account = row.account
        team = account.team.name if account.team else ""
        yield (
            account.code,
            account.name,
            account.account_class,
            team,
            account.currency,
            row.debits,
            row.credits,
            row.balance,
        )


def statement_cells(postings: Iterable[Posting]) -> Iterator[Sequence[Cell]]:
    """Turn an account statement into cells."""
    for posting in postings:
        entry = posting.entry
        yield (
            posting.account_version,
            entry.effective_on,
            entry.recorded_at,
            str(entry),
            entry.kind,
            entry.memo,
            entry.reason,
            entry.actor.email,
            posting.currency,
            posting.amount,
            posting.balance_after,
        )


WATERFALL_HEADER = ("fiscal_year", "currency", "step", "label", "amount", "left", "as_of")
YEAR_BURN_HEADER = ("day", "currency", "spent", "spent_so_far", "plan", "forecast")
# The order decides the colours: what is used, what is still there, what was given.
WATERFALL_PARTS = {
    "Used": ("metered", "accrued", "billed", "variance", "other_years"),
    "Left": ("reserve", "pools", "committed", "lines"),
    "Given": ("authority", "converted"),
}


def waterfall_cells(figures: Iterable[YearFigures]) -> Iterator[Sequence[Cell]]:
    """Turn the waterfalls of all currencies into cells."""
    for year in figures:
        for step in waterfall(year):
            yield str(year.year), year.currency, step.name, step.label, step.amount, step.left, year.as_of


def waterfall_plot(steps: list[Step], year: YearFigures) -> dict[str, Any]:
    """Turn a waterfall into a figure of floating bars; amounts as plain decimal strings."""
    shown = [step for step in steps if step.name != "rest"]
    return {
        "label": f"Where the budget of {year.year} is, in {year.currency}",
        "figure": {
            "data": [
                _bars(name, [step for step in shown if step.name in meant]) for name, meant in WATERFALL_PARTS.items()
            ],
            "layout": {
                "barmode": "overlay",
                "yaxis": {
                    "categoryorder": "array",
                    "categoryarray": [step.label for step in reversed(shown)],
                    "showgrid": False,
                },
                "xaxis": {"rangemode": "tozero", "tickprefix": f"{year.currency} ", "nticks": 4},
            },
        },
    }


def _bars(name: str, steps: list[Step]) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": name,
        "orientation": "h",
        "y": [step.label for step in steps],
        "x": [plain(abs(step.amount)) for step in steps],
        "base": [plain(_low_end(step)) for step in steps],
        "customdata": [plain(abs(step.amount)) for step in steps],
        "hovertemplate": "%{y}: %{customdata}<extra></extra>",
    }


def _low_end(step: Step) -> Decimal:
    return Decimal(0) if step.is_total else min(step.left, step.left - step.amount)


def year_burn_cells(burn: YearBurn) -> Iterator[Sequence[Cell]]:
    """Turn the year's burn into cells."""
    for day in burn.days:
        yield day.day, burn.currency, day.spent, day.used, day.plan, day.forecast


def year_burn_plot(burn: YearBurn, year: YearFigures) -> dict[str, Any]:
    """Turn the year's burn into the series that tank.js draws; amounts as plain decimal strings."""
    return {
        "label": f"What the lines of {year.year} spent so far",
        "unit": burn.currency,
        "series": [
            _series("Plan", "plan", [(day, day.plan) for day in burn.days]),
            _series("Spent", "actual", [(day, day.used) for day in burn.days if day.used is not None]),
            _series("At this pace", "forecast", [(day, day.forecast) for day in burn.days if day.forecast is not None]),
        ],
    }


def _series(name: str, style: str, points: list[tuple[YearDay, Decimal]]) -> dict[str, Any]:
    x, y = [day.day.isoformat() for day, _ in points], [plain(amount) for _, amount in points]
    return {"name": name, "style": style, "x": x, "y": y}
