"""A wire to the database that can be cut at the worst moment: after a commit, before its client hears of it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, urlsplit

from tests import databases

COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"  # the server's CommandComplete


class Wire:
    """A proxy on a port of its own. While it is armed, the first answer that fits is swallowed and the line is cut."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.fits: Callable[[bytes], bool] | None = None
        self.cuts = 0
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, fits: Callable[[bytes], bool]) -> None:
        """Arm it for one cut."""
        self.fits = fits

    def cut_after_commit(self) -> None:
        """Arm it for the answer to the next COMMIT."""
        self.cut_after(lambda answer: COMMITTED in answer)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self._lines.append(client)
                server = _to_the_server()
                self._lines.append(server)
                threading.Thread(target=self._forth, args=(client, server), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def close(self) -> None:
        """Hang up on everybody, also on who came while the server was away."""
        self.listener.close()
        for line in self._lines:
            _hang_up(line)

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        _hang_up(server)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if self.fits is not None and self.fits(data):
                    self.fits = None
                    self.cuts += 1
                    break
                client.sendall(data)
        _hang_up(client)
        _hang_up(server)


def _to_the_server() -> socket.socket:
    url = urlsplit(databases.owner_url("postgres"))
    folder = parse_qs(url.query).get("host", [""])[0]
    port = url.port or 5432
    if folder.startswith("/"):
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(f"{folder}/.s.PGSQL.{port}")
        except OSError:
            line.close()
            raise
        return line
    return socket.create_connection((url.hostname or folder or "127.0.0.1", port))


def _hang_up(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
    line.close()


@contextmanager
def wire() -> Iterator[Wire]:
    """Give a wire to the server that the tests use."""
    made = Wire()
    try:
        yield made
    finally:
        made.close()
