"""What the allocations of a fiscal year still have when it is over."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db.models import DecimalField, F, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from allocations.models import Allocation, AllocationState, Hold, HoldState
from ledger.models import FiscalYear
from ledger.money import show
from ledger.selectors import today

ZERO = Decimal(0)
MONEY: Any = DecimalField()


@dataclass(frozen=True, slots=True)
class Leftover:
    """What an allocation did not spend, in its currency.

    `lines` is released and not spent, `held` the part of it that calls hold, `unsettled` the part of that whose
    process went away; `committed` was never released.
    """

    allocation: Allocation
    currency: str
    lines: Decimal
    committed: Decimal
    held: Decimal
    unsettled: Decimal

    @property
    def left(self) -> Decimal:
        """Return all of it."""
        return self.lines + self.committed

    @property
    def obstacle(self) -> str:
        """Say why it cannot be given back now; nothing when it can."""
        allocation = self.allocation
        if allocation.state != AllocationState.EXPIRED:
            return f"It is {allocation.get_state_display().lower()} until {allocation.ends_on:%-d %b %Y}."
        if self.unsettled:
            return f"{show(self.unsettled, self.currency)} is held by calls that have to be settled."
        if self.held:
            return f"{show(self.held, self.currency)} is held by calls in flight."
        return ""


def year_leftovers(year: FiscalYear) -> list[Leftover]:
    """Return the allocations out of a fiscal year's money that still have some of it, oldest first."""
    return _leftovers(Allocation.objects.filter(committed_account__fiscal_year=year))


def _leftovers(rows: QuerySet[Allocation]) -> list[Leftover]:
    unsettled = (
        Hold.objects.filter(quota__line__allocation=OuterRef("pk"), state=HoldState.UNSETTLED)
        .values("quota__line__allocation")
        .values(total=Sum("amount"))
    )
    found = (
        rows.select_related("team", "committed_account", "funded_from")
        .annotate(
            unspent=_sum(F("lines__quota__limit") - F("lines__quota__spent")),
            held=_sum(F("lines__quota__held")),
            unsettled=Coalesce(Subquery(unsettled), ZERO, output_field=MONEY),
            committed=F("committed_account__stored__debits") - F("committed_account__stored__credits"),
        )
        .exclude(unspent=ZERO, committed=ZERO)
        .order_by("pk")
    )
    return [
        Leftover(one, one.committed_account.currency, one.unspent, one.committed, one.held, one.unsettled)
        for one in found
    ]


def _sum(amount: F | object) -> Coalesce:
    return Coalesce(Sum(amount), ZERO, output_field=MONEY)


@dataclass(frozen=True, slots=True)
class YearOver:
    """A fiscal year that is over: how many of its allocations still have budget, and how much by currency."""

    year: FiscalYear
    allocations: int
    left: dict[str, Decimal]
    as_of: datetime


def years_over() -> list[YearOver]:
    """Return the fiscal years that are over, the latest first."""
    years = list(FiscalYear.objects.filter(ends_on__lt=today()).order_by("-starts_on"))
    by_year: dict[int | None, list[Leftover]] = {}
    for leftover in _leftovers(Allocation.objects.filter(committed_account__fiscal_year__in=years)):
        by_year.setdefault(leftover.allocation.committed_account.fiscal_year_id, []).append(leftover)
    now = datetime.now(UTC)
    return [_year_over(year, by_year.get(year.pk, []), now) for year in years]


def _year_over(year: FiscalYear, leftovers: list[Leftover], now: datetime) -> YearOver:
    return YearOver(year, len(leftovers), left_by_currency(leftovers), now)


def left_by_currency(leftovers: Iterable[Leftover]) -> dict[str, Decimal]:
    """Add up what allocations have left, by currency."""
    sums: dict[str, Decimal] = {}
    for one in leftovers:
        sums[one.currency] = sums.get(one.currency, ZERO) + one.left
    return sums
