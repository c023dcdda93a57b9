"""Server-sent events: cut a byte stream into events, whatever the size of its chunks, and keep every byte.

What an event means is for the dialects; here it is only found. At most one unfinished event is kept.
"""

import re

MOST_PENDING = 32 * 1024 * 1024
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# A line may end in LF, CR or CRLF; an event ends with an empty line. Atomic, so that a CRLF is never taken for two.
_END_OF_EVENT = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class EventTooLong(Exception):
    """An event did not end within 32 MiB."""


class EventSplitter:
    """Cut chunks into whole events; each event keeps the bytes it came with."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = b""

    @property
    def pending(self) -> bytes:
        """Return the unfinished event so far."""
        return self._pending

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take a chunk and return the events that it completes, in order. Raises EventTooLong."""
        data = self._pending + chunk if self._pending else chunk
        if b"\r" not in data:
            if data.find(b"\n\n") == len(data) - 2 > 0:  # the usual chunk: one whole event
                self._pending = b""
                return [data]
            events = data.split(b"\n\n")
            self._keep(events.pop())
            return [event + b"\n\n" for event in events]
        return self._feed_mixed(data)

    def _feed_mixed(self, data: bytes) -> list[bytes]:
        events, start = [], 0
        for match in _END_OF_EVENT.finditer(data):
            if match.end() == len(data) and data.endswith(b"\r"):
                break  # this CR may be the first half of a CRLF
            events.append(data[start : match.end()])
            start = match.end()
        self._keep(data[start:])
        return events

    def _keep(self, pending: bytes) -> None:
        if len(pending) > MOST_PENDING:
            raise EventTooLong
        self._pending = pending


def data_of(event: bytes) -> bytes:
    """Return the data of an event: its `data:` lines, joined by LF."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and b"\r" not in event:
        return event[6:-2]
    # A byte order mark may stand before the first event.
    lines = [_data_line(line) for line in event.removeprefix(BYTE_ORDER_MARK).splitlines()]
    return b"\n".join(line for line in lines if line is not None)


def _data_line(line: bytes) -> bytes | None:
    name, _, value = line.partition(b":")
    return value.removeprefix(b" ") if name == b"data" else None
