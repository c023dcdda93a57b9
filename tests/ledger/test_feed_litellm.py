"""LiteLLM's spend logs: rows as its own code writes them, served as its endpoint serves them.

`litellm_spend_logs_v2.json` has the rows that LiteLLM 1.106.2 made of two real completions (its `get_logging_payload`),
in the envelope of `GET /spend/logs/v2`; the server below pages, orders and counts as that endpoint does.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ledger.credentials import encrypt
from ledger.models import Feed, FeedFetch, FeedFigure, FeedKind, Provider, ProviderKey
from ledger.providers.base import FeedFailed, Source, Span
from ledger.providers.litellm import ADAPTER
from ledger.services.feeds import feed_add, feed_change
from ledger.services.fetching import feed_fetch
from teams.errors import Refused
from tests.budget import Budget

RECORDED = Path(__file__).parents[1] / "data" / "feeds" / "litellm_spend_logs_v2.json"
MASTER_KEY = "sk-litellm-0123456789abcdef"
DAY = date(2026, 11, 5)
CAP = 2500


class Proxy(ThreadingHTTPServer):
    """Answers as LiteLLM does; `hides` is how many rows its pages leave out."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = json.loads(RECORDED.read_text())["data"]
        self.asked: list[dict[str, str]] = []
        self.hides = 0
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def source(self) -> Source:
        return Source(f"http://127.0.0.1:{self.server_port}", MASTER_KEY)

    def logs(self, asked: dict[str, str]) -> dict[str, Any]:
        first, last = (datetime.fromisoformat(asked[name]) for name in ("start_date", "end_date"))
        found = [call for call in self.calls if first <= _started(call) <= last]
        found.sort(key=_started)
        page, size = int(asked["page"]), int(asked["page_size"])
        total = min(len(found), CAP)
        shown = found[: len(found) - self.hides][(page - 1) * size : page * size]
        pages = -(-total // size)
        told = {"total": total, "page": page, "page_size": size, "total_pages": pages}
        return {"data": shown, **told, "total_is_capped": len(found) > CAP}


def _started(call: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(call["startTime"]).replace(tzinfo=None)


class _Answer(BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        """Answer a question."""
        address = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if self.headers["authorization"] != f"Bearer {MASTER_KEY}":
            return self._send(401, {"error": {"message": "Authentication Error"}})
        if address.path == "/key/list":
            key = {"token": "88dc28d0", "key_alias": "claims", "key_name": "sk-...Ab1Z", "team_id": "team-1"}
            return self._send(200, {"keys": [key], "total_count": 1, "current_page": 1, "total_pages": 1})
        self.server.asked.append(asked)
        return self._send(200, self.server.logs(asked))

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def read(proxy: Proxy, source: Source | None = None) -> list[Any]:
    span = Span(DAY, DAY)
    return [row for page in ADAPTER.pages(source or proxy.source, span) for row in ADAPTER.rows(page.body, span)]


def test_tokens_are_taken_apart_by_class_and_spend_is_twelve_places(proxy: Proxy) -> None:
    openai, anthropic = read(proxy)
    assert (openai.day, openai.model_name, openai.project, openai.requests) == (DAY, "gpt-4.1", "team-1", 1)
    assert (openai.input_tokens, openai.cache_read_tokens, openai.output_tokens) == (412, 1850, 612)
    assert (openai.amount, openai.row_id) == (Decimal("0.006645"), "chatcmpl-01")
    assert openai.provider_key == "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"
    assert (anthropic.input_tokens, anthropic.cache_read_tokens) == (412, 18_500)
    assert (anthropic.cache_write_5m_tokens, anthropic.cache_write_1h_tokens) == (1000, 96)
    assert (anthropic.output_tokens, anthropic.amount) == (612, Decimal("0.020292"))


def test_a_call_that_tanks_hook_held_comes_with_no_key_of_litellms(proxy: Proxy) -> None:
    proxy.calls[0]["metadata"]["spend_logs_metadata"] = {"tank_call": "6b83df39266d46158cab94727305720d"}
    assert [bool(row.provider_key) for row in read(proxy)] == [False, True]


def test_what_reached_no_provider_is_left_out(proxy: Proxy) -> None:
    cached, failed, paid = (deepcopy(proxy.calls[0]) for _ in range(3))
    cached |= {"request_id": "a", "cache_hit": "True", "spend": 0}
    failed |= {"request_id": "b", "status": "failure", "spend": 0, "prompt_tokens": 0, "completion_tokens": 0}
    failed["metadata"] = "{}"
    paid |= {"request_id": "c", "status": "failure", "startTime": "2026-11-05T23:59:59.900Z"}
    proxy.calls += [cached, failed, paid, deepcopy(paid) | {"request_id": "d", "startTime": "2026-11-06T00:00:00Z"}]
    assert [row.row_id for row in read(proxy)] == ["chatcmpl-01", proxy.calls[1]["request_id"], "c"]


def test_a_day_with_more_calls_than_it_counts_is_asked_for_in_halves(proxy: Proxy) -> None:
    call, start = proxy.calls[0], Span(DAY, DAY).starts_at
    proxy.calls = [
        deepcopy(call) | {"request_id": f"r{n}", "startTime": f"{start + timedelta(seconds=20 * n):%Y-%m-%dT%H:%M:%SZ}"}
        for n in range(4000)
    ]
    rows = read(proxy)
    assert {row.row_id for row in rows} == {f"r{n}" for n in range(4000)}
    assert [asked["page"] for asked in proxy.asked] == ["1", "1", "2", "3", "1", "2"]


def test_a_log_that_is_not_whole_is_a_failure_and_so_is_a_wrong_key(proxy: Proxy) -> None:
    proxy.hides = 1
    with pytest.raises(FeedFailed, match="listed 1 of 2 calls"):
        read(proxy)
    with pytest.raises(FeedFailed, match=r"answered 401 .* set the master key"):
        read(proxy, Source(proxy.source.base_url, "sk-other"))
    with pytest.raises(FeedFailed, match="cannot be read"):
        list(ADAPTER.rows(b'{"data": [{"request_id": "x", "startTime": "soon"}]}', Span(DAY, DAY)))


def test_a_feed_of_one_provider_behind_the_proxy_leaves_the_others_calls_out(budget: Budget, proxy: Proxy) -> None:
    place = {"base_url": proxy.source.base_url, "credential": MASTER_KEY}
    provider, hana = Provider.objects.get(name="sandbox"), budget.company.hana
    with pytest.raises(Refused) as refused:
        feed_add(actor=hana, provider=provider, kind=FeedKind.OPENAI_USAGE, upstream="anthropic", **place)
    assert (refused.value.code, refused.value.field) == ("upstream_unsupported", "upstream")
    feed = feed_add(actor=hana, provider=provider, kind=FeedKind.LITELLM, upstream="anthropic", **place)

    fetch = feed_fetch(actor=hana, feed=feed, span=Span(DAY, DAY))

    assert (fetch.rows_count, FeedFigure.objects.get().model_name) == (1, read(proxy)[1].model_name)
    feed_change(actor=hana, feed=feed, base_url=proxy.source.base_url)
    assert feed_fetch(actor=hana, feed=Feed.objects.get(), span=Span(DAY, DAY)).rows_count == 2


def test_a_fetch_brings_figures_and_keys_and_again_changes_nothing(budget: Budget, proxy: Proxy) -> None:
    provider = Provider.objects.get(name="sandbox")
    feed = Feed.objects.create(
        provider=provider,
        kind=FeedKind.LITELLM,
        gives_tokens=True,
        gives_money=True,
        base_url=proxy.source.base_url,
        credential_encrypted=encrypt(MASTER_KEY),
    )
    for changes in (2, 0):
        fetch = feed_fetch(actor=budget.company.hana, feed=feed, span=Span(DAY, DAY))
        assert (fetch.state, fetch.rows_count, fetch.changes_count) == ("done", 2, changes)
    assert FeedFigure.objects.count() == 2
    key = ProviderKey.objects.get(external_id="88dc28d0")
    assert (key.name, key.hint) == ("claims", "sk-...Ab1Z")
    assert FeedFetch.objects.count() == 2
