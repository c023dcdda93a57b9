"""Read CSV files row by row, and gather what is wrong with them: the part that all feeds in files share.

A file is UTF-8, with or without a byte order mark; its cells are separated by commas or semicolons and may be quoted,
also over several lines (RFC 4180). A row is read when it is asked for: a million take no more memory than one.
"""

import csv
import io
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Protocol

from ledger.providers.base import Adapter, Fault, FileRefused, KeySeen, Page, Row, Source, Span

MOST_FAULTS = 200
LARGEST = Decimal(10) ** 15
FILE, ROW = "the file", "the whole line"
NUMBER = re.compile(r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
NO_NUMBER = "is not a number: write it like 1234.5, with a point and nothing between thousands"
FORMULA_QUOTE = re.compile(r"'(?=[=+\-@\t\r])")


Tell = Callable[[int], None]
"""Is told of every line of a file, counted from 1, once it is read; the last one too."""


def tell_nobody(line: int) -> None:
    """Tell nobody how far a reading is."""


@dataclass
class Findings:
    """What a reading finds: the first 200 faults, how many there are beyond them, and what people should know.

    `left_out` counts rows of other services by their name, `no_class` rows of tokens whose class was not found by their
    meter, `moved` corrections that count on another day; `rounded` amounts had more than 12 places, and rounding them
    made `rounded_by` of difference in all. While it reads, `tell` is told how far it is.
    """

    faults: list[Fault] = field(default_factory=list)
    more: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    no_class: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    rounded: int = 0
    rounded_by: Decimal = Decimal(0)
    tell: Tell = field(default=tell_nobody, repr=False, compare=False)

    def say(self, line: int, column: str, message: str) -> None:
        """Note a fault; beyond 200 they are only counted."""
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(line, column, message))
        else:
            self.more += 1

    @property
    def count(self) -> int:
        """Return how many faults there are, those beyond the listed ones too."""
        return len(self.faults) + self.more

    @property
    def as_text(self) -> str:
        """Return the listed faults, one a line, to be passed on."""
        return "\n".join(f"Line {fault.line}\t{fault.column}\t{fault.message}" for fault in self.faults)

    def raise_faults(self) -> None:
        """Raise FileRefused when anything was wrong; the last fault says how many more there are than are listed."""
        if self.faults:
            more = [Fault(self.faults[-1].line, FILE, f"and {self.more} more")] if self.more else []
            raise FileRefused([*self.faults, *more])


class Wrong(ValueError):
    """A cell cannot be read; says why."""


class _Places(dict[str, int | None]):
    """Where columns stand, by their names as they are asked for; None for one that the file has not."""

    def __init__(self, columns: dict[str, int]) -> None:
        self.columns = columns
        super().__init__()

    def __missing__(self, column: str) -> int | None:
        place = self[column] = self.columns.get(column.lower())
        return place


class Cells:
    """The cells of one row, by the names of their columns; a cell that is wrong is noted and read as nothing."""

    def __init__(self, columns: dict[str, int], findings: Findings) -> None:
        self.places, self.findings = _Places(columns), findings
        self.line, self.values, self.is_good = 0, list[str](), True

    def put(self, line: int, values: list[str]) -> None:
        """Go to the next row."""
        self.line, self.values, self.is_good = line, values, True

    def text(self, column: str) -> str:
        """Return a cell without spaces around it; blank where the file has no such column."""
        place = self.places[column]
        return "" if place is None else self.values[place].strip()

    def wrong(self, column: str, message: str) -> None:
        """Note that a cell is wrong."""
        self.is_good = False
        self.findings.say(self.line, column, message)

    def short(self, column: str, most: int) -> str:
        """Return a text of at most so many characters."""
        text = self.text(column)
        if len(text) > most:
            self.wrong(column, f"has {len(text)} characters, at most {most} can be kept")
        return text

    def number(self, column: str) -> Decimal | None:
        """Return a cell's number exactly as it is written; None where it is blank or wrong."""
        text = self.text(column)
        if not text:
            return None
        try:
            return number(text)
        except Wrong as wrong:
            self.wrong(column, str(wrong))
            return None

    def whole(self, column: str) -> int:
        """Return a cell's count, 0 where it is blank; notes a fault for fractions and for less than nothing."""
        value = self.number(column)
        if value is None:
            return 0
        if value < 0 or value != int(value):
            self.wrong(column, f"“{self.text(column)}” is not a count: a whole number, zero or more")
            return 0
        return int(value)

    def one_of(self, column: str, choices: dict[str, str]) -> str:
        """Return what a cell stands for among choices; their own words are listed in the fault."""
        text = self.text(column)
        if text in choices:
            return choices[text]
        if text.lower() not in choices:
            said = ", ".join(choice for choice in choices if choice)
            self.wrong(column, f"“{shown(text)}” is not known: one of {said}" if text else f"is blank: one of {said}")
            return ""
        return choices[text.lower()]


def number(text: str) -> Decimal:
    """Return a number exactly as it is written; raises Wrong for anything else, NaN and thousands separators too."""
    if not NUMBER.fullmatch(text):
        raise Wrong(f"“{shown(text)}” {NO_NUMBER}")
    value = Decimal(text)
    if abs(value) >= LARGEST:
        raise Wrong(f"“{shown(text)}” is too large")
    return value


def shown(text: str) -> str:
    """Return a text as it is said in a fault: short, and on one line."""
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 40 else f"{one_line[:39]}…"


def day_of(text: str) -> date:
    """Return a day written as 2026-11-05; raises Wrong."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise Wrong(f"“{shown(text)}” is not a day: write it like 2026-11-05")


def unquoted(text: str) -> str:
    """Return a text without the quote that exports put before what a spreadsheet would run as a formula."""
    return FORMULA_QUOTE.sub("", text, count=1) if text.startswith("'") else text


@dataclass(frozen=True, slots=True)
class Located:
    """A row of figures and the line of the file that it begins on, from 1."""

    line: int
    row: Row


class FileAdapter(Adapter, Protocol):
    """A source of figures that come in files."""

    day_column: str
    currency_column: str
    header: tuple[str, ...]

    def read(self, body: bytes, findings: Findings) -> Iterator[Located]:
        """Read the good rows of a file one by one, and note what is wrong with the others."""
        ...

    def sample(self) -> str:
        """Return a short file that can be imported as it is."""
        ...


class FileReading(ABC):
    """What every adapter of files does the same: nothing over the network, and all rows of a file or none."""

    @abstractmethod
    def read(self, body: bytes, findings: Findings) -> Iterator[Located]:
        """Read the good rows of a file one by one, and note what is wrong with the others."""

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Fetch nothing: a file is imported."""
        return iter(())

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of a file that belong to a span; raises FileRefused at its end when anything is wrong."""
        findings = Findings()
        for located in self.read(body, findings):
            if located.row.day in span:
                yield located.row
        findings.raise_faults()

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """List nothing: a file has no list of keys."""
        return iter(())


@dataclass
class Told(FileReading):
    """An adapter of files that tells how far it has read."""

    adapter: FileAdapter
    tell: Tell
    gives_tokens = gives_money = True

    def read(self, body: bytes, findings: Findings) -> Iterator[Located]:
        """Read as the adapter does."""
        findings.tell = self.tell
        return self.adapter.read(body, findings)


def lines_of(body: bytes) -> int:
    """Return how many lines a file has, whatever they end with."""
    ends = max(body.count(b"\n"), body.count(b"\r"))
    return ends if body.endswith((b"\n", b"\r")) else ends + 1


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file and the line that it begins on, from 1."""

    line: int
    values: list[str]


def records(body: bytes, findings: Findings) -> Iterator[Record]:
    """Go through the records of a file, the header first; blank lines are passed over.

    What cannot be read at all (no UTF-8, a quote without its end) is noted, and ends the file.
    """
    if b"\0" in body:
        findings.say(body.count(b"\n", 0, body.index(b"\0")) + 1, FILE, "is not text: save it as CSV in UTF-8")
        return
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
    reader = csv.reader(text, delimiter=_delimiter(body), strict=True)
    line = 1
    try:
        for values in reader:
            if any(values):
                yield Record(line, values)
            findings.tell(reader.line_num)
            line = reader.line_num + 1
    except UnicodeDecodeError:
        findings.say(_not_utf8(body), FILE, "is not UTF-8: save it as CSV in UTF-8")
    except csv.Error as error:
        findings.say(line, ROW, f"cannot be read ({error}): a quote inside quotes is written twice")


def _delimiter(body: bytes) -> str:
    header = body[: body.find(b"\n")] if b"\n" in body else body
    return ";" if header.count(b";") > header.count(b",") else ","


def _not_utf8(body: bytes) -> int:
    for line, raw in enumerate(io.BytesIO(body), 1):
        try:
            raw.decode()
        except UnicodeDecodeError:
            return line
    return 1


def table(body: bytes, needed: tuple[str, ...], findings: Findings) -> Iterator[Cells]:
    """Go through the rows below the header as cells; the same object each time, at another row.

    Notes a header that lacks a column or has one twice, and rows that have more or fewer cells than the header.
    """
    wanted = records(body, findings)
    header = next(wanted, None)
    if header is None:
        if not findings.faults:
            findings.say(1, FILE, "is empty")
        return
    cells = Cells(header_of(header, needed, findings), findings)
    if findings.faults:
        return
    width = len(header.values)
    for record in wanted:
        if len(record.values) != width:
            findings.say(record.line, ROW, f"has {len(record.values)} cells, the header has {width}")
            continue
        cells.put(record.line, record.values)
        yield cells


def header_of(header: Record, needed: tuple[str, ...], findings: Findings) -> dict[str, int]:
    """Return where each column stands, by its name in small letters; notes what is missing and what is there twice."""
    columns: dict[str, int] = {}
    for place, name in enumerate(name.strip().lower() for name in header.values):
        if name in columns and name:
            findings.say(header.line, name, "is there twice")
        columns[name] = place
    for name in needed:
        if name.lower() not in columns:
            findings.say(header.line, name, "is missing from the header")
    return columns
