"""How a fiscal year's money stands: where all of its budget is, and how fast it goes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, QuerySet, Sum

from ledger.models import Account, AccountBalance, AccountClass, EntryKind, FiscalYear, Posting
from ledger.models.journal import ENVELOPES
from ledger.selectors.journal import today
from ledger.selectors.spend import charged_by_day, daily_pace, runs_out_on

ZERO = Decimal(0)
Nets = dict[tuple[str, str], Decimal]
"""Balances by currency and account class."""
OUTLIVE_A_YEAR = (AccountClass.METERED, AccountClass.ACCRUED, AccountClass.BILLED, AccountClass.VARIANCE)


@dataclass(frozen=True, slots=True)
class Envelopes:
    """Where the budget of a fiscal year is, in one currency, as the journal has it.

    `converted` is what other currencies gave to this one, less what it gave to them.
    """

    year: FiscalYear
    currency: str
    authority: Decimal
    converted: Decimal
    reserve: Decimal
    pools: Decimal
    committed: Decimal
    lines: Decimal

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


@dataclass(frozen=True, slots=True)
class YearFigures(Envelopes):
    """The envelopes of a fiscal year beside what was used out of them, in one currency.

    What was used lies in the providers' accounts, which outlive a year: their balances hold what earlier years used
    as well.
    """

    metered: Decimal
    accrued: Decimal
    billed: Decimal
    variance: Decimal
    as_of: datetime

    @property
    def other_years(self) -> Decimal:
        """Return what the providers' accounts hold that the lines of other years paid."""
        return self.metered + self.accrued + self.billed + self.variance - self.used


def envelopes_of(years: Iterable[FiscalYear]) -> list[Envelopes]:
    """Return the envelopes of fiscal years in the order given, in two queries; each year's own currency first."""
    years = list(years)
    nets, converted = _nets(years), _converted(years)
    return [
        _envelopes(year, currency, nets[year.pk], converted.get((year.pk, currency), ZERO))
        for year in years
        for currency in _currencies(nets.get(year.pk, {}))
    ]


def _envelopes(year: FiscalYear, currency: str, nets: Nets, converted: Decimal) -> Envelopes:
    parts = [nets.get((currency, name.value), ZERO) for name in ENVELOPES]
    return Envelopes(year, currency, -nets.get((currency, AccountClass.AUTHORITY.value), ZERO), converted, *parts)


def _currencies(nets: Nets) -> list[str]:
    own = sorted({currency for currency, name in nets if name == AccountClass.AUTHORITY})
    return own + sorted({currency for currency, name in nets if name == AccountClass.RESERVE} - set(own))


def _nets(years: list[FiscalYear]) -> dict[int, Nets]:
    rows = AccountBalance.objects.filter(account__fiscal_year__in=years)
    found: dict[int, Nets] = {}
    for year, currency, name, net in _summed(rows, "account__fiscal_year", "currency", "account__account_class"):
        found.setdefault(year, {})[currency, name] = net
    return found


def _converted(years: list[FiscalYear]) -> dict[tuple[int, str], Decimal]:
    postings = Posting.objects.filter(
        account__fiscal_year__in=years, account__account_class=AccountClass.RESERVE, entry__kind=EntryKind.CONVERSION
    )
    rows = postings.values_list("account__fiscal_year", "currency").annotate(net=Sum("amount"))
    return {(year, currency): net for year, currency, net in rows}


def _summed(rows: QuerySet[AccountBalance], *by: str) -> QuerySet[AccountBalance, tuple[Any, ...]]:
    return rows.values_list(*by).annotate(net=Sum(F("debits") - F("credits")))


def year_figures() -> YearFigures | None:
    """Return how today's fiscal year stands in its own currency; None before its first funding."""
    return next(iter(year_figures_by_currency()), None)


def year_figures_by_currency() -> list[YearFigures]:
    """Return how today's fiscal year stands, its own currency first; empty before its first funding."""
    day = today()
    envelopes = envelopes_of(FiscalYear.objects.filter(starts_on__lte=day, ends_on__gte=day))
    providers = AccountBalance.objects.filter(account__account_class__in=OUTLIVE_A_YEAR)
    used = {(currency, name): net for currency, name, net in _summed(providers, "currency", "account__account_class")}
    now = datetime.now(UTC)
    return [_figures(one, used, now) for one in envelopes]


def _figures(one: Envelopes, used: Nets, now: datetime) -> YearFigures:
    kept: dict[str, Any] = {part.name: getattr(one, part.name) for part in fields(one)}
    outside: dict[str, Any] = {name.value: used.get((one.currency, name.value), ZERO) for name in OUTLIVE_A_YEAR}
    return YearFigures(**kept, **outside, as_of=now)


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
