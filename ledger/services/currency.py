"""Several currencies: dated exchange rates, and conversion through a trading account per currency.

A conversion is one entry that balances in each currency by itself: the trading accounts take what the one currency
gave and give what the other got, so their balances show the open position and, valued at a day's rate, its gain or
loss. (Peter Selinger, "Tutorial on multiple currency accounting", 2005.)
"""

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from uuid import uuid4

from django.db import transaction
from djmoney.money import Money

from ledger.models import Account, AccountClass, EntryKind, ExchangeRate, FiscalYear, JournalEntry
from ledger.money import exact, exact_money, plain
from ledger.selectors.journal import reserve_account, today
from ledger.services.funding import account_open
from ledger.services.posting import Leg, entry_post
from teams.access import require
from teams.errors import Refused, require_reason
from teams.models import User
from teams.services import audit_record

CENT = Decimal("0.01")


@transaction.atomic
def exchange_rate_record(
    *, actor: User, base: str, quote: str, valid_on: date, rate: Decimal, source: str
) -> ExchangeRate:
    """Record how much of `quote` one unit of `base` was worth on a day; recorded again alike, return the first.

    Raises NotAllowed, Refused (rate_exists with another figure, rate_not_positive, same_currency, future_date).
    """
    require(actor, "ledger.record_exchange_rate", message="Only finance records exchange rates.")
    if base == quote:
        raise Refused("An exchange rate is between two currencies.", code="same_currency", field="quote")
    if exact(rate) <= 0:
        raise Refused("The rate must be more than zero.", code="rate_not_positive", field="rate")
    if valid_on > today():
        raise Refused(f"{valid_on} lies in the future.", code="future_date", field="valid_on")
    found, created = ExchangeRate.objects.get_or_create(
        base=base, quote=quote, valid_on=valid_on, defaults={"rate": rate, "source": source, "recorded_by": actor}
    )
    if found.rate != rate:
        raise Refused(f"{base}/{quote} of {valid_on} is {plain(found.rate)} already.", code="rate_exists", field="rate")
    if created:
        audit_record(actor=actor, verb="exchange_rate.record", target=found, details={"rate": plain(rate)})
    return found


def exchange_rate_on(base: str, quote: str, day: date) -> ExchangeRate:
    """Return the latest rate at or before a day. Raises Refused (no_exchange_rate)."""
    rows = ExchangeRate.objects.filter(base=base, quote=quote, valid_on__lte=day)
    rate = rows.select_related("recorded_by").order_by("-valid_on").first()
    if rate is None:
        raise Refused(f"No rate {base}/{quote} is recorded for {day} or before.", code="no_exchange_rate")
    return rate


@transaction.atomic
def reserve_convert(
    *,
    actor: User,
    year: FiscalYear,
    amount: Money,
    into: str,
    reason: str,
    key: str | None = None,
    effective_on: date | None = None,
) -> JournalEntry:
    """Turn money of a year's reserve into another currency's reserve, at the dated rate.

    The result is rounded half to even to cents; the rest below a cent stays in the trading account's favour.
    It takes two people: who recorded the rate is the entry's approver, and cannot be the one who converts.
    Raises NotAllowed, Refused (amount_not_positive, reason_missing, no_exchange_rate, same_currency, second_person,
    overdraft).
    """
    require(actor, "ledger.fund_year", message="Only finance converts budget.")
    given = exact_money(amount)
    if given.amount <= 0:
        raise Refused("The amount must be more than zero.", code="amount_not_positive", field="amount")
    require_reason(reason, "A conversion needs a reason.")
    currency = str(given.currency)
    if currency == into:
        raise Refused("It is in that currency already.", code="same_currency", field="into")
    day = effective_on or today()
    rate = exchange_rate_on(currency, into, day)
    _require_second_person(actor, rate)
    got = (given.amount * rate.rate).quantize(CENT, ROUND_HALF_EVEN)
    entry = entry_post(
        actor=actor,
        kind=EntryKind.CONVERSION,
        source="conversion",
        key=key or uuid4().hex,
        legs=[
            Leg(trading_account(currency), given.amount),
            Leg(reserve_in(year, currency), -given.amount),
            Leg(reserve_in(year, into), got),
            Leg(trading_account(into), -got),
        ],
        effective_on=day,
        reason=reason,
        memo=f"{currency} to {into} at {plain(rate.rate)} ({rate.source}, {rate.valid_on})",
        approved_by=rate.recorded_by,
    )
    if entry.is_new:
        audit_record(actor=actor, verb="budget.convert", target=year, reason=reason, details={"entry": entry.pk})
    return entry


def _require_second_person(actor: User, rate: ExchangeRate) -> None:
    if rate.recorded_by_id == actor.pk:
        raise Refused(
            f"You recorded the rate {rate.base}/{rate.quote} of {rate.valid_on} yourself; another person of finance has"
            " to convert at it.",
            code="second_person",
        )


def trading_account(currency: str) -> Account:
    """Return the trading account of a currency, opened when it is new."""
    return account_open(
        code=f"trading:{currency}",
        name=f"Currency trading: {currency}",
        account_class=AccountClass.TRADING,
        currency=currency,
    )


def reserve_in(year: FiscalYear, currency: str) -> Account:
    """Return a year's reserve in a currency, opened when it is new."""
    main = reserve_account(year)
    if main.currency == currency:
        return main
    return account_open(
        code=f"{main.code}:{currency}",
        name=f"{main.name}, {currency}",
        account_class=AccountClass.RESERVE,
        currency=currency,
        fiscal_year=year,
    )
