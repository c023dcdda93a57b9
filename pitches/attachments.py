"""What may be attached to a pitch, and how a file is looked at before it is kept. A leaf: it imports no models.

A file is what its name, its own bytes and its sender say, all three, or it is refused. Each kind is checked from its
first byte to its last, so that nothing hides before or behind it: a file that is two kinds at once is neither.
"""

import csv
import io
import re
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.db import models

from teams.errors import Refused

LARGEST = 5_000_000
"""Bytes of one file: 5 MB."""
MOST_FILES = 10
"""Files of one draft, and so of one revision."""
LONGEST_NAME = 100
"""Characters of a name, extension included."""
MOST_PARTS = 2_000
"""Parts of an Office file."""
LARGEST_UNPACKED = 100_000_000
"""Bytes of an Office file once it is unpacked; more is a bomb."""
LARGEST_INDEX = 1_000_000
"""Bytes of the part that says what an Office file is."""


class FileKind(models.TextChoices):
    """The kinds of files that a pitch takes, by extension."""

    PDF = "pdf", "PDF"
    PNG = "png", "PNG"
    JPEG = "jpg", "JPEG"
    CSV = "csv", "CSV"
    TXT = "txt", "Text"
    MD = "md", "Markdown"
    XLSX = "xlsx", "Excel"
    DOCX = "docx", "Word"


EXTENSIONS: Mapping[str, FileKind] = MappingProxyType(
    {**{kind.value: kind for kind in FileKind}, "jpeg": FileKind.JPEG}
)
OFFICE = "application/vnd.openxmlformats-officedocument."
MEDIA_TYPES: Mapping[FileKind, str] = MappingProxyType(
    {
        FileKind.PDF: "application/pdf",
        FileKind.PNG: "image/png",
        FileKind.JPEG: "image/jpeg",
        FileKind.CSV: "text/csv; charset=utf-8",
        FileKind.TXT: "text/plain; charset=utf-8",
        FileKind.MD: "text/markdown; charset=utf-8",
        FileKind.XLSX: f"{OFFICE}spreadsheetml.sheet",
        FileKind.DOCX: f"{OFFICE}wordprocessingml.document",
    }
)
"""What a kind is served as."""
ALSO_DECLARED: Mapping[FileKind, frozenset[str]] = MappingProxyType(
    {
        FileKind.JPEG: frozenset({"image/jpg", "image/pjpeg"}),
        FileKind.CSV: frozenset({"application/csv", "application/vnd.ms-excel", "text/plain"}),
        FileKind.MD: frozenset({"text/x-markdown", "text/plain"}),
    }
)
"""What browsers say instead of a kind's own type; Windows calls a CSV an Excel file."""
UNDECLARED = frozenset({"", "application/octet-stream", "binary/octet-stream"})
"""A sender that does not know the kind says this; name and content decide then."""
ACCEPTED = ",".join(f".{extension}" for extension in EXTENSIONS)
"""The attribute of a file input."""

MARKUP = re.compile(rb"<\s*(?:!doctype|html|head|body|script|svg|iframe|object|embed|\?php)\b", re.IGNORECASE)
ACTIVE = re.compile(rb"<\s*(?:html|script)\b", re.IGNORECASE)
FIRST = 1024  # readers of PDF and browsers look for their mark in the first kilobyte
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
DELIMITERS = ",;\t|"
NOT_IN_NAMES = re.compile(r'[<>:"|?*\\/]')
RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
FORBIDDEN_PARTS = re.compile(r"(?:vbaproject\.bin|\.(?:html?|xhtml|js|vbs|exe|dll|bat|ps1|hta))$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that may be kept: its cleaned name, its kind, its bytes."""

    name: str
    kind: FileKind
    content: bytes


def file_check(*, name: str, declared: str, content: bytes) -> Checked:
    """Return a file as it may be kept.

    `declared` is the media type that its sender gave. Raises Refused (file_empty, file_too_large, kind_not_taken,
    kind_declared_otherwise, kind_mismatch, file_two_kinds, file_active, file_damaged), each with the field `file`.
    """
    cleaned = name_clean(name)
    if not content:
        raise _refused("file_empty", f"{cleaned} is empty.")
    if len(content) > LARGEST:
        raise _refused("file_too_large", f"{cleaned} is larger than {LARGEST // 1_000_000} MB.")
    kind = EXTENSIONS.get(cleaned.rpartition(".")[2]) if "." in cleaned else None
    if kind is None:
        kinds = ", ".join(label for label in FileKind.labels)
        raise _refused("kind_not_taken", f"{cleaned} is of a kind that a pitch does not take. Taken are {kinds}.")
    said = declared.partition(";")[0].strip().lower()
    if said not in UNDECLARED | {MEDIA_TYPES[kind].partition(";")[0]} | ALSO_DECLARED.get(kind, frozenset()):
        raise _refused("kind_declared_otherwise", f"{cleaned} was sent as {said[:80]}, which is not {kind.label}.")
    CHECKS[kind](cleaned, content)
    return Checked(cleaned, kind, content)


def name_clean(name: str) -> str:
    """Return a file's name without path, control and direction characters, at most 100 characters long."""
    plain = unicodedata.normalize("NFC", name.replace("\\", "/").rpartition("/")[2])
    plain = "".join(" " if letter.isspace() else letter for letter in plain)
    plain = "".join(letter for letter in plain if not unicodedata.category(letter).startswith("C"))
    plain = " ".join(NOT_IN_NAMES.sub("_", plain).split()).strip(". ")
    stem, dot, extension = plain.rpartition(".")
    if not dot:
        return plain[:LONGEST_NAME] or "file"
    extension = extension.strip().lower()[:10]
    stem = stem.strip(". ")[: LONGEST_NAME - len(extension) - 1].rstrip(". ") or "file"
    if RESERVED.match(stem):
        stem = f"_{stem[:20]}"
    return f"{stem}.{extension}"


def _refused(code: str, message: str) -> Refused:
    return Refused(message, code=code, field="file")


def _is_not(name: str, kind: FileKind) -> Refused:
    return _refused("kind_mismatch", f"{name} is not {kind.label}, whatever its name says.")


def _damaged(name: str, kind: FileKind) -> Refused:
    return _refused("file_damaged", f"{name} is damaged: it cannot be read as {kind.label} to its end.")


def _two_kinds(name: str) -> Refused:
    return _refused("file_two_kinds", f"{name} is more than one kind of file at once.")


def _require_no_other_kind(name: str, content: bytes, *, pdf: bool = False, packed: bool = False) -> None:
    """Let a binary file pass that shows no mark of another kind; raises Refused (file_two_kinds)."""
    hides_pdf = not pdf and b"%PDF-" in content[:FIRST]
    hides_zip = not packed and zipfile.is_zipfile(io.BytesIO(content))
    if hides_pdf or hides_zip or MARKUP.search(content[:FIRST]):
        raise _two_kinds(name)


def _check_pdf(name: str, content: bytes) -> None:
    if not re.match(rb"%PDF-[12]\.\d", content):
        raise _is_not(name, FileKind.PDF)
    _require_no_other_kind(name, content, pdf=True)
    _, found, after = content.rpartition(b"%%EOF")
    if not found:
        raise _damaged(name, FileKind.PDF)
    if after.strip(b"\r\n\t \x00"):
        raise _two_kinds(name)
    if re.search(rb"/(?:JavaScript|Launch)\b", content):
        raise _refused("file_active", f"{name} carries a script or starts a program. Print it to a new PDF.")


def _check_png(name: str, content: bytes) -> None:
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise _is_not(name, FileKind.PNG)
    place, chunks = 8, []
    while place + 12 <= len(content) and b"IEND" not in chunks:
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        if end + 4 > len(content) or struct.unpack_from(">I", content, end)[0] != zlib.crc32(content[place + 4 : end]):
            raise _damaged(name, FileKind.PNG)
        chunks.append(content[place + 4 : place + 8])
        place = end + 4
    if chunks[:1] != [b"IHDR"] or b"IDAT" not in chunks or chunks[-1] != b"IEND":
        raise _damaged(name, FileKind.PNG)
    if place != len(content) or ACTIVE.search(content):
        raise _two_kinds(name)
    _require_no_other_kind(name, content)


def _check_jpeg(name: str, content: bytes) -> None:
    if not content.startswith(b"\xff\xd8\xff"):
        raise _is_not(name, FileKind.JPEG)
    place = 2
    while content[place : place + 2] != b"\xff\xda":  # up to the picture itself, segment by segment
        if place + 4 > len(content) or content[place] != 0xFF:
            raise _damaged(name, FileKind.JPEG)
        place += 2 + max(struct.unpack_from(">H", content, place + 2)[0], 2)
    # Telephones append a second picture, which ends like the first; anything else does not.
    end = content.rstrip(b"\x00")
    if b"\xff\xd9" not in content[place:]:
        raise _damaged(name, FileKind.JPEG)
    if not end.endswith(b"\xff\xd9") or ACTIVE.search(content):
        raise _two_kinds(name)
    _require_no_other_kind(name, content)


def _text_of(name: str, content: bytes, kind: FileKind) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused("kind_mismatch", f"{name} is not text in UTF-8. Save it as UTF-8.") from error
    if CONTROLS.search(text):
        raise _is_not(name, kind)
    if MARKUP.search(content) or text.lstrip().startswith("<?xml"):
        raise _refused("file_active", f"{name} holds HTML or SVG, which a pitch does not take.")
    if "%PDF-" in text[:FIRST]:
        raise _two_kinds(name)
    return text


def _check_csv(name: str, content: bytes) -> None:
    text = _text_of(name, content, FileKind.CSV)
    if not any(_is_table(text, delimiter) for delimiter in DELIMITERS):
        raise _is_not(name, FileKind.CSV)


def _is_table(text: str, delimiter: str) -> bool:
    try:
        return sum(map(bool, csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))) > 0
    except csv.Error:
        return False


def _check_txt(name: str, content: bytes) -> None:
    _text_of(name, content, FileKind.TXT)


def _check_md(name: str, content: bytes) -> None:
    _text_of(name, content, FileKind.MD)


@dataclass(frozen=True, slots=True)
class Package:
    """What makes a package an Office file: its main part and that part's type."""

    kind: FileKind
    main: str
    content_type: str


PACKAGES = (
    Package(FileKind.XLSX, "xl/workbook.xml", f"{OFFICE}spreadsheetml.sheet.main+xml"),
    Package(FileKind.DOCX, "word/document.xml", f"{OFFICE}wordprocessingml.document.main+xml"),
)


def _check_package(name: str, content: bytes, kind: FileKind) -> None:
    if not content.startswith(b"PK\x03\x04"):
        raise _is_not(name, kind)
    _require_no_other_kind(name, content, packed=True)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            _require_whole(name, content, package, kind)
            _require_kind(name, package, kind)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, UnicodeDecodeError) as error:
        raise _damaged(name, kind) from error


def _require_whole(name: str, content: bytes, package: zipfile.ZipFile, kind: FileKind) -> None:
    """Let a package pass that begins and ends with itself and unpacks to a sane size."""
    parts = package.infolist()
    if not parts or min(part.header_offset for part in parts) != 0 or content[-22:-18] != b"PK\x05\x06":
        raise _two_kinds(name)
    names = [part.filename for part in parts]
    unsafe = any(part.startswith("/") or "\\" in part or ".." in part.split("/") for part in names)
    if unsafe or len(set(names)) != len(names) or any(part.flag_bits & 1 for part in parts):
        raise _damaged(name, kind)
    if len(parts) > MOST_PARTS or sum(part.file_size for part in parts) > LARGEST_UNPACKED:
        raise _refused("file_too_large", f"{name} unpacks to more than a pitch takes.")


def _require_kind(name: str, package: zipfile.ZipFile, kind: FileKind) -> None:
    """Let a package pass that is the kind it is named after, that alone, and carries no program."""
    names = {part.filename for part in package.infolist()}
    if "[Content_Types].xml" not in names or package.getinfo("[Content_Types].xml").file_size > LARGEST_INDEX:
        raise _is_not(name, kind)
    index = package.read("[Content_Types].xml").decode()
    if "macroenabled" in index.lower() or any(FORBIDDEN_PARTS.search(part) for part in names):
        raise _refused("file_active", f"{name} carries macros or programs. Save it without.")
    found = [one.kind for one in PACKAGES if one.main in names and f'"{one.content_type}"' in index]
    if len(found) > 1:
        raise _two_kinds(name)
    if found != [kind]:
        raise _is_not(name, kind)


def _check_xlsx(name: str, content: bytes) -> None:
    _check_package(name, content, FileKind.XLSX)


def _check_docx(name: str, content: bytes) -> None:
    _check_package(name, content, FileKind.DOCX)


CHECKS: Mapping[FileKind, Callable[[str, bytes], None]] = MappingProxyType(
    {
        FileKind.PDF: _check_pdf,
        FileKind.PNG: _check_png,
        FileKind.JPEG: _check_jpeg,
        FileKind.CSV: _check_csv,
        FileKind.TXT: _check_txt,
        FileKind.MD: _check_md,
        FileKind.XLSX: _check_xlsx,
        FileKind.DOCX: _check_docx,
    }
)
