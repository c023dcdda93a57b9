"""The columns of reconciliation's exports, and the plot of the clearing balance."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ledger.exports import Cell
from ledger.models import TOKEN_CLASSES, ReconciliationLine
from ledger.money import plain
from ledger.selectors.clearing import ClearingDay
from ledger.selectors.reconciliation import CalendarRow, DayState

CALENDAR_HEADER = ("provider", "day", "state", "lines", "currency", "metered", "reported", "difference")
LINES_HEADER = (
    "line",
    "provider",
    "day",
    "model",
    "provider_key",
    "charge",
    "currency",
    "metered_calls",
    *(f"metered_{name}_tokens" for name in TOKEN_CLASSES),
    "metered",
    "reported_calls",
    *(f"reported_{name}_tokens" for name in TOKEN_CLASSES),
    "reported",
    "difference",
    "outcome",
    "causes",
    "agreed",
    "unexplained",
    "revision",
    "figures_at",
)
CLEARING_HEADER = ("provider", "day", "currency", "metered", "billed", "variance", "other", "clearing_balance")


def calendar_cells(rows: Iterable[CalendarRow]) -> Iterator[Sequence[Cell]]:
    """Turn a calendar into cells, a row for each day with anything on it."""
    for row in rows:
        for cell in row.cells:
            if cell.state != DayState.NONE:
                sides = (cell.metered, cell.reported, cell.difference)
                yield cell.provider, cell.day, cell.state.value, cell.lines, cell.currency, *sides


def line_cells(lines: Iterable[ReconciliationLine]) -> Iterator[Sequence[Cell]]:
    """Turn lines into cells."""
    for line in lines:
        yield (
            line.pk,
            line.provider.name,
            line.day,
            line.model_name,
            str(line.provider_key or ""),
            line.charge,
            line.currency,
            line.metered_records,
            *(getattr(line, f"metered_{name}") for name in TOKEN_CLASSES),
            line.metered,
            line.reported_requests,
            *(getattr(line, f"reported_{name}") for name in TOKEN_CLASSES),
            line.reported,
            line.reported - line.metered,
            line.outcome,
            " ".join(line.causes),
            "yes" if line.is_agreed else "no",
            line.unexplained,
            line.revision,
            line.figures_at,
        )


def clearing_cells(days: Iterable[ClearingDay]) -> Iterator[Sequence[Cell]]:
    """Turn the clearing balance into cells."""
    for day in days:
        moved = (day.metered, day.billed, day.variance, day.other)
        yield day.provider, day.day, day.currency, *moved, day.balance


def clearing_plot(days: Sequence[ClearingDay]) -> dict[str, Any]:
    """Turn the clearing balance into a figure, a line for each provider and currency; amounts as decimal strings."""
    drawn: dict[tuple[str, str], list[ClearingDay]] = {}
    for day in days:
        drawn.setdefault((day.provider, day.currency), []).append(day)
    currencies = sorted({currency for _name, currency in drawn})
    return {
        "label": "Clearing balance by day",
        "figure": {
            "data": [
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": name if len(currencies) == 1 else f"{name}, {currency}",
                    "line": {"shape": "hv", "width": 2},
                    "cliponaxis": False,
                    "x": [one.day.isoformat() for one in rows],
                    "y": [plain(one.balance) for one in rows],
                }
                for (name, currency), rows in sorted(drawn.items())
            ],
            "layout": {
                "xaxis": {"type": "date", "tickformat": "%-d %b"},
                "yaxis": {"title": {"text": f"Clearing balance, {', '.join(currencies)}"}, "rangemode": "tozero"},
            },
        },
    }
