"""Balances and statements: each figure is one stored row, whatever the age of the ledger."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from djmoney.money import Money

from ledger.models import Account, AccountBalance, AccountClass, EntryKind, FiscalYear, PeriodState, Posting
from ledger.models.journal import CLOSING_KINDS
from ledger.money import CURRENCY
from teams.errors import Refused


def today() -> date:
    """Return the accounting date now: the day in UTC."""
    return datetime.now(UTC).date()


def balance(account: Account) -> Money:
    """Return an account's balance, debits minus credits, from its one stored row."""
    return AccountBalance.objects.get(account=account).balance


def current_fiscal_year() -> FiscalYear:
    """Return the fiscal year of today; raises Refused (no_fiscal_year) when finance has not opened it."""
    day = today()
    year = FiscalYear.objects.filter(starts_on__lte=day, ends_on__gte=day).first()
    if year is None:
        raise Refused(f"No fiscal year is open for {day}; fund one first.", code="no_fiscal_year")
    return year


def authority_account(year: FiscalYear | None = None) -> Account:
    """Return the budget authority of a fiscal year, by default today's."""
    return _year_account(AccountClass.AUTHORITY, year)


def reserve_account(year: FiscalYear | None = None) -> Account:
    """Return the reserve of a fiscal year, by default today's."""
    return _year_account(AccountClass.RESERVE, year)


def _year_account(account_class: AccountClass, year: FiscalYear | None) -> Account:
    name = (year or current_fiscal_year()).name
    return Account.objects.get(code=f"{account_class.value}:{name}")


def available_in_reserve() -> Money:
    """Return what this fiscal year's reserve still has; zero before the first funding."""
    try:
        return balance(reserve_account())
    except Refused:
        return Money(0, CURRENCY)


def period_states(kind: EntryKind) -> list[str]:
    """Return the states in which a period takes a kind of entry: one that is closing takes what its close needs."""
    states = [PeriodState.OPEN, PeriodState.CLOSING] if kind in CLOSING_KINDS else [PeriodState.OPEN]
    return [state.value for state in states]


def statement(account: Account, before: int | None = None, limit: int = 50) -> list[Posting]:
    """Return postings of an account with their entries, newest first; `before` is an account_version."""
    postings = Posting.objects.filter(account=account).select_related("entry", "entry__actor")
    if before is not None:
        postings = postings.filter(account_version__lt=before)
    return list(postings.order_by("-account_version")[:limit])


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One account in the trial balance; amounts in the account's currency."""

    account: Account
    debits: Decimal
    credits: Decimal
    balance: Decimal


def trial_balance() -> list[TrialRow]:
    """Return every account with its stored totals, by class and code; balances sum to zero per currency."""
    order = {account_class: place for place, account_class in enumerate(AccountClass.values)}
    rows = AccountBalance.objects.select_related("account", "account__team")
    return sorted(
        (TrialRow(row.account, row.debits, row.credits, row.debits - row.credits) for row in rows),
        key=lambda row: (order[row.account.account_class], row.account.code),
    )
