"""HTTP over a bare socket, for what no client library does."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson


class Wire:
    """One connection to a server."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self._kept = b""

    def send(self, data: bytes) -> None:
        """Send some bytes."""
        self.line.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Read to a mark and return what came, with the mark; raises AssertionError when the line ends before it."""
        while mark not in self._kept:
            more = self.line.recv(65536)
            assert more, f"the line ended after {self._kept[-1000:]!r}"
            self._kept += more
        came, _, self._kept = self._kept.partition(mark)
        return came + mark

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read an answer that says its length: status, headers, body."""
        head, *lines = self.until(b"\r\n\r\n").decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(head.split()[1]), headers, self.read(int(headers.get("content-length", "0")))

    def read(self, length: int) -> bytes:
        """Read so many bytes; raises AssertionError when the line ends before them."""
        while len(self._kept) < length:
            more = self.line.recv(min(65536, length))
            assert more, f"the line ended {length - len(self._kept)} bytes too early"
            self._kept += more
        body, self._kept = self._kept[:length], self._kept[length:]
        return body

    def rest(self) -> bytes:
        """Read to the end of the line."""
        came, self._kept = self._kept, b""
        while more := self.line.recv(65536):
            came += more
        return came


@contextmanager
def wire(url: str, *, seconds: float = 30, window: int = 0) -> Iterator[Wire]:
    """Connect to a server; `window` bounds the bytes that wait here to be read."""
    parts = urlsplit(url)
    with socket.socket() as line:
        line.settimeout(seconds)
        if window:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        line.connect((parts.hostname, parts.port))
        yield Wire(line)


def head_of(path: str, headers: Mapping[str, str], method: str = "POST") -> bytes:
    """Return the head of a request."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{method} {path} HTTP/1.1\r\nhost: tank\r\n{lines}\r\n".encode()


def request(path: str, headers: Mapping[str, str], document: Any) -> bytes:
    """Return a whole request with a JSON body."""
    body = orjson.dumps(document)
    return head_of(path, {"content-length": str(len(body)), **headers}) + body
