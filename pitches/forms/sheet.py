"""Line items from a CSV file: read whole, checked by the form's own rules, all of it or nothing."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field

from ledger.models import Tier
from pitches.forms.rows import MOST_ROWS, ItemForm
from pitches.questions import Evidence

COLUMNS = tuple(ItemForm.base_fields)
NEEDED = frozenset(name for name, asked in ItemForm.base_fields.items() if asked.required)
EXAMPLE = ("Read and sort a claim", "standard", "10000", "5000", "15000", "4500", "3000", "150", "20", "measured")
TEMPLATE = f"{','.join(COLUMNS)}\r\n{','.join(EXAMPLE)}\r\n"
MOST_BYTES = 100_000
MOST_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, on which line of the file and in which column; no column: with the line as a whole."""

    line: int
    column: str
    message: str


@dataclass(slots=True)
class Sheet:
    """What a file says: rows as the form types them, and everything that is wrong."""

    rows: list[dict[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Say whether it can be imported."""
        return bool(self.rows) and not self.problems


def sheet_decode(content: bytes) -> str | None:
    """Return the text of a file in UTF-8, with or without a mark at its beginning; None for anything else."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def sheet_read(text: str) -> Sheet:
    """Read line items with a header line; separators are commas, semicolons or tabs, as the header has them."""
    sheet = Sheet()
    if len(text.encode()) > MOST_BYTES:
        sheet.problems.append(Problem(1, "", f"More than {MOST_BYTES:,} bytes."))
        return sheet
    lines = _lines(text.removeprefix("\ufeff"), sheet)
    first = next(lines, None)
    if first is None:
        if not sheet.problems:
            sheet.problems.append(Problem(1, "", "There is nothing in it."))
        return sheet
    header = [name.strip().lower() for name in first[1]]
    if not _header_is_good(header, first[0], sheet):
        return sheet
    for number, cells in lines:
        _row(header, number, cells, sheet)
    if not sheet.rows and not sheet.problems:
        sheet.problems.append(Problem(first[0], "", "There are no rows under the header."))
    if len(sheet.rows) > MOST_ROWS:
        sheet.problems.append(Problem(first[0], "", f"{len(sheet.rows)} rows; a pitch has at most {MOST_ROWS}."))
    return sheet


def _lines(text: str, sheet: Sheet) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines that say something, each with the number of the line of the file that it begins on."""
    header = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    before = 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield before + 1, cells
            before = reader.line_num
    except csv.Error as error:
        sheet.problems.append(Problem(before + 1, "", f"This line cannot be read: {error}."))


def _header_is_good(header: list[str], line: int, sheet: Sheet) -> bool:
    found = len(sheet.problems)
    for name in sorted(NEEDED - set(header), key=COLUMNS.index):
        sheet.problems.append(Problem(line, name, "This column is missing."))
    for place, name in enumerate(header):
        if name not in COLUMNS:
            sheet.problems.append(Problem(line, name or f"column {place + 1}", "There is no such column."))
        elif name in header[:place]:
            sheet.problems.append(Problem(line, name, "This column is there twice."))
    return len(sheet.problems) == found


def _row(header: list[str], number: int, cells: list[str], sheet: Sheet) -> None:
    if len(sheet.problems) >= MOST_PROBLEMS:
        return
    if len(cells) != len(header):
        message = f"{len(cells)} cells under {len(header)} columns."
        sheet.problems.append(Problem(number, "", message))
        return
    said = {name: cell.strip().replace("\x00", "") for name, cell in zip(header, cells, strict=True)}
    row = {name: text for name, text in said.items() if text}
    row |= {name: codes.get(row[name].lower(), row[name]) for name, codes in WORDS.items() if name in row}
    form = ItemForm(row)
    if not form.is_valid():
        columns = [name for name in header if name in form.errors]
        found = (Problem(number, name, str(message)) for name in columns for message in form.errors[name])
        sheet.problems.extend(found)
    sheet.rows.append(row)


WORDS = {
    "tier": {word.lower(): tier.value for tier in Tier for word in (tier.value, tier.label)},
    "evidence": {word.lower(): label.value for label in Evidence for word in (label.value, label.word)},
}
"""Words that mean one of a column's codes, in small letters."""
