"""A provider's account as a test wishes: a real HTTP server that answers as OpenAI and Anthropic do, and stumbles.

Whatever it serves is checked against the providers' schemas, and whatever it is asked must be for whole days.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft202012Validator

DATA = Path(__file__).resolve().parent.parent.parent / "data" / "feeds"
Document = dict[str, Any]

KEY = "sk-admin-0123456789"
COMPLETIONS = "/v1/organization/usage/completions"
EMBEDDINGS = "/v1/organization/usage/embeddings"
COSTS = "/v1/organization/costs"
ANALYTICS_USAGE = "/v1/organizations/analytics/usage"
ANALYTICS_COST = "/v1/organizations/analytics/cost"
USAGE_REPORT = "/v1/organizations/usage_report/messages"
COST_REPORT = "/v1/organizations/cost_report"
SCHEMAS = {
    COMPLETIONS: "openai/usage_completions",
    COSTS: "openai/costs",
    ANALYTICS_USAGE: "anthropic/analytics_usage",
    ANALYTICS_COST: "anthropic/analytics_cost",
    USAGE_REPORT: "anthropic/usage_report_messages",
    COST_REPORT: "anthropic/cost_report",
}
BETA = "analytics-usage-cost-2026-08-24"


def sample(name: str) -> Document:
    """Return a sample such as "openai/costs"."""
    document = json.loads((DATA / f"{name}.sample.json").read_text())
    assert isinstance(document, dict)
    return document


@cache
def _validator(path: str) -> Draft202012Validator:
    name = SCHEMAS.get(path, "openai/usage_other")
    return Draft202012Validator(json.loads((DATA / f"{name}.schema.json").read_text()))


@dataclass
class Account:
    """What the account has: pages by path, lists by path; what shall go wrong; and what was asked of it."""

    url: str
    pages: dict[str, list[Document]] = field(default_factory=dict)
    lists: dict[str, list[Document]] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    served: list[bytes] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    words: str = "Not now."
    loops: bool = False

    def has(self, path: str, *documents: Document) -> None:
        """Answer a path with these pages from now on."""
        self.pages[path] = list(documents)

    def document(self, path: str, query: dict[str, list[str]]) -> Document:
        """Return the page that is asked for: its days alone, and which page comes next."""
        pages = self.pages.get(path) or [{"object": "page", "data": []}]
        number = int(query.get("page", ["page_0"])[0].removeprefix("page_"))
        first, last = _days(query)
        data = [item for item in pages[number]["data"] if first <= _start(item) < last]
        has_more = number + 1 < len(pages)
        ends = {"has_more": has_more, "next_page": f"page_{number + 1}" if has_more else None}
        return pages[number] | {"data": data} | ({"next_page": "page_0"} if self.loops else ends)


def _days(query: dict[str, list[str]]) -> tuple[datetime, datetime]:
    """Return the days that are asked for, which must be whole ones, one by one."""
    if "start_time" in query:
        first, last = (datetime.fromtimestamp(int(query[name][0]), UTC) for name in ("start_time", "end_time"))
    else:
        first, last = (datetime.fromisoformat(query[name][0]) for name in ("starting_at", "ending_at"))
    assert first.timestamp() % 86400 == last.timestamp() % 86400 == 0
    assert (query.get("bucket_width") or query["time_bucket_width"]) == ["1d"]
    return first, last


def _start(item: Document) -> datetime:
    if "start_time" in item:
        return datetime.fromtimestamp(item["start_time"], UTC)
    return datetime.fromisoformat(item["starting_at"])


@contextmanager
def account() -> Iterator[Account]:
    """Start an account on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    ours = Account(f"http://127.0.0.1:{server.server_address[1]}")
    server.account = ours  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield ours
    finally:
        ours.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with suppress(OSError):  # who was kept waiting has gone
            self._answer()

    def _answer(self) -> None:
        ours: Account = self.server.account  # type: ignore[attr-defined]
        ours.asked.append(self.path)
        fault = ours.faults.pop(0) if ours.faults else ""
        parts = urlsplit(self.path)
        self._hesitate(ours, fault)
        status = self._refusal(ours, parts.path, fault)
        if status:
            self._say(status, {"error": {"message": ours.words}})
        elif parts.path in ours.lists:
            self._say(200, {"data": ours.lists[parts.path], "has_more": False, "last_id": "last"})
        elif "usage" in parts.path or "cost" in parts.path:
            self._page(ours, parts.path, parse_qs(parts.query.replace("%5B%5D", "")), fault)
        else:
            self._say(403, {"error": {"message": "Missing scopes."}})

    def _hesitate(self, ours: Account, fault: str) -> None:
        if fault == "wait":
            ours.reached.set()
            ours.go_on.wait(60)
        elif fault == "slow":
            ours.go_on.wait(0.5)

    def _refusal(self, ours: Account, path: str, fault: str) -> int:
        if not self._is_known():
            return 401
        if fault.isdigit():
            return int(fault)
        return 404 if path in ours.missing else 0

    def _page(self, ours: Account, path: str, query: dict[str, list[str]], fault: str) -> None:
        document = ours.document(path, query)
        _validator(path).validate(document)
        body = json.dumps(document, indent=1).encode()
        if fault == "cut":
            self._start(200, len(body))
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault == "drip":
            self._start(200, len(body))
            self._drip(ours, body)
        elif fault == "not-json":
            self._start(200, len(body) // 2)
            self.wfile.write(body[: len(body) // 2])
        else:
            ours.served.append(body)
            self._start(200, len(body))
            self.wfile.write(body)

    def _drip(self, ours: Account, body: bytes) -> None:
        for number in range(len(body)):
            self.wfile.write(body[number : number + 1])
            ours.go_on.wait(0.01)

    def _is_known(self) -> bool:
        if "/analytics/" in self.path and self.headers["anthropic-beta"] != BETA:
            return False
        return KEY in (self.headers["x-api-key"], (self.headers["authorization"] or "").removeprefix("Bearer "))

    def _say(self, status: int, document: Document) -> None:
        body = json.dumps(document).encode()
        self._start(status, len(body))
        self.wfile.write(body)

    def _start(self, status: int, length: int) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("retry-after", "0")
        if status in {301, 302, 307, 308}:
            self.send_header("location", "http://127.0.0.2:9/elsewhere")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(length))
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass
