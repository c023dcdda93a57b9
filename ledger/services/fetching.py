"""Fetching what providers report: pages are kept as received, and figures count once a whole fetch is in."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from ledger import credentials
from ledger.models import Feed, FeedFetch, FeedPage, FetchState
from ledger.providers.base import Adapter, FeedFailed, Page, Row, Source, Span
from ledger.providers.registry import adapter_of
from ledger.services.bodies import body_keep
from ledger.services.feed_keys import keys_note
from teams.access import require
from teams.alone import FEED_FETCH, alone_at
from teams.errors import Refused
from teams.models import User
from teams.services import audit_record

STAGE = """COPY ledger_feedstage (
    fetch_id, page, row_id, day, provider_key, project, model_name, service_tier, is_batch, charge, token_class, detail,
    currency, requests, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens, output_tokens,
    amount) FROM STDIN"""


def feed_fetch(*, actor: User, feed: Feed, span: Span) -> FeedFetch:
    """Fetch a feed over whole days and let its figures count; a fetch that fails says why and changes no figure.

    Each step is a transaction of its own: what was received stays, whatever comes after. Returns the fetch, done or
    failed. Raises NotAllowed, Refused (fetch_running, feed_is_file, feed_disabled).
    """
    require(actor, "ledger.fetch_feed", message="Only finance and platform admins fetch figures.")
    if feed.is_file:
        raise Refused("Its figures come in files: import one.", code="feed_is_file")
    if not feed.is_enabled:
        raise Refused("This feed is switched off.", code="feed_disabled")
    with at_work(feed):
        return _fetch(fetch_begin(actor, feed, span), adapter_of(feed))


def _fetch(fetch: FeedFetch, adapter: Adapter) -> FeedFetch:
    feed, span = fetch.feed, Span(fetch.first_day, fetch.last_day)
    credential = credentials.decrypt(bytes(feed.credential_encrypted))
    source = Source(feed.base_url, credential, feed.project)
    try:
        pages_keep(fetch, adapter.pages(source, span))
        keys_note(feed, adapter.keys(source))
        fetch_apply(fetch, adapter)
    except FeedFailed as failed:
        return fetch_fail(fetch, str(failed))
    except Exception:
        fetch_fail(fetch, "Tank itself failed while it read this; the log says how.")
        raise
    return fetch


@contextmanager
def at_work(feed: Feed) -> Iterator[None]:
    """Let one process at a time work on a feed; the lock goes with the process, so one that died is in nobody's way.

    Raises Refused (fetch_running).
    """
    with alone_at(FEED_FETCH, feed.pk) as is_ours:
        if not is_ours:
            raise Refused("This feed is being fetched just now.", code="fetch_running")
        yield


@transaction.atomic
def fetch_begin(actor: User, feed: Feed, span: Span, file_name: str = "") -> FeedFetch:
    """Note that a fetch begins, and that one whose process went away has failed."""
    for lost in FeedFetch.objects.filter(feed=feed, state=FetchState.RUNNING):
        fetch_fail(lost, "Its process went away; the next fetch does it again.")
    return FeedFetch.objects.create(
        feed=feed, first_day=span.first, last_day=span.last, begun_by=actor, file_name=file_name
    )


def pages_keep(fetch: FeedFetch, pages: Iterable[Page]) -> None:
    """Keep each page as it comes, before anything is read from it: each is a transaction of its own."""
    for number, page in enumerate(pages, 1):
        with transaction.atomic():
            sha256 = hashlib.sha256(page.body).hexdigest()
            body_keep(sha256, page.body)
            FeedPage.objects.create(fetch=fetch, number=number, request=page.request, body_id=sha256)
            fetch.pages_count = number
            fetch.complete_until = page.complete_until or fetch.complete_until
            fetch.save(update_fields=["pages_count", "complete_until"])


@transaction.atomic
def fetch_apply(fetch: FeedFetch, adapter: Adapter) -> FeedFetch:
    """Read the kept pages of a fetch and let its figures count, all of them or none; raises FeedFailed, FileRefused."""
    span, currency = Span(fetch.first_day, fetch.last_day), _currency(fetch.feed)
    pages = FeedPage.objects.filter(fetch=fetch).select_related("body").order_by("number")
    with connection.cursor() as cursor:
        for page in pages.iterator(chunk_size=1):
            rows = _wanted(fetch.feed.upstream, adapter.rows(page.body.content, span))
            fetch.rows_count += _stage(cursor, page, rows, currency)
        cursor.execute("SELECT ledger_feed_apply(%s)", [fetch.pk])
        fetch.changes_count = cursor.fetchone()[0]
    fetch.state, fetch.ended_at = FetchState.DONE, datetime.now(UTC)
    fetch.save(update_fields=["state", "ended_at", "rows_count", "changes_count"])
    Feed.objects.filter(pk=fetch.feed_id).update(told_stale_at=None)
    return fetch


def _wanted(upstream: str, rows: Iterable[Row]) -> Iterable[Row]:
    """Leave out what a proxy sent to other providers than the one that a feed is limited to."""
    return (row for row in rows if upstream in ("", row.upstream))


def _stage(cursor: Any, page: FeedPage, rows: Iterable[Row], currency: str) -> int:
    """Put the rows of a page where they wait to count; nothing else may use the connection meanwhile."""
    count = 0
    with cursor.copy(STAGE) as copy:
        for row in rows:
            if row.currency != currency:
                raise FeedFailed(f"It reports {row.currency}; the provider's accounts are kept in {currency}.")
            copy.write_row((page.fetch_id, page.number, _row_id(row), *_columns(row)))
            count += 1
    return count


def _currency(feed: Feed) -> str:
    found = feed.provider.accounts.filter(code=f"metered:{feed.provider.name}").values_list("currency", flat=True)
    return found[0]


def _row_id(row: Row) -> str:
    if row.row_id:
        return row.row_id
    facts = (row.provider_key, row.project, row.model_name, row.service_tier, row.is_batch, row.charge, row.token_class)
    return "\x1f".join(str(fact) for fact in (*facts, row.detail, row.currency))


def _columns(row: Row) -> tuple[object, ...]:
    return (
        row.day,
        row.provider_key,
        row.project,
        row.model_name,
        row.service_tier,
        row.is_batch,
        str(row.charge),
        row.token_class,
        row.detail[:300],
        row.currency,
        row.requests,
        row.input_tokens,
        row.cache_read_tokens,
        row.cache_write_5m_tokens,
        row.cache_write_1h_tokens,
        row.output_tokens,
        row.amount,
    )


@transaction.atomic
def fetch_fail(fetch: FeedFetch, why: str) -> FeedFetch:
    """Note that a fetch failed, and why, in words for people; none of its figures count."""
    fetch.state, fetch.ended_at, fetch.failure = FetchState.FAILED, datetime.now(UTC), why
    fetch.rows_count = fetch.changes_count = 0
    fetch.save(update_fields=["state", "ended_at", "failure", "rows_count", "changes_count"])
    audit_record(actor=fetch.begun_by, verb="fetch.failed", target=fetch.feed, reason=why)
    return fetch
