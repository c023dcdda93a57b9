"""Reconciliation at size: a year in which the provider's rows are a million and the calls five million.

Both sides are written as they lie when reconciliation begins: daily sums of the calls, and a feed's rows, which are
read page by page. One day in fifty has another price, and one in fifty calls of a key that is not ours.
"""

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from time import perf_counter
from typing import Any

import psycopg

from allocations.services import grant_make, key_issue
from ledger.models import Dialect, Feed, FeedKind, JournalEntry, KeyStanding, Provider, ProviderKey, RateSource, Tier
from ledger.money import usd
from ledger.providers.base import KeySeen, Page, Row, Source, Span
from ledger.selectors import today
from ledger.services import fiscal_year_open, model_add, provider_add, rate_approve, rate_propose, year_fund
from ledger.services.fetching import fetch_apply, fetch_begin, pages_keep
from ledger.services.reconciliation import reconcile
from teams.selectors import system_user
from tests.bench.machine import markdown
from tests.bench.place import own_database

DAYS, MODELS, LINES, PARTS = 365, 20, 100, 137
EACH = 100_000  # input tokens of one row of the provider; a line's day and model has as much as 1.37 of them

CALLS = """
INSERT INTO ledger_usageday (day, account_id, team_id, key_id, provider_id, model_id, rate_id, currency, tags,
    tags_digest, records, estimated, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
    output_tokens, reasoning_tokens, cost, charged, overage)
SELECT %(first)s::date + d, l.account_id, a.team_id, k.id, m.provider_id, m.id, r.id, 'USD', '{}', md5('{}'),
       7, 0, %(tokens)s, 0, 0, 0, 0, 0, %(tokens)s * r.input * 0.000001, %(tokens)s * r.input * 0.000001, 0
  FROM generate_series(0, %(days)s - 1) d
 CROSS JOIN ledger_aimodel m
  JOIN LATERAL (SELECT * FROM ledger_rate WHERE model_id = m.id ORDER BY valid_from LIMIT 1) r ON true
 CROSS JOIN allocations_allocationline l JOIN allocations_allocation a ON a.id = l.allocation_id
  JOIN allocations_quotakey k ON k.allocation_id = a.id
"""


@dataclass
class Year:
    """An adapter: each page is a day, and every row has the same tokens."""

    gives_tokens = True
    gives_money = True

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """Give a page for each day."""
        for number in range((span.last - span.first).days + 1):
            day = span.first + timedelta(days=number)
            yield Page(f"/day/{day}", day.isoformat().encode())

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read a day: a row for each model and each of the provider's projects."""
        day = date.fromisoformat(body.decode())
        price = Decimal("0.12") if day.toordinal() % 50 == 0 else Decimal("0.1")
        for model in range(MODELS):
            for part in range(PARTS):
                stray = part == 0 and model == 0 and day.toordinal() % 50 == 1
                yield Row(
                    day=day,
                    model_name=f"bench-{model}",
                    provider_key="stray" if stray else "tank",
                    project=f"p{part}",
                    requests=5,
                    input_tokens=EACH,
                    amount=price,
                )

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """It lists none."""
        return iter(())


def main() -> str:
    """Measure everything and return the table."""
    with ExitStack() as stack:
        place = own_database(stack)
        feed, first = _set_up()
        with psycopg.connect(place.url) as owner:
            facts = {"first": first, "days": DAYS, "tokens": EACH * PARTS // LINES}
            owner.execute(CALLS, facts)
            owner.commit()
            owner.execute("ANALYZE")
        return _table(feed, Span(first, first + timedelta(days=DAYS - 1)))


def _set_up() -> tuple[Feed, date]:
    actor, first = system_user(), today() - timedelta(days=DAYS + 1)
    for year in (first.year, first.year + 1):
        fiscal_year_open(actor=actor, first_day=first.replace(year=year, day=1))
    year_fund(actor=actor, amount=usd("1000000000"), reason="Benchmark")
    provider = provider_add(actor=actor, name="bench", dialect=Dialect.OPENAI, base_url="https://bench.example")
    for number in range(MODELS):
        prices: dict[str, Any] = {"input_price": Decimal(1), "output_price": Decimal(3)}
        model = model_add(actor=actor, provider=provider, name=f"bench-{number}", tier=Tier.STANDARD, **prices)
        since = Span(first, first).starts_at
        rate = rate_propose(actor=actor, model=model, valid_from=since, source=RateSource.NEGOTIATED, **prices)
        rate_approve(actor=actor, rate=rate)
    for number in range(LINES):
        grant = grant_make(
            actor=actor, team_name=f"Team {number}", amount=usd(1_000_000), tier=Tier.STANDARD, reason="Benchmark"
        )
        key_issue(actor=actor, allocation=grant, name="k")
    ProviderKey.objects.create(provider=provider, external_id="tank", standing=KeyStanding.GATEWAY, first_seen_on=first)
    feed = Feed.objects.create(provider=provider, kind=FeedKind.LITELLM, gives_tokens=True, gives_money=True)
    return feed, first


def _table(feed: Feed, year: Span) -> str:
    last31 = Span(year.last - timedelta(days=30), year.last)
    rows = [
        _measured("a year's rows are read and count", lambda: _fetch(feed, year)),
        _measured("the year is reconciled", lambda: _reconcile(feed.provider, year)),
        _measured("31 days are read again, nothing changed", lambda: _fetch(feed, last31)),
        _measured("and reconciled again", lambda: _reconcile(feed.provider, last31)),
    ]
    return markdown(["what", "seconds", "MiB more at most", "outcome"], rows)


def _measured(what: str, work: Callable[[], str]) -> list[str]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = perf_counter()
    outcome = work()
    seconds = perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return [what, f"{seconds:.1f}", f"{grown:.0f}", outcome]


def _fetch(feed: Feed, span: Span) -> str:
    adapter = Year()
    fetch = fetch_begin(system_user(), feed, span)
    pages_keep(fetch, adapter.pages(Source("", ""), span))
    fetch_apply(fetch, adapter)
    return f"{fetch.rows_count:,} rows, {fetch.changes_count:,} new"


def _reconcile(provider: Provider, span: Span) -> str:
    before = JournalEntry.objects.count()
    done = reconcile(actor=system_user(), provider=provider, span=span)
    entries = JournalEntry.objects.count() - before
    return f"{done.changed:,} lines changed, {entries:,} entries, {done.outcomes}"
