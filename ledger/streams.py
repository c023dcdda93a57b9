"""Answers that are sent while they are made, so that a million rows need no more memory than a few."""

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import IO

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

PART = 64 * 1024


class FileStream(StreamingHttpResponse):
    """A file to download, from an ordinary iterator, in any server.

    Django under ASGI would read an ordinary iterator to its end before it sends the first byte; here each part is
    read, in the thread that owns the request's database connection, when the one before it has been sent.
    """

    def __init__(self, name: str, content_type: str, parts: Iterable[bytes]) -> None:
        super().__init__(parts, content_type=content_type)
        self["Content-Disposition"] = f'attachment; filename="{name}"'

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Go through the parts."""
        parts = iter(self)
        while (part := await sync_to_async(_following)(parts)) is not None:
            yield part


class FileParts:
    """The parts of an open file, which is closed at its end, and also when the answer is: before the first part."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __iter__(self) -> Iterator[bytes]:
        """Go through the parts."""
        return self

    def __next__(self) -> bytes:
        """Return the next part."""
        if part := self.file.read(PART):
            return part
        self.file.close()
        raise StopIteration

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _following(parts: Iterator[bytes]) -> bytes | None:
    return next(parts, None)


def parts_of(lines: Iterable[str]) -> Iterator[bytes]:
    """Put lines together to parts of about 64 KiB in UTF-8: a part for every line would cost more than the line."""
    waiting: list[str] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size >= PART:
            yield "".join(waiting).encode()
            waiting, size = [], 0
    if waiting:
        yield "".join(waiting).encode()
