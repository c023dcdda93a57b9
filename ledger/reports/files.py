"""A report as a file: CSV, XLSX and JSON, streamed, exact, and saying what it is a report of."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import chain, islice
from tempfile import TemporaryFile
from typing import Any

from xlsxwriter import Workbook

from ledger.exports import CSV_TYPE, bare_text, csv_lines
from ledger.money import plain
from ledger.reports.base import Cell, Choice, Column, Kind, Report, Row, Tie
from ledger.streams import FileParts, FileStream, parts_of
from teams.models import User

XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
SHEET_ROWS = 1_000_000
FORMATS = {
    Kind.MONEY: "#,##0.00##########",
    Kind.COUNT: "#,##0",
    Kind.PERCENT: '0.0" %"',
    Kind.DATE: "yyyy-mm-dd",
    Kind.TIME: "yyyy-mm-dd hh:mm:ss",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A report as somebody asked for it: the filters in words, the columns, and the totals that tie to the ledger."""

    report: Report
    choice: Choice
    viewer: User
    filters: dict[str, str]
    columns: Sequence[Column]
    ties: Sequence[Tie]

    @property
    def name(self) -> str:
        """Return the file's name without its ending."""
        return f"{self.report.slug}-{self.choice.starts_on}-{self.choice.ends_on}"

    def rows(self) -> Iterator[Row]:
        """Go through all rows."""
        return self.report.rows(self.choice, self.viewer)

    def facts(self) -> Iterator[tuple[str, Cell]]:
        """Go through what a reader of the file must know, as pairs."""
        yield "Report", self.report.title
        yield "As of, UTC", self.choice.as_of
        yield "Currency", self.report.currency or "as each row says"
        yield from ((f"Filter: {name}", value) for name, value in self.filters.items())
        for column in self.columns:
            if column.unit:
                yield f"Unit of {column.name}", column.unit
        for tie in self.ties:
            yield f"{tie.label}, {tie.currency}", tie.reported
            yield f"{tie.label}, {tie.accounts}, {tie.currency}", tie.in_ledger
        yield from (("Note", note) for note in self.report.notes(self.choice))


def csv_file(asked: Asked) -> FileStream:
    """Send a report as CSV: lines that begin with "# " say what it is, then the names of the columns, then rows."""
    facts = [(f"# {name}", value) for name, value in asked.facts()]
    about = csv_lines(["# Tank", asked.report.slug], facts)
    rows = csv_lines([column.name for column in asked.columns], (row.cells for row in asked.rows()))
    return FileStream(f"{asked.name}.csv", CSV_TYPE, parts_of(chain(about, rows)))


def json_file(asked: Asked) -> FileStream:
    """Send a report as JSON: an envelope with filters, columns, totals and `rows`; amounts are decimal strings."""
    return FileStream(f"{asked.name}.json", "application/json", parts_of(_json_lines(asked)))


def _json_lines(asked: Asked) -> Iterator[str]:
    yield json.dumps(envelope(asked), ensure_ascii=False)[:-1] + ', "rows": ['
    names = [column.name for column in asked.columns]
    for place, row in enumerate(asked.rows()):
        cells = {name: json_cell(cell) for name, cell in zip(names, row.cells, strict=True)}
        yield (",\n" if place else "\n") + json.dumps(cells, ensure_ascii=False)
    yield "\n]}\n"


def envelope(asked: Asked) -> dict[str, Any]:
    """Return what stands around the rows of a report in JSON."""
    return {
        "report": asked.report.slug,
        "title": asked.report.title,
        "as_of": bare_text(asked.choice.as_of),
        "currency": asked.report.currency or None,
        "filters": asked.filters,
        "notes": asked.report.notes(asked.choice),
        "columns": [{"name": c.name, "label": c.label, "kind": c.kind, "unit": c.unit} for c in asked.columns],
        "ties": [tie_data(tie) for tie in asked.ties],
    }


def tie_data(tie: Tie) -> dict[str, str]:
    """Return a tie in JSON; amounts are decimal strings in its currency."""
    return {
        "label": tie.label,
        "currency": tie.currency,
        "reported": plain(tie.reported),
        "in_ledger": plain(tie.in_ledger),
        "difference": plain(tie.difference),
        "accounts": tie.accounts,
        "explained": tie.explained,
    }


def json_cell(cell: Cell) -> str | int | None:
    """Return a cell in JSON: counts are numbers, amounts and shares decimal strings, times ISO 8601 in UTC."""
    return cell if cell is None or isinstance(cell, int) else bare_text(cell)


def xlsx_file(asked: Asked, *, sheet_rows: int = SHEET_ROWS) -> FileStream:
    """Send a report as an Excel workbook, written row by row into a temporary file.

    It goes on in a new sheet after `sheet_rows`, since Excel takes no more than 1,048,576. A workbook cannot be sent
    before it is whole, so a million rows take a minute or two before the first byte; CSV begins at once.
    """
    file = TemporaryFile()  # noqa: SIM115 - closed by the response that sends it
    with Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        Book(book, asked, sheet_rows).write()
    file.seek(0)
    return FileStream(f"{asked.name}.xlsx", XLSX_TYPE, FileParts(file))


class Book:
    """A workbook: a sheet that says what the report is, then sheets of at most so many rows."""

    def __init__(self, book: Workbook, asked: Asked, sheet_rows: int) -> None:
        self.book, self.asked, self.sheet_rows = book, asked, sheet_rows
        self.bold = book.add_format({"bold": True})
        self.formats = {kind: book.add_format({"num_format": form}) for kind, form in FORMATS.items()}
        self.kinds = [column.kind for column in asked.columns]

    def write(self) -> None:
        """Write all sheets."""
        self._about()
        rows, place = self.asked.rows(), 1
        self._sheet("Rows", islice(rows, self.sheet_rows))
        while following := list(islice(rows, 1)):
            place += 1
            self._sheet(f"Rows {place}", islice(chain(following, rows), self.sheet_rows))

    def _about(self) -> None:
        sheet = self.book.add_worksheet("About")
        sheet.set_column(0, 1, 44)
        for place, (name, value) in enumerate(self.asked.facts()):
            sheet.write_string(place, 0, name, self.bold)
            self._cell(sheet, place, 1, value, Kind.MONEY if isinstance(value, Decimal) else Kind.TIME)

    def _sheet(self, name: str, rows: Iterable[Row]) -> None:
        sheet = self.book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        for place, column in enumerate(self.asked.columns):
            sheet.set_column(place, place, 18)
            sheet.write_string(0, place, column.heading, self.bold)
        for line, row in enumerate(rows, start=1):
            for place, cell in enumerate(row.cells):
                self._cell(sheet, line, place, cell, self.kinds[place])

    def _cell(self, sheet: Any, line: int, place: int, cell: Cell, kind: Kind) -> None:
        form = self.formats.get(kind)
        if isinstance(cell, datetime):
            sheet.write_datetime(line, place, cell.astimezone(UTC).replace(tzinfo=None), form)
        elif isinstance(cell, date):
            sheet.write_datetime(line, place, cell, form)
        elif isinstance(cell, int | Decimal) and fits_double(cell):
            sheet.write_number(line, place, cell, form)
        elif cell is not None:
            # Written as text, so a spreadsheet never runs it, whatever it begins with.
            sheet.write_string(line, place, bare_text(cell))


def fits_double(value: int | Decimal) -> bool:
    """Say whether a spreadsheet, which keeps 15 digits, keeps all digits of a number."""
    return Decimal(format(Decimal(value).normalize(), ".15G")) == value
