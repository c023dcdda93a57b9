"""Accounts, fiscal years and the money that comes in at the top: authority, reserve, pools."""

import calendar
from datetime import date
from typing import Any
from uuid import uuid4

from django.db import transaction
from djmoney.money import Money

from ledger.models import Account, AccountClass, EntryKind, FiscalYear, JournalEntry, Period
from ledger.models.journal import ENVELOPES
from ledger.money import CURRENCY, exact_money
from ledger.selectors.journal import authority_account, reserve_account, today
from ledger.services.posting import Leg, entry_post
from teams.access import require
from teams.errors import Refused
from teams.models import User
from teams.services import audit_record


def account_open(
    *, code: str, name: str, account_class: AccountClass, currency: str = CURRENCY, **dimensions: Any
) -> Account:
    """Return the account of a code, opened when it is new; `dimensions` are team, business unit, provider, tier."""
    account, _ = Account.objects.get_or_create(
        code=code,
        defaults={
            "name": name[:160],
            "account_class": account_class,
            "currency": currency,
            "no_overdraft": account_class in ENVELOPES,
            **dimensions,
        },
    )
    return account


@transaction.atomic
def fiscal_year_open(*, actor: User, first_day: date) -> FiscalYear:
    """Open the fiscal year that starts on a day: twelve monthly periods, its authority and its reserve."""
    last_month = _add_months(first_day, 11)
    year, created = FiscalYear.objects.get_or_create(
        name=f"FY{last_month.year}", defaults={"starts_on": first_day, "ends_on": _month_end(last_month)}
    )
    if created:
        months = [_add_months(first_day, place) for place in range(12)]
        Period.objects.bulk_create(
            Period(fiscal_year=year, starts_on=month, ends_on=_month_end(month)) for month in months
        )
        audit_record(actor=actor, verb="fiscal_year.open", target=year)
    account_open(
        code=f"authority:{year.name}",
        name=f"Budget authority {year.name}",
        account_class=AccountClass.AUTHORITY,
        fiscal_year=year,
    )
    account_open(
        code=f"reserve:{year.name}",
        name=f"Reserve {year.name}",
        account_class=AccountClass.RESERVE,
        fiscal_year=year,
    )
    return year


@transaction.atomic
def year_fund(*, actor: User, amount: Money, reason: str, key: str | None = None) -> JournalEntry:
    """Add to this fiscal year's budget authority and reserve; opens the calendar year when none is open.

    Returns the entry. Raises NotAllowed, Refused (amount_not_positive, reason_missing).
    """
    require(actor, "ledger.fund_year", message="Only finance funds the year.")
    _require_positive(amount)
    if not reason.strip():
        raise Refused("Funding needs a reason.", code="reason_missing", field="reason")
    day = today()
    year = FiscalYear.objects.filter(starts_on__lte=day, ends_on__gte=day).first()
    year = year or fiscal_year_open(actor=actor, first_day=date(day.year, 1, 1))
    reserve, authority = reserve_account(year), authority_account(year)
    entry = entry_post(
        actor=actor,
        kind=EntryKind.FUND,
        source="fund",
        key=key or uuid4().hex,
        legs=[Leg(reserve, amount.amount), Leg(authority, -amount.amount)],
        reason=reason,
        memo=f"Funding of {year.name}",
    )
    audit_record(actor=actor, verb="fiscal_year.fund", target=year, reason=reason, details={"entry": entry.pk})
    return entry


@transaction.atomic
def pool_open(*, actor: User, code: str, name: str, amount: Money, reason: str, key: str) -> Account:
    """Open a pool and move its money out of the reserve; repeated with the same key, change nothing.

    Raises Refused (overdraft) when the reserve has less than that.
    """
    _require_positive(amount)
    reserve = reserve_account()
    pool = account_open(code=code, name=name, account_class=AccountClass.POOL, fiscal_year=reserve.fiscal_year)
    entry_post(
        actor=actor,
        kind=EntryKind.POOL_OPEN,
        source="pool",
        key=key,
        legs=[Leg(pool, amount.amount), Leg(reserve, -amount.amount)],
        reason=reason,
        memo=f"Pool {name}",
    )
    return pool


@transaction.atomic
def pool_return(*, actor: User, pool: Account, amount: Money, reason: str, key: str) -> JournalEntry:
    """Move money from a pool back to the reserve; returns the entry. Raises Refused (overdraft)."""
    _require_positive(amount)
    return entry_post(
        actor=actor,
        kind=EntryKind.POOL_RETURN,
        source="pool",
        key=key,
        legs=[Leg(reserve_account(), amount.amount), Leg(pool, -amount.amount)],
        reason=reason,
        memo=f"Returned from {pool.name}",
    )


def _require_positive(amount: Money) -> None:
    if exact_money(amount).amount <= 0:
        raise Refused("The amount must be more than zero.", code="amount_not_positive", field="amount")


def _add_months(day: date, months: int) -> date:
    place = day.year * 12 + day.month - 1 + months
    return date(place // 12, place % 12 + 1, 1)


def _month_end(day: date) -> date:
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])
