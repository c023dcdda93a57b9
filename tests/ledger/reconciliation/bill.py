"""A provider with two teams as its users, and what its feeds say, written down by a test."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

from allocations.models import Allocation
from allocations.services import grant_make, key_issue
from ledger.models import Account, AiModel, Charge, Dialect, Feed, FeedFetch, FeedKind, Provider, RateSource, Tier
from ledger.money import plain, usd
from ledger.providers.base import KeySeen, Page, Row, Source, Span
from ledger.rating import cost
from ledger.services import model_add, provider_add, rate_approve, rate_propose, year_fund
from ledger.services.fetching import fetch_apply, fetch_begin, pages_keep
from teams.models import User
from teams.selectors import system_user
from tests.allocations.desk import Desk
from tests.ledger.history import Used, call_at, last_month, noon, open_year_from_last_month

CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


class Written:
    """An adapter whose pages a test writes: rows as JSON, in any order, on as many pages as the test likes."""

    gives_tokens = True
    gives_money = True

    def pages(self, source: Source, span: Span) -> Iterator[Page]:
        """There is nothing to fetch: the test keeps the pages itself."""
        return iter(())

    def rows(self, body: bytes, span: Span) -> Iterator[Row]:
        """Read the rows of a page."""
        for told in json.loads(body):
            facts = told | {"day": date.fromisoformat(told["day"]), "amount": Decimal(told["amount"])}
            yield Row(**facts | {"charge": Charge(told["charge"])})

    def keys(self, source: Source) -> Iterator[KeySeen]:
        """It lists none."""
        return iter(())


def page(rows: Iterable[Row]) -> Page:
    """Write rows on a page."""
    names = Row.__dataclass_fields__
    told = [{name: getattr(row, name) for name in names} for row in rows]
    facts = [one | {"day": str(one["day"]), "amount": plain(one["amount"])} for one in told]
    return Page("/written", json.dumps(facts).encode())


@dataclass
class Bill:
    """The provider "acme", its feed of tokens and its feed of money, and a desk for each team and model."""

    owner: psycopg.Connection
    actor: User
    provider: Provider
    tokens: Feed
    money: Feed
    desks: dict[tuple[str, str], Desk]
    token_rows: list[Row] = field(default_factory=list)
    money_rows: list[Row] = field(default_factory=list)

    def desk(self, team: str = "Blue", model: str = "acme-small") -> Desk:
        """Return a team's desk for a model."""
        return self.desks[team, model]

    def used(self, day: date, used: Used, *, team: str = "Blue", model: str = "acme-small", hour: int = 12) -> None:
        """Meter a call."""
        call_at(self.owner, self.desk(team, model), noon(day, hour), used)

    def tells(self, day: date, used: Used, *, model: str = "acme-small", calls: int = 1, **facts: Any) -> Row:
        """Have the feed of tokens tell of calls."""
        tokens = {f"{name}_tokens": getattr(used, name) for name in CLASSES}
        row = Row(day=day, model_name=model, requests=calls, **tokens, **facts)
        self.token_rows.append(row)
        return row

    def asks(self, day: date, amount: Decimal | str, *, model: str = "acme-small", **facts: Any) -> Row:
        """Have the feed of money ask an amount."""
        row = Row(day=day, model_name=model, amount=Decimal(amount), **facts)
        self.money_rows.append(row)
        return row

    def bills(self, day: date, used: Used, *, model: str = "acme-small", times: str = "1", **facts: Any) -> None:
        """Have both feeds tell of calls at so many times the price of the rate card, class by class."""
        calls = facts.pop("calls", 1)
        self.tells(day, used, model=model, calls=calls, **facts)
        rate = self.rate(model, day)
        for name in CLASSES:
            count = getattr(used, name)
            if count:
                amount = cost(rate, replace(NOTHING, **{name: count})) * Decimal(times)
                self.asks(day, amount, model=model, token_class=name, **facts)

    def rate(self, model: str, day: date) -> Any:
        """Return the rate of a model in force at the end of a day."""
        found = AiModel.objects.get(name=model.removeprefix("acme/").removesuffix("-2026-05-05"))
        after = noon(day, 0) + timedelta(days=1)
        return found.rates.filter(approved_at__isnull=False, valid_from__lt=after).order_by("-valid_from")[0]

    def fetch(self, *, last: date | None = None, pages: int = 1, until: datetime | None = None) -> list[FeedFetch]:
        """Fetch both feeds over the last month up to a day: what was written down is what they say."""
        span = Span(last_month(), last or last_month() + timedelta(days=27))
        return [
            self.fetch_of(self.tokens, self.token_rows, span, pages=pages, until=until),
            self.fetch_of(self.money, self.money_rows, span, pages=pages, until=until),
        ]

    def fetch_of(
        self, feed: Feed, rows: list[Row], span: Span, *, pages: int = 1, until: datetime | None = None
    ) -> FeedFetch:
        """Fetch one feed: its rows of the span, dealt out over so many pages."""
        inside = [row for row in rows if row.day in span]
        dealt = [replace(page(inside[n::pages]), complete_until=until) for n in range(pages)]
        fetch = fetch_begin(self.actor, feed, span)
        pages_keep(fetch, dealt)
        return fetch_apply(fetch, Written())


NOTHING = Used()


def open_bill(owner: psycopg.Connection, *, amount: str = "1000") -> Bill:
    """Open the books from the last month on, with two teams that use acme-small (1 and 3) and acme-big (10 and 30)."""
    actor = system_user()
    open_year_from_last_month(actor)
    year_fund(actor=actor, amount=usd("100000"), reason="Budget of the year")
    provider = provider_add(
        actor=actor, name="acme", dialect=Dialect.OPENAI, base_url="https://acme.example/v1", api_key="sk-abc-long-def"
    )
    models = [_model(actor, provider, "acme-small", "1", "3"), _model(actor, provider, "acme-big", "10", "30")]
    desks = {}
    for team in ("Blue", "Green"):
        allocation = grant_make(
            actor=actor, team_name=team, amount=usd(amount), tier=Tier.STANDARD, reason="A grant for the year"
        )
        for model in models:
            desks[team, model.name] = _desk(actor, allocation, model)
    tokens = Feed.objects.create(provider=provider, kind=FeedKind.OPENAI_USAGE, gives_tokens=True, gives_money=False)
    money = Feed.objects.create(provider=provider, kind=FeedKind.OPENAI_COSTS, gives_tokens=False, gives_money=True)
    return Bill(owner, actor, provider, tokens, money, desks)


def _model(actor: User, provider: Provider, name: str, price_in: str, price_out: str) -> AiModel:
    """Add a model whose price holds since the month before the last: cached input costs a tenth."""
    prices: dict[str, Any] = {
        "input_price": Decimal(price_in),
        "output_price": Decimal(price_out),
        "cache_read_price": Decimal(price_in) / 10,
    }
    model = model_add(actor=actor, provider=provider, name=name, tier=Tier.STANDARD, **prices)
    since = noon(last_month() - timedelta(days=20))
    rate = rate_propose(actor=actor, model=model, valid_from=since, source=RateSource.NEGOTIATED, **prices)
    rate_approve(actor=actor, rate=rate)
    return model


def _desk(actor: User, allocation: Allocation, model: AiModel) -> Desk:
    key, secret = key_issue(actor=actor, allocation=allocation, name=f"{model.name} key")
    rate = model.rates.order_by("valid_from")[0]
    return Desk(actor, allocation, allocation.lines.get(), model, rate, key, secret)


def balances() -> dict[str, Decimal]:
    """Return what is on the provider's accounts and on both lines."""
    found = {}
    for account in Account.objects.filter(code__regex=r"^(metered|billed|variance):acme$|^line:"):
        stored = account.stored
        found[account.code.split(":")[0] + (f" {account.team.name}" if account.team else "")] = (
            stored.debits - stored.credits
        )
    return found
