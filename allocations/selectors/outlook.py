"""How long lines last at the pace of the last seven days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import QuerySet

from allocations.models import AllocationLine
from ledger.models import Account
from ledger.selectors.spend import PACE_DAYS, charged_by_line, daily_pace, runs_out_on

# Of the days that are left: closer to the plan than that is no news.
MARGIN = 10


@dataclass(frozen=True, slots=True)
class Outlook:
    """How long a line lasts; amounts in its currency."""

    line: AllocationLine
    left: Decimal
    pace: Decimal
    runs_out_on: date | None

    @property
    def days_early(self) -> int | None:
        """Return by how many days the money ends before the allocation; None when it lasts."""
        ends_on = self.line.allocation.ends_on
        early = self.runs_out_on is not None and self.runs_out_on < ends_on
        return (ends_on - self.runs_out_on).days if early and self.runs_out_on else None

    def is_alarming(self, now: date) -> bool:
        """Say whether something is left, and ends early by more than a tenth of the days that remain."""
        remaining = (self.line.allocation.ends_on - now).days
        return self.left > 0 and self.days_early is not None and self.days_early * MARGIN > remaining


def outlooks(lines: QuerySet[AllocationLine], now: date) -> Iterator[Outlook]:
    """Go through lines, which come with their quota and allocation, and how long each lasts from a day on."""
    accounts = Account.objects.filter(line__in=lines.order_by().values("pk"))
    spent = charged_by_line(accounts, since=now - timedelta(days=PACE_DAYS - 1))
    for line in lines:
        left = (line.quota.limit or Decimal(0)) - line.quota.spent
        pace = daily_pace(spent.get(line.account_id, {}), now)
        yield Outlook(line, left, pace, runs_out_on(left, pace, now))
