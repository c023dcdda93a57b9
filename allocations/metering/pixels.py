"""How many pixels a picture has: read from the first bytes of a PNG, GIF, WebP or JPEG, without decoding it.

A provider decodes the same bytes, so a header that lies to Tank lies to it as well. What is not understood to the
last byte that is needed is not understood at all: then a picture counts as the dearest one. Where a file names several
sizes (frames of a GIF, several headers of a JPEG, a thumbnail's aside) the largest width and height count. A rotation
in the metadata swaps width and height, which no formula here tells apart.

Sources: PNG (W3C, 11.2.1 IHDR), GIF89a (18, logical screen; 20, image descriptor), WebP (RFC 9649, 2.7 and 3.4; RFC
6386, 9.1), JPEG (ITU T.81, B.2.2 frame header).
"""

import binascii
from collections.abc import Callable
from typing import Literal, NamedTuple

# Metadata may come before a JPEG's size; farther than this it is not looked for.
MOST_HEADER = 262_144
# Base64 characters, four for three bytes, that hold the size: of a PNG or WebP, and of most pictures.
SHORT, USUAL = 64, 4096
# So many parts of a file are gone through at most: a hostile one could have one for every two bytes.
MOST_PARTS = 2_000
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
FILL, SCAN = 0xFF, 0xDA
# Markers that have no length, or begin a picture made of pictures.
STRANGE = {0x00, 0x01, *range(0xD0, 0xDA), 0xDE}


class Size(NamedTuple):
    """Width and height, in pixels; both at least one."""

    width: int
    height: int


def size_of(encoded: str, start: int = 0) -> Size | None:
    """Return the size of a picture in base64 from a place of a text on; None where it is not plain to see."""
    head = _decoded(encoded, start, SHORT)
    read = _reader(head)
    found = read(head) if read else None
    for most in (USUAL, MOST_HEADER):
        if read and found is None and len(encoded) - start > SHORT:
            found = read(_decoded(encoded, start, most))
    return found if found is not None and found.width > 0 and found.height > 0 else None


def _reader(head: bytes) -> Callable[[bytes], Size | None] | None:
    if head.startswith(b"\xff\xd8"):
        return _jpeg
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp
    return _gif if head.startswith((b"GIF87a", b"GIF89a")) else None


def _decoded(encoded: str, start: int, most: int) -> bytes:
    try:
        # What is no base64 is refused rather than skipped: a provider might skip something else.
        return binascii.a2b_base64(encoded[start : start + most], strict_mode=True)
    except ValueError:  # also what is no ASCII
        return b""


def _png(head: bytes) -> Size | None:
    if len(head) < 24 or head[8:16] != b"\x00\x00\x00\x0dIHDR":
        return None
    return Size(int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big"))


def _webp(head: bytes) -> Size | None:
    kind, data = head[12:16], head[20:]
    if kind == b"VP8X" and len(data) >= 10:  # the canvas, which holds every frame
        return Size(1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little"))
    if kind == b"VP8L" and len(data) >= 5 and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return Size(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if kind == b"VP8 " and len(data) >= 10 and data[3:6] == b"\x9d\x01\x2a":
        return Size(int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF)
    return None


def _jpeg(data: bytes) -> Size | None:
    """Return the largest size of the frame headers before the first scan; None where that is not in sight."""
    place, found = 2, Size(0, 0)
    for _ in range(MOST_PARTS):
        if len(data) < place + 10 or data[place] != FILL or data[place + 1] in STRANGE:
            return None
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == SCAN:
            return found
        if marker in FRAMES:
            found = _larger(found, data[place + 7 : place + 9], data[place + 5 : place + 7], "big")
        place += 1 if marker == FILL else 2 + length
    return None


def _larger(size: Size, width: bytes, height: bytes, order: Literal["big", "little"]) -> Size:
    return Size(max(size.width, int.from_bytes(width, order)), max(size.height, int.from_bytes(height, order)))


def _gif(data: bytes) -> Size | None:
    """Return the size of the screen, or of a frame where that is larger; None where not all frames are in sight."""
    if len(data) < 13:
        return None
    found = _larger(Size(0, 0), data[6:8], data[8:10], "little")
    place, is_data = 13 + _palette(data[10]), False
    for _ in range(MOST_PARTS):
        kind, rest = data[place : place + 1], data[place + 1 : place + 10]
        if is_data:  # blocks of a length each, up to an empty one
            is_data, place = kind != b"\0", place + 1 + sum(kind)
        elif kind == b"," and len(rest) == 9 and rest[:4] == b"\0\0\0\0":
            found = _larger(found, rest[4:6], rest[6:8], "little")
            is_data, place = True, place + 11 + _palette(rest[8])
        elif kind == b"!":
            is_data, place = True, place + 2
        else:
            return found if kind == b";" else None
    return None


def _palette(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
