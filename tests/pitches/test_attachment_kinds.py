"""What is taken as a file: kinds that are plainly one thing, names that are plain, requests that are not too large."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.asgi import most_bytes
from pitches.attachments import LARGEST, LONGEST_NAME, file_check, name_clean
from teams.errors import Refused
from tests.pitches import files

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
BOTH = files.package(
    {
        "[Content_Types].xml": files.index(files.SHEET, files.LETTER),
        "xl/workbook.xml": "<workbook/>",
        "word/document.xml": "<document/>",
    }
)
ZIP = files.package({"readme.txt": "a plain archive"})
MACROS = files.package(
    {"[Content_Types].xml": files.index(files.LETTER), "word/document.xml": "", "word/vbaProject.bin": "Sub"}
)
MACRO_KIND = files.package(
    {"[Content_Types].xml": files.index("application/vnd.ms-word.document.macroEnabled.main+xml")}
)
CLIMBING = files.package(
    {"[Content_Types].xml": files.index(files.LETTER), "word/document.xml": "", "../../etc/cron.d/x": ""}
)
BOMB = files.package(
    {
        "[Content_Types].xml": files.index(files.SHEET),
        "xl/workbook.xml": "",
        **{f"xl/{part}": "0" * 20_000_000 for part in range(6)},
    }
)
REFUSED: dict[str, tuple[str, str, bytes, str]] = {
    # story: name, what it was sent as, its bytes, the code of the refusal
    "an empty file": ("plan.pdf", "application/pdf", b"", "file_empty"),
    "one byte too many": ("notes.txt", "text/plain", b"a" * (LARGEST + 1), "file_too_large"),
    "a program": ("setup.exe", "application/octet-stream", b"MZ", "kind_not_taken"),
    "a page": ("page.html", "text/html", files.MARKUP, "kind_not_taken"),
    "a drawing that can run scripts": ("logo.svg", "image/svg+xml", SVG, "kind_not_taken"),
    "a name without a kind": ("README", "text/plain", files.TXT, "kind_not_taken"),
    "a kind only before the last dot": ("plan.pdf.html", "application/pdf", files.PDF, "kind_not_taken"),
    "macros by their name": ("letter.docm", "", files.DOCX, "kind_not_taken"),
    "a page sent as text": ("notes.txt", "text/html", files.TXT, "kind_declared_otherwise"),
    "a picture sent as a PDF": ("chart.png", "application/pdf", files.PNG, "kind_declared_otherwise"),
    "a page named PDF": ("plan.pdf", "application/pdf", files.MARKUP, "kind_mismatch"),
    "a picture named PDF": ("plan.pdf", "application/pdf", files.PNG, "kind_mismatch"),
    "a JPEG named PNG": ("chart.png", "image/png", files.JPEG, "kind_mismatch"),
    "a PNG named JPEG": ("desk.jpg", "image/jpeg", files.PNG, "kind_mismatch"),
    "text named Excel": ("costs.xlsx", "", files.CSV, "kind_mismatch"),
    "a PDF after a page": ("plan.pdf", "application/pdf", files.MARKUP + files.PDF, "kind_mismatch"),
    "a plain archive named Word": ("letter.docx", "", ZIP, "kind_mismatch"),
    "Excel named Word": ("letter.docx", "", files.XLSX, "kind_mismatch"),
    "Word named Excel": ("costs.xlsx", "", files.DOCX, "kind_mismatch"),
    "bytes named text": ("notes.txt", "text/plain", b"\xff\xfe\x00\x01", "kind_mismatch"),
    "control characters in text": ("notes.md", "text/plain", b"a\x00b", "kind_mismatch"),
    "no table at all": ("calls.csv", "text/csv", b"\n\n", "kind_mismatch"),
    "an archive behind a PDF": ("plan.pdf", "application/pdf", files.PDF + ZIP, "file_two_kinds"),
    "a page behind a PDF": ("plan.pdf", "application/pdf", files.PDF + files.MARKUP, "file_two_kinds"),
    "a page at the head of a PDF": ("plan.pdf", "", b"%PDF-1.4\n" + files.MARKUP + files.PDF, "file_two_kinds"),
    "an archive behind a picture": ("chart.png", "image/png", files.PNG + ZIP, "file_two_kinds"),
    "a script inside a picture": (
        "chart.png",
        "image/png",
        files.PNG[:33] + files.chunk(b"tEXt", b"Title\x00<script>alert(1)</script>") + files.PNG[33:],
        "file_two_kinds",
    ),
    "an archive behind a JPEG": ("desk.jpg", "image/jpeg", files.JPEG + ZIP, "file_two_kinds"),
    "something behind a JPEG": ("desk.jpg", "image/jpeg", files.JPEG + b"more", "file_two_kinds"),
    "a PDF inside text": ("notes.txt", "text/plain", b"see\n%PDF-1.4\n", "file_two_kinds"),
    "Word and Excel at once": ("costs.xlsx", "", BOTH, "file_two_kinds"),
    "something before the archive": ("letter.docx", "", b"PK\x03\x04junk" + files.DOCX, "file_two_kinds"),
    "something behind the archive": ("letter.docx", "", files.DOCX + b"\n<html>", "file_two_kinds"),
    "a page named text": ("notes.txt", "text/plain", files.MARKUP, "file_active"),
    "a drawing named Markdown": ("notes.md", "text/markdown", SVG, "file_active"),
    "a script in a table": ("calls.csv", "text/csv", b"name\n< ScRiPt>alert(1)</script>\n", "file_active"),
    "XML named text": ("notes.txt", "text/plain", b'<?xml version="1.0"?><a/>', "file_active"),
    "a PDF with a script": (
        "plan.pdf",
        "application/pdf",
        files.PDF.replace(b"/Catalog", b"/Catalog /OpenAction << /S /JavaScript >>"),
        "file_active",
    ),
    "a letter with macros": ("letter.docx", "", MACROS, "file_active"),
    "a letter that says it has macros": ("letter.docx", "", MACRO_KIND, "file_active"),
    "a PDF without an end": ("plan.pdf", "application/pdf", files.PDF[:-7], "file_damaged"),
    "half a picture": ("chart.png", "image/png", files.PNG[:-20], "file_damaged"),
    "a picture with another sum": ("chart.png", "image/png", files.PNG[:-13] + b"!" + files.PNG[-12:], "file_damaged"),
    "half a JPEG": ("desk.jpg", "image/jpeg", files.JPEG[:-2], "file_damaged"),
    "half an archive": ("letter.docx", "", files.DOCX[:-30], "file_damaged"),
    "parts that climb out": ("letter.docx", "", CLIMBING, "file_damaged"),
    "a bomb": ("costs.xlsx", "", BOMB, "file_too_large"),
}


@pytest.mark.parametrize("story", REFUSED)
def test_what_is_not_plainly_one_kind_is_refused(story: str) -> None:
    name, declared, content, code = REFUSED[story]

    with pytest.raises(Refused) as refused:
        file_check(name=name, declared=declared, content=content)

    assert (refused.value.code, refused.value.field) == (code, "file")


def test_a_file_of_exactly_five_megabytes_is_taken() -> None:
    assert len(file_check(name="notes.txt", declared="text/plain", content=b"a" * LARGEST).content) == LARGEST


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("C:\\Users\\Ana\\Plan 2027.PDF", "Plan 2027.pdf"),
        ("../../etc/passwd.txt", "passwd.txt"),
        ("a\r\nSet-Cookie: x=1.txt", "a Set-Cookie_ x=1.txt"),
        ("\u202efdp.exe.txt", "fdp.exe.txt"),
        ("  .hidden.txt", "hidden.txt"),
        ('"quoted" <b>.md', "_quoted_ _b_.md"),
        ("con.txt", "_con.txt"),
        (".txt", "txt"),
        ("Kosten für März.csv", "Kosten für März.csv"),
        ("x" * 300 + ".csv", "x" * 96 + ".csv"),
    ],
)
def test_names_are_cleaned(typed: str, kept: str) -> None:
    assert name_clean(typed) == kept


@given(st.text(max_size=300))
def test_a_cleaned_name_is_plain_short_and_stays_as_it_is(typed: str) -> None:
    name = name_clean(typed)

    assert 1 <= len(name) <= LONGEST_NAME
    assert not set(name) & set('/\\:*?"<>|\x00\r\n')
    assert name_clean(name) == name


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/pitches/7/attachments/", 16 * 1024 * 1024),
        ("/api/v1/pitches/7/attachments/", 16 * 1024 * 1024),
        ("/pitches/7/attachments/9/remove/", 2 * 1024 * 1024),
        ("/pitches/7/edit/", 2 * 1024 * 1024),
        ("/evil/pitches/7/attachments/", 2 * 1024 * 1024),
    ],
)
def test_only_where_files_are_sent_a_request_may_be_large(path: str, most: int) -> None:
    assert most_bytes(path) == most
    assert LARGEST < 16 * 1024 * 1024
