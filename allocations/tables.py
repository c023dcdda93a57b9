"""The columns of exports, and the series of plots, about allocations."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from allocations.selectors import BurnDay
from ledger.exports import Cell
from ledger.money import plain

BURN_HEADER = ("day", "currency", "spent", "left", "plan", "forecast")


def burn_cells(days: Iterable[BurnDay], currency: str) -> Iterator[Sequence[Cell]]:
    """Turn a burn-down into cells."""
    for day in days:
        yield day.day, currency, day.spent, day.left, day.plan, day.forecast


def burn_plot(days: list[BurnDay], label: str) -> dict[str, Any]:
    """Turn a burn-down into the series that tank.js draws; amounts as plain decimal strings in USD."""
    actual = [day for day in days if day.left is not None]
    ahead = [day for day in days if day.forecast is not None]
    return {
        "label": label,
        "unit": "USD",
        "series": [
            _series("Plan", "plan", [(day.day.isoformat(), plain(day.plan)) for day in days]),
            _series("Left", "actual", [(d.day.isoformat(), plain(d.left)) for d in actual if d.left is not None]),
            _series("At this pace", "forecast", [(d.day.isoformat(), plain(d.forecast)) for d in ahead if d.forecast]),
        ],
    }


def _series(name: str, style: str, points: list[tuple[str, str]]) -> dict[str, Any]:
    return {"name": name, "style": style, "x": [x for x, _ in points], "y": [y for _, y in points]}
