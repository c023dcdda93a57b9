"""The clearing balance day by day: what was metered and is neither billed nor taken by anybody."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db.models import Q, Sum

from ledger.models import AccountClass, EntryKind, Posting, Provider

ZERO = Decimal(0)
USED = (EntryKind.USAGE, EntryKind.OVERAGE)
SHOWN = (AccountClass.METERED, AccountClass.BILLED, AccountClass.VARIANCE)


@dataclass(frozen=True, slots=True)
class ClearingDay:
    """A provider's day by the dates of the facts: what moved on it, and the clearing balance at its end."""

    provider: str
    currency: str
    day: date
    metered: Decimal
    billed: Decimal
    variance: Decimal
    other: Decimal
    balance: Decimal


def clearing_days(first: date, last: date, provider: Provider | None = None) -> list[ClearingDay]:
    """Return the days on which something moved, by provider and day; amounts in the accounts' currency.

    `variance` is positive where the company pays more than was metered. Two queries, however long the span.
    """
    rows = Posting.objects.filter(account__account_class__in=SHOWN, account__provider__isnull=False)
    if provider:
        rows = rows.filter(account__provider=provider)
    before = rows.filter(entry__effective_on__lt=first, account__account_class=AccountClass.METERED)
    names = ("account__provider__name", "currency")
    balances = {
        (name, code): net for name, code, net in before.values_list(*names).annotate(net=Sum("amount")).order_by()
    }
    days = rows.filter(entry__effective_on__range=(first, last)).values_list(*names, "entry__effective_on")
    is_metered = Q(account__account_class=AccountClass.METERED)
    is_used = Q(entry__kind__in=USED) | Q(entry__reverses__kind__in=USED)
    sums = days.annotate(
        used=Sum("amount", filter=is_metered & is_used),
        cleared=Sum("amount", filter=is_metered),
        billed=Sum("amount", filter=Q(account__account_class=AccountClass.BILLED)),
        variance=Sum("amount", filter=Q(account__account_class=AccountClass.VARIANCE)),
    ).order_by(*names, "entry__effective_on")
    return list(_running(sums, balances))


def _running(
    rows: Iterable[tuple[str, str, date, Decimal | None, Decimal | None, Decimal | None, Decimal | None]],
    balances: dict[tuple[str, str], Decimal],
) -> Iterable[ClearingDay]:
    for name, currency, day, used, cleared, billed, variance in rows:
        moved = cleared or ZERO
        balances[name, currency] = balance = balances.get((name, currency), ZERO) + moved
        told = ((used or ZERO), (billed or ZERO), -(variance or ZERO))
        yield ClearingDay(name, currency, day, *told, moved - told[0] + told[1] - told[2], balance)
