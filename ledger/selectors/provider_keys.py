"""Providers' keys and what they cost past Tank, and what providers' names of models mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Case, Count, Max, Sum, Value, When

from ledger.models import FeedFigure, KeyStanding, NameFound, ProviderKey, ProviderModelName, ReconciliationLine
from ledger.selectors.journal import today

ZERO = Decimal(0)
DAYS = 31
UNKNOWN_FIRST = Case(
    When(standing=KeyStanding.UNKNOWN, then=Value(0)),
    When(standing=KeyStanding.CLAIMED, then=Value(1)),
    default=Value(2),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """A day of a small picture: what it cost, and how high its bar is of 24."""

    day: date
    cost: Decimal
    x: int
    y: str
    height: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key with what it cost on each of the last 31 days, UTC, in the currency of its provider's lines."""

    key: ProviderKey
    days: Sequence[tuple[date, Decimal]]
    currency: str

    @property
    def total(self) -> Decimal:
        """Return what it cost altogether."""
        return sum((cost for _day, cost in self.days), ZERO)

    @property
    def last_on(self) -> date | None:
        """Return the last of the days on which it cost something."""
        return max((day for day, cost in self.days if cost), default=None)

    @property
    def bars(self) -> list[Bar]:
        """Return the days as bars of a picture 155 wide and 24 high."""
        most = max((abs(cost) for _day, cost in self.days), default=ZERO)
        heights = [24 * abs(cost) / most if most else ZERO for _day, cost in self.days]
        return [
            Bar(day, cost, 5 * n, f"{24 - height:.1f}", f"{height:.1f}")
            for n, ((day, cost), height) in enumerate(zip(self.days, heights, strict=True))
        ]


def key_rows(keys: Sequence[ProviderKey] | None = None) -> list[KeyRow]:
    """Return the providers' keys with their cost by day, unknown ones first; in two queries."""
    if keys is None:
        rows = ProviderKey.objects.select_related("provider", "owner", "account")
        keys = list(rows.order_by(UNKNOWN_FIRST, "provider__name", "name", "pk"))
    first = today() - timedelta(days=DAYS - 1)
    lines = ReconciliationLine.objects.filter(provider_key__in=[key.pk for key in keys], day__gte=first)
    sums = lines.values_list("provider_key", "day", "currency").annotate(cost=Sum("reported")).order_by()
    cost = {(key, day): (amount, currency) for key, day, currency, amount in sums}
    days = [first + timedelta(days=n) for n in range(DAYS)]
    found = []
    for key in keys:
        currency = next((cost[key.pk, day][1] for day in days if (key.pk, day) in cost), "USD")
        found.append(KeyRow(key, [(day, cost.get((key.pk, day), (ZERO, ""))[0]) for day in days], currency))
    return found


@dataclass(frozen=True, slots=True)
class NameRow:
    """A provider's name of a model: what it means, and on how many rows and until which day it was used."""

    name: ProviderModelName
    figures: int
    last_on: date | None


def name_rows() -> list[NameRow]:
    """Return the names that providers use, those that mean nothing first; in two queries."""
    order = Case(When(how=NameFound.NONE, then=Value(0)), default=Value(1))
    names = list(
        ProviderModelName.objects.select_related("provider", "model").order_by(order, "provider__name", "name")
    )
    figures = FeedFigure.objects.filter(superseded_by=None).exclude(model_name="")
    used = figures.values_list("feed__provider", "model_name").annotate(n=Count("pk"), last=Max("day")).order_by()
    found = {(provider, name): (count, last) for provider, name, count, last in used}
    return [NameRow(name, *found.get((name.provider_id, name.name), (0, None))) for name in names]
