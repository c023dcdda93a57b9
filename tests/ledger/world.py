"""Books with something in every table, for those who attack and tamper: the rows by name.

The last month is closed and its usage is detached. `first` is a month before it that is open all the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
from pytest_django import DjangoDbBlocker

from ledger.models import Account, AccountClass, FiscalYear, Period, RateSource
from ledger.money import usd
from ledger.selectors import today
from ledger.services import (
    Leg,
    account_open,
    adjustment_propose,
    correction_approve,
    exchange_rate_record,
    invoice_enter,
    period_accept,
    period_close,
    period_close_begin,
    rate_propose,
    reserve_convert,
    reversal_propose,
    usage_post,
)
from tests import databases
from tests.allocations.desk import open_desk
from tests.cast import build_company
from tests.ledger.books import open_books
from tests.ledger.history import Used, call_at, last_month, noon, open_year_from_last_month

World = dict[str, Any]


@contextmanager
def world_of_its_own(server: databases.Databases, blocker: DjangoDbBlocker) -> Iterator[World]:
    """Give such books in a database of their own, which Django uses."""
    with (
        server.cloned() as name,
        blocker.unblock(),
        databases.used_by_django(name),
        psycopg.connect(databases.owner_url(name)) as owner,
    ):
        yield make_world(owner)


def make_world(owner: psycopg.Connection) -> World:
    """Open the books, and return the ids of what is in them."""
    company = build_company()
    open_year_from_last_month(company.system)
    year = FiscalYear.objects.get()
    earlier = last_month() - timedelta(days=1)
    desk, books = open_desk(), open_books()
    for day in (last_month(), today()):
        call_at(owner, desk, noon(day, 0), Used(input=2_000_000, tags={"step": "read"}))
    usage = usage_post(actor=desk.actor)[-1]
    award, wrong = books.award("5"), books.award("5", "wrong")
    legs = [Leg(books.pool, Decimal(1)), Leg(books.reserve, Decimal(-1))]
    decided = reversal_propose(actor=company.hana, entry=wrong, reason="The wrong round")
    adjusted = adjustment_propose(actor=company.hana, legs=legs, reason="A typing error")
    reversal = correction_approve(actor=company.lou, correction=decided)
    adjustment = correction_approve(actor=company.lou, correction=adjusted)
    exchange_rate_record(
        actor=company.hana, base="USD", quote="EUR", valid_on=last_month(), rate=Decimal("0.9"), source="ECB"
    )
    reserve_convert(actor=company.lou, year=year, amount=usd(10), into="EUR", reason="An office in Lyon", key="lyon")
    closing = period_close_begin(actor=company.hana, period=Period.objects.get(starts_on=last_month()))
    period_accept(actor=company.hana, period=closing, item="usage_accrued", reason="Billed next month")
    period_close(actor=company.hana, period=closing)
    proposed = adjustment_propose(actor=company.hana, legs=legs, reason="Another typing error")
    proposed_rate = rate_propose(
        actor=company.hana,
        model=desk.model,
        source=RateSource.NEGOTIATED,
        input_price=Decimal(2),
        output_price=Decimal(6),
    )
    invoice_enter(
        actor=company.hana,
        provider=desk.model.provider,
        number="I-1",
        month=today(),
        issued_on=today(),
        amount=usd(2),
    )
    owner.execute("SELECT ledger_usage_detach(%s)", [last_month()])
    owner.execute(
        "INSERT INTO ledger_period (fiscal_year_id, starts_on, ends_on, state)"
        " SELECT fiscal_year_id, %s, %s, 'open' FROM ledger_period WHERE id = %s",
        [earlier.replace(day=1), earlier, closing.pk],
    )
    owner.commit()
    periods = Period.objects.order_by("starts_on")
    accounts = {name: getattr(books, name).pk for name in ("pool", "committed", "reserve")}
    others = {"line": desk.line.account.code, "metered": "metered:sandbox"}
    euros = account_open(code="reserve:eur", name="E", account_class=AccountClass.RESERVE, currency="EUR")
    return accounts | {
        **{name: Account.objects.get(code=code).pk for name, code in others.items()},
        "authority": Account.objects.get(account_class=AccountClass.AUTHORITY).pk,
        "euros": euros.pk,
        "period": periods.get(starts_on__lte=today(), ends_on__gte=today()).pk,
        "last_period": periods[len(periods) - 1].pk,
        "earlier": periods[0].pk,
        "closed": closing.pk,
        "award": award.pk,
        "usage": usage.pk,
        "reversal": reversal.pk,
        "adjustment": adjustment.pk,
        "decided": decided.pk,
        "adjusted": adjusted.pk,
        "proposed": proposed.pk,
        "rate": desk.rate.pk,
        "proposed_rate": proposed_rate.pk,
        "hana": company.hana.pk,
        "lou": company.lou.pk,
    }
