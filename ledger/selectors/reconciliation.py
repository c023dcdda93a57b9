"""How the days of reconciliation stand: by provider and day, line by line, and what was posted for them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Sum, Value, When

from ledger.models import (
    Account,
    AccountClass,
    DecidedLine,
    DecisionState,
    LineDecision,
    Outcome,
    Posting,
    Provider,
    ReconciliationLine,
    ReconciliationPosting,
    UsageDay,
)

ZERO = Decimal(0)
TO_DECIDE = Q(outcome=Outcome.OPEN) | Q(outcome=Outcome.EXPLAINED, is_agreed=False)


class DayState(StrEnum):
    """How a provider's day stands: as the worst of its lines. The order is from the worst on."""

    OPEN = "open"
    UNDECIDED = "undecided"
    NEW = "new"
    WAITING = "waiting"
    MISSING = "missing"
    EXPLAINED = "explained"
    WITHIN = "within"
    MATCHED = "matched"
    NONE = "none"


STATES = {
    DayState.OPEN: ("!", "Open", "no rule explains a difference: a person of finance decides"),
    DayState.UNDECIDED: ("?", "Explained, to be decided", "the cause is known, who takes the difference is not"),
    DayState.NEW: ("…", "Not judged yet", "figures changed since the last run"),
    DayState.WAITING: ("W", "Waiting", "the provider's figures are still to come"),
    DayState.MISSING: ("N", "No figures", "calls were metered, and no feed covers the day"),
    DayState.EXPLAINED: ("E", "Explained", "every difference has a cause, and somebody takes it"),
    DayState.WITHIN: ("T", "Within tolerance", "the difference is less than the policy asks about"),
    DayState.MATCHED: ("M", "Matched", "both sides say the same"),
    DayState.NONE: ("", "Nothing", "no call, and no figure"),
}
PLACE = {state: place for place, state in enumerate(DayState)}


@dataclass(frozen=True, slots=True)
class Cell:
    """A provider's day: how it stands, how many lines it has, and both sides in the provider's currency."""

    provider: str
    day: date
    state: DayState
    lines: int = 0
    metered: Decimal = ZERO
    reported: Decimal = ZERO
    currency: str = "USD"

    @property
    def sign(self) -> str:
        """Return the letter or sign that stands for the state."""
        return STATES[self.state][0]

    @property
    def words(self) -> str:
        """Return the state in words."""
        return STATES[self.state][1]

    @property
    def difference(self) -> Decimal:
        """Return what is reported more than was metered."""
        return self.reported - self.metered


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A provider's month, day by day."""

    provider: str
    cells: Sequence[Cell]


def _state() -> Case:
    """Return the state of a line as a place in the order of `DayState`; the least is the worst."""
    undecided = Q(outcome=Outcome.EXPLAINED, is_agreed=False)
    same = [DayState.OPEN, DayState.NEW, DayState.WAITING, DayState.EXPLAINED, DayState.WITHIN, DayState.MATCHED]
    return Case(
        When(undecided, then=Value(PLACE[DayState.UNDECIDED])),
        *(When(outcome=state.value, then=Value(PLACE[state])) for state in same),
        output_field=IntegerField(),
    )


def calendar(first: date, last: date) -> list[CalendarRow]:
    """Return how each provider's days of a span stand, providers by name; in a fixed number of queries."""
    lines = ReconciliationLine.objects.filter(day__range=(first, last)).annotate(state=_state())
    names = ("provider__name", "day", "state", "currency")
    sums = lines.values_list(*names).annotate(n=Count("pk"), m=Sum("metered"), r=Sum("reported")).order_by(*names)
    found: dict[tuple[str, date], Cell] = {}
    for provider, day, place, currency, count, metered, reported in sums:
        seen = found.get((provider, day)) or Cell(provider, day, list(DayState)[place], currency=currency)
        found[provider, day] = Cell(
            provider, day, seen.state, seen.lines + count, seen.metered + metered, seen.reported + reported, currency
        )
    currencies = provider_currencies()
    for provider, day, metered in _used_alone(first, last):
        if (provider, day) not in found:
            found[provider, day] = Cell(provider, day, DayState.MISSING, 0, metered, ZERO, currencies[provider])
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    providers = Provider.objects.order_by("name").values_list("name", flat=True)
    return [
        CalendarRow(name, [found.get((name, day)) or Cell(name, day, DayState.NONE) for day in days])
        for name in providers
    ]


def provider_currencies() -> dict[str, str]:
    """Return the currency that each provider's accounts are kept in, by the provider's name."""
    rows = Account.objects.filter(account_class=AccountClass.METERED, provider__isnull=False)
    return dict(rows.values_list("provider__name", "currency"))


def _used_alone(first: date, last: date) -> Iterable[tuple[str, date, Decimal]]:
    """Go through the days on which calls were metered, from the roll-up of usage."""
    rows = UsageDay.objects.filter(day__range=(first, last)).values_list("provider__name", "day")
    return ((name, day, cost) for name, day, cost in rows.annotate(c=Sum("cost")).order_by() if cost)


def lines_to_decide() -> QuerySet[ReconciliationLine]:
    """Return the lines that wait for a person and are in no decision that waits for a second one."""
    proposed = LineDecision.objects.filter(state=DecisionState.PROPOSED)
    return ReconciliationLine.objects.filter(TO_DECIDE).exclude(decided__decision__in=proposed)


def decisions_waiting(lines: Iterable[ReconciliationLine]) -> dict[int, LineDecision]:
    """Return, by line, the decisions that wait for a second person."""
    rows = DecidedLine.objects.filter(line__in=[line.pk for line in lines], decision__state=DecisionState.PROPOSED)
    return {row.line_id: row.decision for row in rows.select_related("decision")}


def lines_to_decide_count() -> int:
    """Return how many lines wait for a person."""
    return lines_to_decide().count()


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which lines: of a span (UTC, both ends included), a provider, an outcome, a cause; "" and None mean all."""

    first: date | None = None
    last: date | None = None
    provider: Provider | None = None
    outcome: str = ""
    cause: str = ""
    waits: bool = False


def _where(chosen: Chosen) -> Q:
    """Return the days and the provider that were chosen, of lines and of what was posted for them."""
    asked = {"day__gte": chosen.first, "day__lte": chosen.last, "provider": chosen.provider}
    return Q(**{name: value for name, value in asked.items() if value})


def lines_chosen(chosen: Chosen) -> QuerySet[ReconciliationLine]:
    """Return the lines that were chosen, by day and id, the newest first."""
    rows = ReconciliationLine.objects.select_related("provider", "model", "provider_key").order_by("-day", "-pk")
    rows = rows.filter(_where(chosen))
    if chosen.outcome:
        rows = rows.filter(outcome=chosen.outcome)
    if chosen.cause:
        rows = rows.filter(causes__contains=[chosen.cause])
    return rows.filter(pk__in=lines_to_decide().values("pk")) if chosen.waits else rows


def lines_page(chosen: Chosen, *, before: tuple[date, int] | None = None, limit: int = 50) -> list[ReconciliationLine]:
    """Return lines that were chosen, newest first, after the day and id `before`; `difference` is on each."""
    rows = lines_chosen(chosen).annotate(gap=F("reported") - F("metered"))
    if before:
        day, pk = before
        rows = rows.filter(Q(day__lt=day) | Q(day=day, pk__lt=pk))
    return list(rows[:limit])


@dataclass(frozen=True)
class Totals:
    """Sums over chosen lines in one currency, and what the journal has of the same provider's days.

    `posted` are the sums of the entries that reconciliation made for these days, by class of account.
    """

    currency: str
    lines: int = 0
    metered: Decimal = ZERO
    reported: Decimal = ZERO
    agreed: Decimal = ZERO
    undecided: Decimal = ZERO
    posted: dict[str, Decimal] = field(default_factory=dict)

    @property
    def difference(self) -> Decimal:
        """Return what is reported more than was metered."""
        return self.reported - self.metered

    @property
    def left(self) -> Decimal:
        """Return what was metered and neither billed nor attributed: what the clearing account keeps of these lines."""
        return self.metered + self.posted.get(AccountClass.METERED, ZERO)

    @property
    def billed(self) -> Decimal:
        """Return what was posted to Billed."""
        return self.posted.get(AccountClass.BILLED, ZERO)

    @property
    def variance(self) -> Decimal:
        """Return what Variance took: positive where the company pays more than was metered."""
        return -self.posted.get(AccountClass.VARIANCE, ZERO)

    @property
    def to_lines(self) -> Decimal:
        """Return what allocation lines took: positive where they pay more than was metered."""
        return -self.posted.get(AccountClass.LINE, ZERO)

    @property
    def not_posted(self) -> Decimal:
        """Return what is agreed and not posted yet; zero after a run."""
        return self.agreed - self.billed


def totals_of(chosen: Chosen) -> list[Totals]:
    """Return the sums of the chosen lines by currency.

    What was posted is by provider and day, so it is told only where neither outcome nor cause narrows the lines.
    """
    rows = lines_chosen(chosen).order_by().values_list("currency")
    sums = rows.annotate(
        n=Count("pk"),
        m=Sum("metered"),
        r=Sum("reported"),
        a=Sum("reported", filter=Q(is_agreed=True)),
        u=Sum(F("reported") - F("metered"), filter=Q(is_agreed=False)),
    ).order_by("currency")
    posted = {} if chosen.outcome or chosen.cause or chosen.waits else _posted(chosen)
    return [
        Totals(currency, n, m, r, a or ZERO, u or ZERO, posted.get(currency, {})) for currency, n, m, r, a, u in sums
    ]


def _posted(chosen: Chosen) -> dict[str, dict[str, Decimal]]:
    entries = ReconciliationPosting.objects.filter(_where(chosen))
    rows = Posting.objects.filter(entry__in=entries.values("entry")).values_list("currency", "account__account_class")
    found: dict[str, dict[str, Decimal]] = {}
    for currency, kind, amount in rows.annotate(net=Sum("amount")).order_by():
        found.setdefault(currency, {})[kind] = amount
    return found
