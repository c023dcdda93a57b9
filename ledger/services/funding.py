"""Accounts, fiscal years and the money that comes in at the top: authority, reserve, pools."""

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import F
from djmoney.money import Money

from ledger.models import Account, AccountBalance, AccountClass, EntryKind, FiscalYear, JournalEntry, Period
from ledger.models.journal import ENVELOPES
from ledger.money import CURRENCY, exact_money, show
from ledger.months import month_of
from ledger.selectors.journal import authority_account, balance, current_fiscal_year, reserve_account, today
from ledger.services.posting import Leg, entry_post
from teams.access import require
from teams.errors import Refused, WrongState, require_reason
from teams.models import BusinessUnit, User
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
        name=f"FY{last_month.year}", defaults={"starts_on": first_day, "ends_on": month_of(last_month)[1]}
    )
    if created:
        months = [_add_months(first_day, place) for place in range(12)]
        Period.objects.bulk_create(
            Period(fiscal_year=year, starts_on=month, ends_on=month_of(month)[1]) for month in months
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
def year_fund(
    *, actor: User, amount: Money, reason: str, key: str | None = None, year: FiscalYear | None = None
) -> JournalEntry:
    """Add to a fiscal year's budget authority and reserve, by default today's.

    Opens the calendar year when none is open today.

    What comes after a year's first funding is supplementary funding, and its entry says so.
    Returns the entry. Raises NotAllowed, Refused (amount_not_positive, reason_missing).
    """
    require(actor, "ledger.fund_year", message="Only finance funds the year.")
    _require_positive(amount)
    require_reason(reason, "Funding needs a reason.")
    day = today()
    year = year or FiscalYear.objects.filter(starts_on__lte=day, ends_on__gte=day).first()
    year = year or fiscal_year_open(actor=actor, first_day=date(day.year, 1, 1))
    reserve, authority = reserve_account(year), authority_account(year)
    entry = entry_post(
        actor=actor,
        kind=_funding_kind(authority, key),
        source="fund",
        key=key or uuid4().hex,
        legs=[Leg(reserve, amount.amount), Leg(authority, -amount.amount)],
        reason=reason,
        memo=f"Funding of {year.name}",
    )
    if entry.is_new:
        audit_record(actor=actor, verb="fiscal_year.fund", target=year, reason=reason, details={"entry": entry.pk})
    return entry


def _funding_kind(authority: Account, key: str | None) -> EntryKind:
    # Asked again, it is what it was: of two first fundings at the same moment, neither saw the other.
    known = JournalEntry.objects.filter(source="fund", key=key or "").values_list("kind", flat=True).first()
    if known:
        return EntryKind(known)
    earlier = JournalEntry.objects.filter(kind=EntryKind.FUND, postings__account=authority)
    return EntryKind.SUPPLEMENT if earlier.exists() else EntryKind.FUND


@transaction.atomic
def year_cut(*, actor: User, year: FiscalYear, amount: Money, reason: str, key: str | None = None) -> JournalEntry:
    """Take budget back from a fiscal year's reserve, never below what is in pools, committed or spent.

    Raises NotAllowed, Refused (amount_not_positive, reason_missing, below_committed).
    """
    require(actor, "ledger.fund_year", message="Only finance cuts the year's budget.")
    _require_positive(amount)
    require_reason(reason, "A cut needs a reason.")
    try:
        return _give_up(actor, EntryKind.CUT, year, amount.amount, reason, key or uuid4().hex)
    except Refused as refused:
        if refused.code != "overdraft":
            raise
        reserve = reserve_account(year)
        raise Refused(
            f"Only {show(balance(reserve).amount, reserve.currency)} of {year.name} is neither in pools nor committed"
            " nor spent; a cut cannot go below that.",
            code="below_committed",
            field="amount",
        ) from refused


@transaction.atomic
def year_lapse(*, actor: User, year: FiscalYear, reason: str) -> list[JournalEntry]:
    """Let what is left of a fiscal year that is over lapse: pools return to the reserve, the reserve is given up.

    Returns the entries. Raises NotAllowed, WrongState (year_not_over), Refused (reason_missing, still_committed).
    """
    require(actor, "ledger.fund_year", message="Only finance lets a year's budget lapse.")
    require_reason(reason, "Lapsing a budget needs a reason.")
    if today() <= year.ends_on:
        raise WrongState(f"{year.name} runs until {year.ends_on}.")
    _require_uncommitted(year)
    entries = [_return_whole(actor, pool, left, reason) for pool, left in _with_money(year, [AccountClass.POOL])]
    left = balance(reserve_account(year)).amount
    if left > 0:
        key = _key_of_turn("fund", f"lapse:{year.name}")
        entries.append(_give_up(actor, EntryKind.LAPSE, year, left, reason, key))
    audit_record(actor=actor, verb="fiscal_year.lapse", target=year, reason=reason, details={"entries": len(entries)})
    return entries


def _require_uncommitted(year: FiscalYear) -> None:
    committed = _with_money(year, [AccountClass.COMMITTED, AccountClass.LINE])
    if committed:
        named = ", ".join(f"{account.code} {show(left, account.currency)}" for account, left in committed[:3])
        raise Refused(
            f"{len(committed)} accounts of {year.name} still hold budget ({named}); return it first.",
            code="still_committed",
        )


def _with_money(year: FiscalYear, classes: list[AccountClass]) -> list[tuple[Account, Decimal]]:
    rows = AccountBalance.objects.filter(
        account__fiscal_year=year, account__account_class__in=classes, debits__gt=F("credits")
    ).select_related("account")
    return [(row.account, row.debits - row.credits) for row in rows.order_by("account_id")]


def _return_whole(actor: User, pool: Account, left: Decimal, reason: str) -> JournalEntry:
    return entry_post(
        actor=actor,
        kind=EntryKind.POOL_RETURN,
        source="pool",
        key=_key_of_turn("pool", f"lapse:{pool.code}"),
        legs=[Leg(reserve_account(pool.fiscal_year), left), Leg(pool, -left)],
        reason=reason,
        memo=f"Returned from {pool.name} at year end",
    )


def _key_of_turn(source: str, stem: str) -> str:
    # A correction can bring money back after a lapse, which then lapses in another turn.
    return f"{stem}:{JournalEntry.objects.filter(source=source, key__startswith=f'{stem}:').count() + 1}"


def _give_up(actor: User, kind: EntryKind, year: FiscalYear, amount: Decimal, reason: str, key: str) -> JournalEntry:
    entry = entry_post(
        actor=actor,
        kind=kind,
        source="fund",
        key=key,
        legs=[Leg(authority_account(year), amount), Leg(reserve_account(year), -amount)],
        reason=reason,
        memo=f"{kind.label}: {year.name}",
    )
    if entry.is_new:
        details = {"entry": entry.pk}
        audit_record(actor=actor, verb=f"fiscal_year.{kind.value}", target=year, reason=reason, details=details)
    return entry


@transaction.atomic
def pool_delegate(*, actor: User, unit: BusinessUnit, amount: Money, reason: str, key: str | None = None) -> Account:
    """Give a business unit a pool of its own out of this year's reserve, which its head grants from; returns the pool.

    Given again, the same pool gets more. Raises NotAllowed, Refused (amount_not_positive, reason_missing, overdraft).
    """
    require(actor, "ledger.fund_year", message="Only finance delegates budget.")
    _require_positive(amount)
    require_reason(reason, "Delegating a pool needs a reason.")
    reserve = reserve_account()
    year = current_fiscal_year()
    pool = account_open(
        code=f"pool:unit:{unit.slug}:{year.name}",
        name=f"{unit.name} {year.name}",
        account_class=AccountClass.POOL,
        business_unit=unit,
        fiscal_year=year,
    )
    entry = entry_post(
        actor=actor,
        kind=EntryKind.POOL_OPEN,
        source="delegate",
        key=key or uuid4().hex,
        legs=[Leg(pool, amount.amount), Leg(reserve, -amount.amount)],
        reason=reason,
        memo=f"Delegated to {unit.name}",
    )
    if entry.is_new:
        audit_record(actor=actor, verb="pool.delegate", target=unit, reason=reason, details={"entry": entry.pk})
    return pool


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
