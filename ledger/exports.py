"""CSV files of what pages show: exact amounts, streamed, and safe to open in a spreadsheet."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from ledger.money import plain
from ledger.streams import FileStream, parts_of

Cell = str | int | Decimal | date | datetime | None
CSV_TYPE = "text/csv; charset=utf-8"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    def write(self, value: str) -> str:
        return value


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> FileStream:
    """Send rows as a CSV file; amounts are plain decimals with every digit, times are ISO 8601 in UTC."""
    return FileStream(name, CSV_TYPE, parts_of(csv_lines(header, rows)))


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    """Write rows as CSV lines, the header first."""
    writer = csv.writer(_Echo())
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow([cell_text(cell) for cell in row])


def cell_text(cell: Cell) -> str:
    """Write one cell; text that a spreadsheet would run as a formula gets a quote in front."""
    if cell is None:
        return ""
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return bare_text(cell)


def bare_text(cell: str | int | Decimal | date) -> str:
    """Write one cell as it is, for what no spreadsheet opens."""
    if isinstance(cell, Decimal):
        return plain(cell)
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return cell.isoformat() if isinstance(cell, date) else str(cell)
