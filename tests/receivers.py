"""A real HTTP server that receives webhooks and answers as a test wishes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openai import OpenAI
from standardwebhooks import Webhook


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        """Return what the receiver tells repetitions by."""
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """Return the event after two libraries, written by others, found its signature good."""
        OpenAI(api_key="unused").webhooks.verify_signature(self.body, self.headers, secret=secret)
        event = Webhook(secret).verify(self.body, self.headers)
        assert isinstance(event, dict)
        return event


@dataclass
class Receiver:
    """What came so far, and the statuses to answer with: each once, the last of them for ever."""

    url: str
    statuses: list[int] = field(default_factory=lambda: [200])
    came: list[Received] = field(default_factory=list)

    def answer(self, *statuses: int) -> None:
        """Answer with these from now on."""
        self.statuses = list(statuses)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Start a receiver on a free port of this machine."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                ours.came.append(Received(self.path, headers, body))
                status = ours.statuses.pop(0) if len(ours.statuses) > 1 else ours.statuses[0]
            self.send_response(status)
            if status in {301, 302, 307, 308}:
                self.send_header("location", f"{ours.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ours = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield ours
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
