"""How a fiscal year's money stands: where all of its budget is, and how fast it goes."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import F, Q, Sum

from ledger.models import Account, AccountBalance, AccountClass, EntryKind, FiscalYear, Posting
from ledger.selectors.journal import authority_account, current_fiscal_year, today
from ledger.selectors.spend import charged_by_day, daily_pace, runs_out_on
from teams.errors import Refused

ZERO = Decimal(0)
OUTLIVE_A_YEAR = (AccountClass.METERED, AccountClass.ACCRUED, AccountClass.BILLED, AccountClass.VARIANCE)


@dataclass(frozen=True, slots=True)
class YearFigures:
    """Where the budget of a fiscal year is, in one currency, as the journal has it.

    `converted` is what other currencies gave to this one, less what it gave to them. What was used lies in the
    providers' accounts, which outlive a year: their balances hold what earlier years used as well.
    """

    year: FiscalYear
    currency: str
    authority: Decimal
    converted: Decimal
    reserve: Decimal
    pools: Decimal
    committed: Decimal
    lines: Decimal
    metered: Decimal
    accrued: Decimal
    billed: Decimal
    variance: Decimal
    as_of: datetime

    @property
    def funded(self) -> Decimal:
        """Return what the year can spend in this currency."""
        return self.authority + self.converted

    @property
    def promised(self) -> Decimal:
        """Return what is in pools, commitments and allocation lines."""
        return self.pools + self.committed + self.lines

    @property
    def used(self) -> Decimal:
        """Return what has left the year's envelopes: funded minus what is still in them."""
        return self.funded - self.reserve - self.promised

    @property
    def other_years(self) -> Decimal:
        """Return what the providers' accounts hold that the lines of other years paid."""
        return self.metered + self.accrued + self.billed + self.variance - self.used


def year_figures() -> YearFigures | None:
    """Return how today's fiscal year stands in its own currency; None before its first funding."""
    return next(iter(year_figures_by_currency()), None)


def year_figures_by_currency() -> list[YearFigures]:
    """Return how today's fiscal year stands, its own currency first; empty before its first funding."""
    try:
        year = current_fiscal_year()
    except Refused:
        return []
    own = authority_account(year).currency
    sums = _sums(year)
    converted = _converted(year)
    others = sorted({currency for currency, name in sums if name == AccountClass.RESERVE} - {own})
    now = datetime.now(UTC)
    return [_figures(year, currency, sums, converted.get(currency, ZERO), now) for currency in (own, *others)]


def _figures(
    year: FiscalYear, currency: str, sums: dict[tuple[str, str], Decimal], converted: Decimal, now: datetime
) -> YearFigures:
    def net(name: AccountClass) -> Decimal:
        return sums.get((currency, name.value), ZERO)

    return YearFigures(
        year=year,
        currency=currency,
        authority=-net(AccountClass.AUTHORITY),
        converted=converted,
        reserve=net(AccountClass.RESERVE),
        pools=net(AccountClass.POOL),
        committed=net(AccountClass.COMMITTED),
        lines=net(AccountClass.LINE),
        metered=net(AccountClass.METERED),
        accrued=net(AccountClass.ACCRUED),
        billed=net(AccountClass.BILLED),
        variance=net(AccountClass.VARIANCE),
        as_of=now,
    )


def _sums(year: FiscalYear) -> dict[tuple[str, str], Decimal]:
    """Return the balances of the year's accounts and of those that outlive it, by currency and class."""
    meant = Q(account__fiscal_year=year) | Q(account__account_class__in=OUTLIVE_A_YEAR)
    rows = AccountBalance.objects.filter(meant).values("currency", "account__account_class")
    return {
        (row["currency"], row["account__account_class"]): row["net"]
        for row in rows.annotate(net=Sum(F("debits") - F("credits")))
    }


def _converted(year: FiscalYear) -> dict[str, Decimal]:
    reserves = Account.objects.filter(fiscal_year=year, account_class=AccountClass.RESERVE)
    rows = Posting.objects.filter(account__in=reserves, entry__kind=EntryKind.CONVERSION).values("currency")
    return {row["currency"]: row["net"] for row in rows.annotate(net=Sum("amount"))}


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the waterfall: what it takes (negative) or adds, and what is left after it, in one currency."""

    name: str
    label: str
    amount: Decimal
    left: Decimal
    is_total: bool = False


def waterfall(figures: YearFigures) -> list[Step]:
    """Return the way of a year's budget, from the authority down to zero; a last step other than zero is an error.

    A conversion and other years' usage have a step only where there is any.
    """
    parts = [
        ("converted", "Converted from other currencies", figures.converted),
        ("reserve", "In the reserve", -figures.reserve),
        ("pools", "In pools", -figures.pools),
        ("committed", "Committed, not released", -figures.committed),
        ("lines", "Available on lines", -figures.lines),
        ("metered", "Spent, not yet billed", -figures.metered),
        ("accrued", "Accrued", -figures.accrued),
        ("billed", "Billed", -figures.billed),
        ("variance", "Variance", -figures.variance),
        ("other_years", "Of which other years used", figures.other_years),
    ]
    return list(_steps(figures.authority, [part for part in parts if part[2] or part[0] not in MAY_BE_MISSING]))


MAY_BE_MISSING = {"converted", "other_years"}


def _steps(authority: Decimal, parts: list[tuple[str, str, Decimal]]) -> Iterator[Step]:
    left = authority
    yield Step("authority", "Budget authority", authority, left, is_total=True)
    for name, label, amount in parts:
        left += amount
        yield Step(name, label, amount, left)
    yield Step("rest", "Not accounted for", left, left, is_total=True)


@dataclass(frozen=True, slots=True)
class YearDay:
    """One day (UTC) of the fiscal year, amounts in its currency.

    `spent` and `used` (the sum so far) are None after today, `forecast` is None before; `plan` is the straight line
    from zero to all that is funded on the last day.
    """

    day: date
    spent: Decimal | None
    used: Decimal | None
    plan: Decimal
    forecast: Decimal | None


@dataclass(frozen=True, slots=True)
class YearBurn:
    """How fast the year's budget goes. `pace` is the mean daily spend of the last seven days."""

    days: list[YearDay]
    currency: str
    spent: Decimal
    plan: Decimal
    pace: Decimal
    runs_out_on: date | None
    as_of: datetime

    @property
    def ends_on(self) -> date:
        """Return the last day of the year."""
        return self.days[-1].day

    @property
    def is_early(self) -> bool:
        """Say whether the money runs out before the year does."""
        return self.runs_out_on is not None and self.runs_out_on < self.ends_on


def year_burn(figures: YearFigures) -> YearBurn:
    """Return what the year's lines spent day by day against the straight line, metered to the minute."""
    lines = Account.objects.filter(fiscal_year=figures.year, account_class=AccountClass.LINE, currency=figures.currency)
    spent_on, now = charged_by_day(lines), today()
    pace, spent = daily_pace(spent_on, now), sum(spent_on.values(), ZERO)
    days = list(_year_days(figures, spent_on, pace, now))
    return YearBurn(
        days=days,
        currency=figures.currency,
        spent=spent,
        plan=next((day.plan for day in reversed(days) if day.day <= now), ZERO),
        pace=pace,
        runs_out_on=runs_out_on(figures.funded - spent, pace, now) if spent else None,
        as_of=figures.as_of,
    )


def _year_days(figures: YearFigures, spent_on: dict[date, Decimal], pace: Decimal, now: date) -> Iterator[YearDay]:
    year, used = figures.year, ZERO
    # Calls before the first day are charged to it, so that the sum is the whole.
    early = sum((spent for day, spent in spent_on.items() if day < year.starts_on), ZERO)
    length = (year.ends_on - year.starts_on).days + 1
    for place in range(length):
        day = year.starts_on + timedelta(days=place)
        plan = figures.funded * (place + 1) / length
        if day <= now:
            spent = spent_on.get(day, ZERO) + (early if place == 0 else ZERO)
            used += spent
            yield YearDay(day, spent, used, plan, used if day == now else None)
        else:
            yield YearDay(day, None, None, plan, min(used + pace * (day - now).days, max(figures.funded, used)))
