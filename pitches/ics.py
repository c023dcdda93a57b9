"""Calendars as files: the part of iCalendar (RFC 5545) that deadlines need, written by hand. A leaf."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST_LINE = 75
"""Octets of a line without its end (RFC 5545, 3.1)."""


@dataclass(frozen=True, slots=True)
class Event:
    """A moment in a calendar; `uid` stays the same when the moment moves."""

    uid: str
    at: datetime
    summary: str
    description: str
    url: str


def calendar(name: str, events: Iterable[Event], *, stamped_at: datetime) -> bytes:
    """Return a calendar with events that take no time, each at its moment in UTC."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Tank//Rounds//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{escaped(name)}",
    ]
    for event in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{escaped(event.uid)}",
            f"DTSTAMP:{_stamp(stamped_at)}",
            f"DTSTART:{_stamp(event.at)}",
            f"SUMMARY:{escaped(event.summary)}",
            f"DESCRIPTION:{escaped(event.description)}",
            f"URL:{event.url}",
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return b"".join(folded(line) + b"\r\n" for line in lines)


def escaped(text: str) -> str:
    """Return text as a value: backslashes, semicolons, commas and line ends escaped (RFC 5545, 3.3.11)."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    for sign in ("\\", ";", ","):
        plain = plain.replace(sign, f"\\{sign}")
    # Other control characters are not allowed in a value at all.
    return "".join(sign for sign in plain.replace("\n", "\\n") if sign >= " " and sign != "\x7f")


def folded(line: str) -> bytes:
    """Return a line in pieces of at most 75 octets, every one but the first after a space; no letter is cut."""
    pieces: list[bytes] = []
    piece = b""
    for sign in line:
        octets = sign.encode()
        room = LONGEST_LINE if not pieces else LONGEST_LINE - 1
        if len(piece) + len(octets) > room:
            pieces.append(piece)
            piece = b""
        piece += octets
    pieces.append(piece)
    return b"\r\n ".join(pieces)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
