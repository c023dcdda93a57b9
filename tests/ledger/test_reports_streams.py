"""Files of reports are sent while they are read: memory does not grow with rows, and every digit arrives."""

import asyncio
import csv
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import ClassVar
from zipfile import ZipFile

import pytest

from ledger.reports.base import Choice, Column, Kind, Report, Row, Tie
from ledger.reports.files import Asked, csv_file, fits_double, json_file, xlsx_file
from ledger.streams import FileStream
from teams.models import User

MEBIBYTE = 1024 * 1024
AT = datetime(2027, 3, 14, 9, 30, tzinfo=UTC)


class Long(Report):
    """A report of as many rows as a test wants, which counts how many were asked for."""

    slug = "long"
    title = "Long"
    purpose = "How long is it?"
    group = "Tests"
    filters: ClassVar = frozenset()
    read = 0

    def __init__(self, length: int) -> None:
        self.length = length

    def columns(self, choice: Choice) -> Sequence[Column]:
        return [
            Column("name", "Name"),
            Column("on", "On", Kind.DATE),
            Column("at", "At, UTC", Kind.TIME),
            Column("tokens", "Tokens", Kind.COUNT, "tokens"),
            Column("cost", "Cost", Kind.MONEY, "USD"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        for number in range(self.length):
            self.read += 1
            cost = Decimal(number) + Decimal("0.000000000001")
            yield Row((f"=cmd|{number}", date(2027, 3, 14), AT, number, cost))

    def ties(self, choice: Choice) -> list[Tie]:
        return [Tie("Cost", "USD", Decimal("12.5"), Decimal(12), "Metered accounts", "Half a dollar is on its way.")]

    def notes(self, choice: Choice) -> list[str]:
        return ["Made for a test."]


def asked(report: Report) -> Asked:
    choice = Choice(date(2027, 3, 1), date(2027, 3, 31), AT)
    return Asked(report, choice, User(), {"team": "claims"}, report.columns(choice), report.ties(choice))


def whole(stream: FileStream) -> bytes:
    return b"".join(stream)


@pytest.mark.parametrize("write", [csv_file, json_file])
def test_a_hundred_thousand_rows_need_no_more_memory_than_a_few(write: Callable[[Asked], FileStream]) -> None:
    tracemalloc.start()
    stream = write(asked(Long(100_000)))
    size = sum(len(part) for part in stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert size > 5 * MEBIBYTE
    assert peak < 2 * MEBIBYTE


def test_a_workbook_of_many_rows_is_written_row_by_row() -> None:
    tracemalloc.start()
    stream = xlsx_file(asked(Long(10_000)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(whole(stream)) > 100_000
    assert peak < 4 * MEBIBYTE


@pytest.mark.parametrize(("length", "sheets"), [(0, [0]), (20, [10, 10]), (25, [10, 10, 5])])
def test_a_workbook_goes_on_in_another_sheet_where_one_is_full(length: int, sheets: list[int]) -> None:
    book = ZipFile(BytesIO(whole(xlsx_file(asked(Long(length)), sheet_rows=10))))

    texts = [book.read(f"xl/worksheets/sheet{number}.xml").decode() for number in range(2, 2 + len(sheets))]
    assert [text.count("<row ") - 1 for text in texts] == sheets  # beside the names of the columns
    assert re.findall("=cmd.([0-9]+)", "".join(texts)) == [str(number) for number in range(length)]
    assert f"xl/worksheets/sheet{2 + len(sheets)}.xml" not in book.namelist()


def test_an_asynchronous_server_sends_the_first_part_before_the_last_row_is_read() -> None:
    report = Long(100_000)
    stream = csv_file(asked(report))

    async def first() -> bytes:
        async for part in stream:
            return part
        return b""

    assert asyncio.run(first()).startswith(b"# Tank,long\r\n")
    assert 0 < report.read < 10_000


def test_an_asynchronous_server_gets_all_of_it() -> None:
    async def everything() -> bytes:
        return b"".join([part async for part in csv_file(asked(Long(5000)))])

    assert asyncio.run(everything()) == whole(csv_file(asked(Long(5000))))


def test_a_csv_file_says_what_it_is_and_runs_no_formula() -> None:
    lines = list(csv.reader(whole(csv_file(asked(Long(1)))).decode().splitlines()))

    assert lines == [
        ["# Tank", "long"],
        ["# Report", "Long"],
        ["# As of, UTC", "2027-03-14T09:30:00Z"],
        ["# Currency", "USD"],
        ["# Filter: team", "claims"],
        ["# Unit of tokens", "tokens"],
        ["# Unit of cost", "USD"],
        ["# Cost, USD", "12.5"],
        ["# Cost, Metered accounts, USD", "12"],
        ["# Note", "Made for a test."],
        ["name", "on", "at", "tokens", "cost"],
        ["'=cmd|0", "2027-03-14", "2027-03-14T09:30:00Z", "0", "0.000000000001"],
    ]


def test_a_json_file_has_an_envelope_and_exact_amounts() -> None:
    data = json.loads(whole(json_file(asked(Long(2)))))

    assert data["filters"] == {"team": "claims"}
    assert data["as_of"] == "2027-03-14T09:30:00Z"
    assert data["ties"] == [
        {
            "label": "Cost",
            "currency": "USD",
            "reported": "12.5",
            "in_ledger": "12",
            "difference": "0.5",
            "accounts": "Metered accounts",
            "explained": "Half a dollar is on its way.",
        }
    ]
    assert data["rows"][1] == {
        "name": "=cmd|1",
        "on": "2027-03-14",
        "at": "2027-03-14T09:30:00Z",
        "tokens": 1,
        "cost": "1.000000000001",
    }
    assert json.loads(whole(json_file(asked(Long(0)))))["rows"] == []


def test_a_workbook_keeps_numbers_that_a_spreadsheet_can_hold_and_writes_the_others_as_text() -> None:
    book = ZipFile(BytesIO(whole(xlsx_file(asked(Long(1001))))))

    rows = book.read("xl/worksheets/sheet2.xml").decode()
    assert re.search(r'<c r="E2" s="\d+"><v>1E-12</v></c>', rows)
    assert '<c r="E1002" t="inlineStr"><is><t>1000.000000000001</t></is></c>' in rows
    assert '<c r="A2" t="inlineStr"><is><t>=cmd|0</t></is></c>' in rows
    assert "<f>" not in rows


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (Decimal("0.1"), True),
        (Decimal("123456789012345"), True),
        (Decimal("1234567890123456"), False),
        (Decimal("1000.000000000001"), False),
        (Decimal("1.50"), True),
        (10**15, True),
        (0, True),
    ],
)
def test_fifteen_digits_fit_a_spreadsheet(value: Decimal | int, fits: bool) -> None:
    assert fits_double(value) is fits
