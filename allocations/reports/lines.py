"""Allocation lines as reports choose them, link to them and tie them to the ledger."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal

from django.db.models import QuerySet
from django.urls import reverse

from allocations.models import AllocationLine
from ledger.models import Account
from ledger.money import show
from ledger.reports.base import Choice, Tie
from ledger.selectors.spend import charged_not_posted


def lines_of(choice: Choice) -> QuerySet[AllocationLine]:
    """Return the lines that the filters leave, with what reports say of them, by allocation."""
    lines = AllocationLine.objects.select_related(
        "allocation__team__business_unit", "account__stored", "quota"
    ).order_by("allocation_id", "pk")
    if choice.unit is not None:
        lines = lines.filter(allocation__team__business_unit=choice.unit)
    if choice.team is not None:
        lines = lines.filter(allocation__team=choice.team)
    return lines.filter(tier=choice.tier) if choice.tier is not None else lines


def granted_of(line: AllocationLine) -> Decimal:
    """Return what a line may spend in all, in its currency."""
    limit: Decimal | None = line.quota.limit
    return limit or Decimal(0)


def links_of(line: AllocationLine) -> dict[str, str]:
    """Return the pages of a line: its allocation and its account's statement."""
    return {
        "allocation": reverse("allocations:allocation", args=[line.allocation.number]),
        "account": reverse("ledger:account", args=[line.account.code]),
    }


def unspent_ties(lines: Iterable[AllocationLine], label: str) -> list[Tie]:
    """Tie what is not spent of some lines to the balances of their accounts, per currency.

    Quotas know of a call at once and the journal within the hour: that difference is explained, any other is not.
    """
    groups: dict[str, list[AllocationLine]] = defaultdict(list)
    for line in lines:
        groups[line.account.currency].append(line)
    return [_tie(found, label, currency) for currency, found in sorted(groups.items())]


def _tie(lines: list[AllocationLine], label: str, currency: str) -> Tie:
    reported = sum((granted_of(line) - line.quota.spent for line in lines), Decimal(0))
    in_ledger = sum((Decimal(line.account.stored.balance.amount) for line in lines), Decimal(0))
    waiting = charged_not_posted(Account.objects.filter(line__in=[line.pk for line in lines]))
    is_it = waiting and reported - in_ledger == -waiting
    words = f"{show(waiting, currency)} was metered since the last hourly posting." if is_it else ""
    return Tie(label, currency, reported, in_ledger, "the allocation line accounts", words)


def share(part: Decimal, whole: Decimal) -> Decimal | None:
    """Return a share in percent to twelve places; None of nothing."""
    return (part * 100 / whole).quantize(Decimal("1e-12")) if whole else None


def span_of(choice: Choice) -> tuple[datetime, datetime]:
    """Return the first moment of the chosen days and the first after them, UTC."""
    first, last = (datetime.combine(day, time.min, UTC) for day in (choice.starts_on, choice.ends_on))
    return first, last + timedelta(days=1)
