"""Files to attach: one of every kind that is taken, each the smallest that is really one."""

import io
import struct
import zipfile
import zlib

OFFICE = "application/vnd.openxmlformats-officedocument."
PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n"
CSV = b"month,calls\nJan,1200\nFeb,-300\n"
TXT = b"Two people read every claim first.\n"
MD = b"# Measured\n\n94 of 100, **as two people would**.\n"
MARKUP = b"<!DOCTYPE html><script>alert(1)</script>"


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\x00\xff"))
    + chunk(b"IEND", b"")
)
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x7f\xff\xd9"
)


def package(parts: dict[str, str]) -> bytes:
    """Return parts as one zip."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return whole.getvalue()


def index(*content_types: str) -> str:
    """Return the part of an Office file that says what it is."""
    return "<Types>" + "".join(f'<Override ContentType="{one}"/>' for one in content_types) + "</Types>"


SHEET, LETTER = f"{OFFICE}spreadsheetml.sheet.main+xml", f"{OFFICE}wordprocessingml.document.main+xml"
XLSX = package({"[Content_Types].xml": index(SHEET), "xl/workbook.xml": "<workbook/>"})
DOCX = package({"[Content_Types].xml": index(LETTER), "word/document.xml": "<document/>"})

# name: what a browser calls it, and its bytes
TAKEN = {
    "plan.pdf": ("application/pdf", PDF),
    "chart.png": ("image/png", PNG),
    "desk.jpg": ("image/jpeg", JPEG),
    "desk.jpeg": ("image/jpeg", JPEG),
    "calls.csv": ("application/vnd.ms-excel", CSV),
    "notes.txt": ("text/plain", TXT),
    "notes.md": ("", MD),
    "costs.xlsx": (f"{OFFICE}spreadsheetml.sheet", XLSX),
    "letter.docx": (f"{OFFICE}wordprocessingml.document", DOCX),
}
