"""Burn-down: what is left of an allocation day by day, against a straight-line plan and at the present pace."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from allocations.models import Allocation
from allocations.selectors.allocation import quota_figures
from ledger.models import Account
from ledger.selectors import today
from ledger.selectors.spend import charged_by_day, daily_pace


@dataclass(frozen=True, slots=True)
class BurnDay:
    """One day (UTC) of an allocation, amounts in its currency.

    `spent` and `left` are None after today, `forecast` is None before; `plan` is the straight line from the
    whole amount to zero on the last day.
    """

    day: date
    spent: Decimal | None
    left: Decimal | None
    plan: Decimal
    forecast: Decimal | None


def burn_down(allocation: Allocation) -> list[BurnDay]:
    """Return the days from the first to the last of an allocation.

    The forecast goes on at the mean daily spend of the last seven days, to zero at the least.
    """
    limit = quota_figures(allocation).limit
    spent_on = charged_by_day(Account.objects.filter(line__allocation=allocation))
    first = min([allocation.starts_on, *spent_on])
    days = [first + timedelta(days=place) for place in range((allocation.ends_on - first).days + 1)]
    now = today()
    rows, left, pace = [], limit, daily_pace(spent_on, now)
    for place, day in enumerate(days, start=1):
        plan = limit * (len(days) - place) / len(days)
        if day <= now:
            spent = spent_on.get(day, Decimal(0))
            left -= spent
            rows.append(BurnDay(day, spent, left, plan, left if day == now else None))
        else:
            ahead = max(left - pace * (day - now).days, Decimal(0))
            rows.append(BurnDay(day, None, None, plan, ahead))
    return rows
