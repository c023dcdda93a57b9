"""What was used and is not yet agreed with providers: accruals at close, and reconciliation by month."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import ClassVar

import plotly.graph_objects as go
from django.db.models import Case, F, Q, QuerySet, Sum, When
from django.db.models.functions import TruncMonth

from ledger.models import AccountBalance, AccountClass, EntryKind, Period, Posting, Provider
from ledger.money import plain
from ledger.months import month_of
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
from ledger.reports.links import account_url, report_url
from ledger.reports.usage_days import ZERO, total, usage_days, usage_notes, usage_ties
from teams.models import User

# A reversal undoes its entry's kind; it is counted with it.
MEANT = Case(When(entry__kind=EntryKind.REVERSAL, then=F("entry__reverses__kind")), default=F("entry__kind"))
NAMES = {
    EntryKind.USAGE: "metered",
    EntryKind.OVERAGE: "metered",
    EntryKind.BILLED: "billed",
    EntryKind.ACCRUAL: "accrued",
}


@dataclass
class Movement:
    """What moved on a provider's Metered account in a span, in USD, signs as on the account."""

    metered: Decimal = ZERO
    billed: Decimal = ZERO
    accrued: Decimal = ZERO
    other: Decimal = ZERO

    @property
    def net(self) -> Decimal:
        """Return by how much the balance changed."""
        return self.metered + self.billed + self.accrued + self.other

    def add(self, kind: str, amount: Decimal) -> None:
        """Count a sum of postings of one kind of entry."""
        name = NAMES.get(EntryKind(kind), "other")
        setattr(self, name, getattr(self, name) + amount)


@dataclass
class Clearing:
    """The Metered account of a provider: what was on it before, and what moved by span."""

    opening: Decimal = ZERO
    spans: dict[date, Movement] = field(default_factory=dict)

    @property
    def closing(self) -> Decimal:
        """Return the balance after all spans."""
        return self.opening + sum((moved.net for moved in self.spans.values()), ZERO)


class ClearingReport(Report):
    """A report on Metered accounts, which hold what was used and is not agreed, and must go to zero."""

    group = "Providers"
    filters: ClassVar = frozenset({Filter.PERIOD, Filter.PROVIDER, Filter.AS_OF})


class Accruals(ClearingReport):
    """Per accounting period and provider what was metered, billed and accrued, and what was left at its end.

    An entry counts in the period that it was posted to, which is a later one than its date when it came late.
    """

    slug = "accruals"
    title = "Accruals at close"
    purpose = "What was used in a period and not yet billed when it ended?"

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("period", "Period"),
            Column("state", "State"),
            Column("provider", "Provider", drill="account"),
            Column("opening", "Clearing balance before", Kind.MONEY, "USD"),
            Column("metered", "Metered", Kind.MONEY, "USD", drill="usage"),
            Column("billed", "Billed", Kind.MONEY, "USD"),
            Column("other", "Differences and corrections", Kind.MONEY, "USD"),
            Column("accrued", "Accrued", Kind.MONEY, "USD"),
            Column("closing", "Clearing balance after", Kind.MONEY, "USD"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the periods that overlap the chosen one, by provider."""
        periods = _periods(choice)
        for provider, clearing in _by_period(choice).items():
            balance = clearing.opening
            for period in periods:
                moved = clearing.spans.get(period.starts_on, Movement())
                cells = (str(period), period.get_state_display(), provider, balance, *_sums(moved), balance + moved.net)
                balance += moved.net
                yield Row(cells, _links(provider, period.starts_on, period.ends_on))

    def ties(self, choice: Choice) -> list[Tie]:
        """Return the clearing balances at the end beside the stored ones, less what came after."""
        found = sum(
            (c.opening + sum((m.net for m in c.spans.values()), ZERO) for c in _by_period(choice).values()), ZERO
        )
        later = Q(entry__period__starts_on__gt=choice.ends_on)
        return [_clearing_tie(choice, found, later)]

    def notes(self, choice: Choice) -> list[str]:
        """Return how periods are counted."""
        return ["Entries count in the accounting period that they were posted to; credits are below zero."]


def _periods(choice: Choice) -> list[Period]:
    rows = Period.objects.filter(starts_on__lte=choice.ends_on, ends_on__gte=choice.starts_on)
    return list(rows.order_by("starts_on"))


def _metered(choice: Choice) -> QuerySet[Posting]:
    rows = Posting.objects.filter(
        account__account_class=AccountClass.METERED, entry__recorded_at__lte=choice.as_of
    ).annotate(meant=MEANT)
    return rows.filter(account__provider=choice.provider) if choice.provider else rows


def _by_period(choice: Choice) -> dict[str, Clearing]:
    rows = _metered(choice).filter(entry__period__starts_on__lte=choice.ends_on)
    names = ("account__provider__name", "meant", "entry__period__starts_on", "entry__period__ends_on")
    found: dict[str, Clearing] = {}
    for provider, kind, first, last, amount in rows.values_list(*names).annotate(net=Sum("amount")).order_by(*names):
        _count(found.setdefault(provider, Clearing()), last < choice.starts_on, first, kind, amount)
    return found


def _by_month(choice: Choice) -> dict[str, Clearing]:
    rows = _metered(choice).filter(entry__effective_on__lte=choice.ends_on)
    names = ("account__provider__name", "meant", "month")
    spans = rows.annotate(month=TruncMonth("entry__effective_on")).values_list(*names)
    first = choice.starts_on.replace(day=1)
    found: dict[str, Clearing] = {}
    for provider, kind, month, amount in spans.annotate(net=Sum("amount")).order_by(*names):
        _count(found.setdefault(provider, Clearing()), month < first, month, kind, amount)
    return found


def _count(clearing: Clearing, is_before: bool, span: date, kind: str, amount: Decimal) -> None:
    if is_before:
        clearing.opening += amount
    else:
        clearing.spans.setdefault(span, Movement()).add(kind, amount)


def _sums(moved: Movement) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    return moved.metered, moved.billed, moved.other, moved.accrued


def _links(provider: str, first: date, last: date) -> dict[str, str]:
    usage = report_url("chargeback", first=first, last=last, provider=provider)
    return {"account": account_url(f"metered:{provider}"), "usage": usage}


def _clearing_tie(choice: Choice, found: Decimal, later: Q) -> Tie:
    account = Q(account__account_class=AccountClass.METERED)
    if choice.provider:
        account &= Q(account__provider=choice.provider)
    stored = total(AccountBalance.objects.filter(account).annotate(net=F("debits") - F("credits")), "net")
    after = Posting.objects.filter(account).filter(later | Q(entry__recorded_at__gt=choice.as_of))
    return Tie("Clearing balance at the end", "USD", found, stored - total(after, "amount"), "Metered accounts")


class ProviderReconciliation(ClearingReport):
    """Per month and provider what our calls cost, what the ledger holds of it, and what the provider agreed to."""

    slug = "provider-reconciliation"
    title = "Provider reconciliation"
    purpose = "What was metered per provider and month, what was billed, and what is left to agree?"

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("month", "Month"),
            Column("provider", "Provider", drill="account"),
            Column("usage", "Cost of calls", Kind.MONEY, "USD", drill="usage"),
            Column("metered", "Metered", Kind.MONEY, "USD"),
            Column("billed", "Billed", Kind.MONEY, "USD"),
            Column("other", "Differences and corrections", Kind.MONEY, "USD"),
            Column("accrued", "Accrued", Kind.MONEY, "USD"),
            Column("left", "Left of the month", Kind.MONEY, "USD"),
            Column("balance", "Clearing balance", Kind.MONEY, "USD"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the providers' months; months are whole, by the dates of the facts."""
        clearings, used = _by_month(_whole(choice)), _used(_whole(choice))
        for name in sorted({*clearings, *(provider for provider, _ in used)}):
            clearing = clearings.get(name, Clearing())
            balance = clearing.opening
            for month in sorted({*clearing.spans, *(month for provider, month in used if provider == name)}):
                moved = clearing.spans.get(month, Movement())
                balance += moved.net
                cells = (f"{month:%Y-%m}", name, used.get((name, month), ZERO), *_sums(moved), moved.net, balance)
                yield Row(cells, _links(name, *month_of(month)))

    def ties(self, choice: Choice) -> list[Tie]:
        """Return the usage beside what was metered, and the clearing balances beside the stored ones."""
        whole = _whole(choice)
        found = total(_metered(whole).filter(entry__effective_on__lte=whole.ends_on), "amount")
        return [*usage_ties(whole), _clearing_tie(whole, found, Q(entry__effective_on__gt=whole.ends_on))]

    def notes(self, choice: Choice) -> list[str]:
        """Return how months are counted."""
        return ["Months are whole and by the dates of the facts; credits are below zero.", *usage_notes(_whole(choice))]

    def plot(self, choice: Choice, viewer: User) -> go.Figure:
        """Return the clearing balance of each provider by month."""
        lines: dict[str, tuple[list[str], list[str]]] = {}
        for row in self.rows(choice, viewer):
            month, provider, balance = str(row.cells[0]), str(row.cells[1]), row.cells[-1]
            if isinstance(balance, Decimal):
                lines.setdefault(provider, ([], []))[0].append(month)
                lines[provider][1].append(plain(balance))
        series = [go.Bar(x=months, y=balances, name=provider) for provider, (months, balances) in lines.items()]
        axes = {"xaxis": {"type": "category"}, "yaxis": {"title": {"text": "Clearing balance, USD"}}}
        return go.Figure(series, {"barmode": "group", **axes})


def _whole(choice: Choice) -> Choice:
    return replace(choice, starts_on=month_of(choice.starts_on)[0], ends_on=month_of(choice.ends_on)[1])


def _used(choice: Choice) -> dict[tuple[str, date], Decimal]:
    providers = Provider.objects.in_bulk()
    months = usage_days(choice).annotate(month=TruncMonth("day")).values_list("provider", "month")
    return {(providers[pk].name, month): cost for pk, month, cost in months.annotate(sum_cost=Sum("cost")).order_by()}
