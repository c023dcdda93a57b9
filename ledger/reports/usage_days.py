"""The usage that a report is about, from its daily sums, and how its totals tie to the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Max, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from ledger.models import AccountClass, EntryKind, Posting, UsageDay, UsageHour, UsagePosting
from ledger.money import CURRENCY, show
from ledger.reports.base import Choice, Filter, Tie
from ledger.selectors import today

ZERO = Decimal(0)
CLASSES = (
    ("input_tokens", "input", "Input, uncached"),
    ("cache_read_tokens", "cache_read", "Cache read"),
    ("cache_write_5m_tokens", "cache_write_5m", "Cache write, 5 min"),
    ("cache_write_1h_tokens", "cache_write_1h", "Cache write, 1 h"),
    ("output_tokens", "output", "Output, with reasoning"),
)
"""Token classes that exclude each other: the column of the sums, the price's on a rate, and its name."""

USAGE_FILTERS = frozenset(
    {Filter.PERIOD, Filter.UNIT, Filter.TEAM, Filter.PROVIDER, Filter.MODEL, Filter.TIER, Filter.TAG, Filter.AS_OF}
)
SUMMED = ("records", "estimated", *(column for column, _, _ in CLASSES), "cost", "charged", "overage")
SUMS: dict[str, Any] = {f"sum_{name}": Sum(name) for name in SUMMED}


def summed(rows: Any, *names: str) -> Any:
    """Return the sums of daily sums by some of their columns, each as `sum_` and its name."""
    return rows.values(*names).annotate(**SUMS)


def last_day(as_of: datetime) -> date:
    """Return the last day whose usage was known as a whole at a time; today counts as far as it has come."""
    return as_of.date() if as_of.date() >= today() else as_of.date() - timedelta(days=1)


def days_until(choice: Choice) -> date:
    """Return the last day that a report on usage counts."""
    return min(choice.ends_on, last_day(choice.as_of))


def moments(first: date, last: date) -> tuple[datetime, datetime]:
    """Return where the first day begins and the last one has ended, UTC."""
    return datetime.combine(first, time.min, UTC), datetime.combine(last, time.min, UTC) + timedelta(days=1)


def usage_days(choice: Choice) -> QuerySet[UsageDay]:
    """Return the daily sums that fit the filters; `tier` is the one of the line that was charged."""
    rows = UsageDay.objects.filter(day__gte=choice.starts_on, day__lte=days_until(choice))
    return rows.filter(narrowed(choice))


def narrowed(choice: Choice) -> Q:
    """Return the filters but for the period, for daily sums, hourly sums and usage records alike."""
    chosen = {
        "team__business_unit": choice.unit,
        "team": choice.team,
        "provider": choice.provider,
        "model": choice.model,
        "account__tier": choice.tier,
        "account": choice.account,
    }
    condition = Q(**{name: value for name, value in chosen.items() if value})
    if choice.tag and choice.tag_value:
        return condition & Q(tags__contains={choice.tag: choice.tag_value})
    return condition & Q(tags__has_key=choice.tag) if choice.tag else condition


def usage_notes(choice: Choice) -> list[str]:
    """Return how usage was counted."""
    until = days_until(choice)
    return [
        f"Usage counts by whole days, UTC, to {until:%-d %b %Y}; the sums of today are brought up to date every hour."
    ]


def usage_ties(choice: Choice) -> list[Tie]:
    """Return the totals of usage beside the ledger's entries.

    The ledger knows lines and providers, not models and tags, so its figures are without those two filters. What
    lines hold out of a call is on Variance, which no team owns: only a report on all teams ties the whole cost.
    """
    wide = replace(choice, model=None, tag="", tag_value="")
    words = ", all models and tags" if (choice.model, choice.tag) != (None, "") else ""
    charged, charged_gap = _tie(f"Charged to allocation lines{words}", "charged", wide)
    if choice.unit or choice.team or choice.tier or choice.account:
        return [charged]
    overage, overage_gap = _tie(f"Beyond what lines held{words}", "overage", wide)
    reported, in_ledger = charged.reported + overage.reported, _metered(wide)
    explained = (charged_gap + overage_gap).words(reported - in_ledger)
    cost = Tie(f"Cost{words}", CURRENCY, reported, in_ledger, "Metered accounts", explained)
    return [cost, charged, overage] if overage.reported or overage.in_ledger else [cost, charged]


@dataclass(frozen=True, slots=True)
class Gap:
    """What may lie between usage and ledger, in USD: not posted yet, and posted and reversed."""

    unposted: Decimal = ZERO
    reversed: Decimal = ZERO

    def __add__(self, other: "Gap") -> "Gap":
        return Gap(self.unposted + other.unposted, self.reversed + other.reversed)

    def words(self, difference: Decimal) -> str:
        """Say what a difference consists of; nothing when it does not consist of this alone."""
        if not difference or difference != self.unposted + self.reversed:
            return ""
        unposted = f"{show(self.unposted)} was not posted yet: the ledger gets usage every hour."
        undone = f"{show(self.reversed)} was posted and reversed."
        return " ".join([unposted] * bool(self.unposted) + [undone] * bool(self.reversed))


LEDGER_SIDE = {
    "charged": (EntryKind.USAGE, AccountClass.LINE, "credits of line accounts"),
    "overage": (EntryKind.OVERAGE, AccountClass.VARIANCE, "credits of Variance accounts"),
}


def _tie(label: str, column: str, choice: Choice) -> tuple[Tie, Gap]:
    kind, account_class, words = LEDGER_SIDE[column]
    reported = total(usage_days(choice), column)
    postings = usage_postings(choice, [kind], account_class)
    in_ledger = -total(postings, "amount")
    gap = _gap(column, choice, postings) if reported != in_ledger else Gap()
    return Tie(label, CURRENCY, reported, in_ledger, words, gap.words(reported - in_ledger)), gap


def _metered(choice: Choice) -> Decimal:
    return total(usage_postings(choice, [EntryKind.USAGE, EntryKind.OVERAGE], AccountClass.METERED), "amount")


def total(rows: QuerySet[Any], column: str) -> Decimal:
    """Return the sum of a column, zero of nothing."""
    found: Decimal = rows.aggregate(total=Coalesce(Sum(column), ZERO))["total"]
    return found


def usage_postings(choice: Choice, kinds: Iterable[EntryKind], account_class: AccountClass) -> QuerySet[Posting]:
    """Return the postings to a class of accounts that brought usage in, and the reversals of such entries."""
    kinds = list(kinds)
    rows = Posting.objects.filter(
        Q(entry__kind__in=kinds) | Q(entry__reverses__kind__in=kinds),
        account__account_class=account_class,
        entry__effective_on__gte=choice.starts_on,
        entry__effective_on__lte=days_until(choice),
        entry__recorded_at__lte=choice.as_of,
    )
    chosen = {
        "account__team__business_unit": choice.unit,
        "account__team": choice.team,
        "account__tier": choice.tier,
        "account": choice.account,
    }
    rows = rows.filter(**{name: value for name, value in chosen.items() if value})
    return rows.filter(entry__in=_entries_of(choice)) if choice.provider else rows


def _entries_of(choice: Choice) -> Any:
    at_provider = Posting.objects.filter(account__account_class=AccountClass.METERED, account__provider=choice.provider)
    return at_provider.values("entry")


def _gap(column: str, choice: Choice, postings: QuerySet[Posting]) -> Gap:
    undone = postings.filter(entry__kind=EntryKind.REVERSAL)
    return Gap(_unposted(column, choice), total(undone, "amount"))


def _unposted(column: str, choice: Choice) -> Decimal:
    first, end = moments(choice.starts_on, days_until(choice))
    span = {"hour__gte": first, "hour__lt": end}
    used = total(UsageHour.objects.filter(narrowed(choice), **span), column)
    chosen = {
        "account__team__business_unit": choice.unit,
        "account__team": choice.team,
        "account__tier": choice.tier,
        "account": choice.account,
        "provider": choice.provider,
    }
    rows = UsagePosting.objects.filter(**span, **{name: value for name, value in chosen.items() if value})
    buckets = rows.filter(entry__recorded_at__lte=choice.as_of).values("account", "provider", "hour")
    posted = sum((row["most"] for row in buckets.annotate(most=Max(column))), ZERO)
    return used - posted
