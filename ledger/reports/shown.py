"""A report on a page: cells as people read them, and figures without colours of their own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import plotly.graph_objects as go
from django.contrib.humanize.templatetags.humanize import intcomma
from djmoney.money import Money

from ledger.money import CURRENCY
from ledger.reports.base import Cell, Column, Kind, Row
from ledger.templatetags.money import moment, money_exact

NUMBERS = {Kind.COUNT, Kind.MONEY, Kind.PERCENT}


@dataclass(frozen=True, slots=True)
class Shown:
    """One cell: its words, where they lead, and whether they stand on the right."""

    words: str
    url: str
    is_number: bool
    nowrap: bool


def shown_rows(columns: Sequence[Column], rows: Iterable[Row]) -> Iterator[list[Shown]]:
    """Turn rows into what the page's table says."""
    for row in rows:
        yield [_shown(column, cell, row) for column, cell in zip(columns, row.cells, strict=True)]


def _shown(column: Column, cell: Cell, row: Row) -> Shown:
    url = row.links.get(column.drill, "") if column.drill else ""
    return Shown(words_of(column.kind, cell, row.currency), url, column.kind in NUMBERS, column.kind is Kind.DATE)


def words_of(kind: Kind, cell: Cell, currency: str = "") -> str:
    """Write one cell for people; amounts with every digit on hover."""
    if cell is None or cell == "":
        return ""
    if isinstance(cell, Decimal) and kind is Kind.MONEY:
        return money_exact(Money(cell, currency or CURRENCY))
    if isinstance(cell, Decimal) and kind is Kind.PERCENT:
        return f"{cell.quantize(Decimal('0.1'), ROUND_HALF_UP):,f} %"
    if isinstance(cell, int) and kind is Kind.COUNT:
        return intcomma(cell, use_l10n=False)
    return _day_or_text(cell)


def _day_or_text(cell: str | int | Decimal | date) -> str:
    if isinstance(cell, datetime):
        return moment(cell.astimezone(UTC))
    return f"{cell:%-d %b %Y}" if isinstance(cell, date) else str(cell)


def is_number(column: Column) -> bool:
    """Say whether a column stands on the right."""
    return column.kind in NUMBERS


def figure_data(figure: go.Figure, label: str) -> dict[str, Any]:
    """Return a figure as tank.js draws it: its traces and its layout, without the library's own template."""
    drawn = figure.to_plotly_json()
    layout = {name: value for name, value in drawn["layout"].items() if name != "template"}
    return {"label": label, "figure": {"data": drawn["data"], "layout": layout}}
