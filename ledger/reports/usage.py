"""What was used and by whom: chargeback, showback and the records behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import plotly.graph_objects as go
from django.db.models import Max, Min, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform

from ledger.models import Account, AiModel, Provider, Rate, UsageDay, UsageRecord
from ledger.money import plain
from ledger.rating import MILLION
from ledger.reports.base import Choice, Column, Filter, Kind, Report, Row, Tie
from ledger.reports.links import account_url, usage_url
from ledger.reports.usage_days import (
    CLASSES,
    SUMS,
    USAGE_FILTERS,
    ZERO,
    moments,
    narrowed,
    summed,
    usage_days,
    usage_notes,
    usage_ties,
)
from ledger.selectors.spend import rolled_until
from teams.models import Team, User

TOP = 12
CALLS = Column("calls", "Calls", Kind.COUNT, "calls")
OUTPUT = Column("output_tokens", "Output", Kind.COUNT, "tokens")
COST = Column("cost", "Cost", Kind.MONEY, "USD", drill="usage")
TAG = Column("tag", "Tag")


class UsageReport(Report):
    """A report from the daily sums of usage: they all take the same filters and tie to the same accounts."""

    group = "Usage"
    filters: ClassVar = USAGE_FILTERS

    def ties(self, choice: Choice) -> list[Tie]:
        """Return the usage in total beside the ledger's entries."""
        return usage_ties(choice)

    def notes(self, choice: Choice) -> list[str]:
        """Return how usage was counted."""
        return usage_notes(choice)


class Chargeback(UsageReport):
    """The statement that cost centres are charged by: tokens of each class at the price that was in force.

    Cost is tokens x price / 1,000,000, exact. Where a call was settled at a cost that its tokens do not explain, the
    rest is a row of its own without tokens, so that the rows always sum to what was metered.
    """

    slug = "chargeback"
    title = "Chargeback statement"
    purpose = "What does each cost centre owe for which tokens, at which price?"

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("cost_centre", "Cost centre"),
            Column("team", "Team"),
            Column("line", "Allocation line", drill="line"),
            Column("provider", "Provider"),
            Column("model", "Model"),
            Column("token_class", "Token class"),
            Column("tokens", "Quantity", Kind.COUNT, "tokens"),
            Column("price", "Unit price", Kind.MONEY, "USD per million tokens"),
            COST,
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the token classes of each line, model and rate, by cost centre."""
        found = list(summed(usage_days(choice), "team", "account", "provider", "model", "rate"))
        names = Names(found)
        for group in sorted(found, key=names.order):
            yield from self._classes(choice, group, names)

    def _classes(self, choice: Choice, group: dict[str, Any], names: "Names") -> Iterator[Row]:
        team, line, model = names.teams[group["team"]], names.accounts[group["account"]], names.models[group["model"]]
        provider, rate = names.providers[group["provider"]], names.rates[group["rate"]]
        place = (team.cost_centre, team.name, line.code, provider.name, model.name)
        usage = usage_url(choice, team=team.slug, account=line.code, provider=provider.name, model=model.name)
        links = {"line": account_url(line.code), "usage": usage}
        rest: Decimal = group["sum_cost"]
        for column, price_name, words in CLASSES:
            tokens, price = int(group[f"sum_{column}"]), getattr(rate, price_name)
            if tokens:
                cost = price * tokens / MILLION
                rest -= cost
                yield Row((*place, words, tokens, price, cost), links)
        if rest:
            yield Row((*place, "Not by tokens", None, None, rest), links)

    def plot(self, choice: Choice, viewer: User) -> go.Figure:
        """Return the cost by cost centre, the largest ones."""
        sums = usage_days(choice).values("team__cost_centre").annotate(cost=SUMS["sum_cost"]).order_by("-cost")[:TOP]
        return bars([(row["team__cost_centre"], row["cost"]) for row in sums], "Cost, USD")


class Names:
    """The rows that groups of usage name by id, read once each."""

    def __init__(self, groups: Sequence[dict[str, Any]]) -> None:
        self.teams = Team.objects.in_bulk({group["team"] for group in groups})
        self.accounts = Account.objects.in_bulk({group["account"] for group in groups})
        self.providers = Provider.objects.in_bulk({group["provider"] for group in groups})
        self.models = AiModel.objects.in_bulk({group["model"] for group in groups})
        self.rates = Rate.objects.in_bulk({group["rate"] for group in groups})

    def order(self, group: dict[str, Any]) -> tuple[str, str, str, str, str, int]:
        """Return the place of a group in a statement."""
        team, line = self.teams[group["team"]], self.accounts[group["account"]]
        provider, model = self.providers[group["provider"]], self.models[group["model"]]
        return team.cost_centre, team.name, line.code, provider.name, model.name, group["rate"]


class TeamShowback(UsageReport):
    """What each team used, for teams that are shown and not charged."""

    slug = "showback-teams"
    title = "Showback by team"
    purpose = "What did each team use, and which part of the whole is that?"

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("team", "Team", drill="usage"),
            Column("unit", "Business unit"),
            Column("cost_centre", "Cost centre"),
            CALLS,
            Column("input_tokens", "Input, cached or not", Kind.COUNT, "tokens"),
            OUTPUT,
            Column("cost", "Cost", Kind.MONEY, "USD"),
            Column("charged", "Charged to its lines", Kind.MONEY, "USD"),
            Column("overage", "Beyond what lines held", Kind.MONEY, "USD"),
            Column("share", "Share of the cost", Kind.PERCENT, "%"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the teams, the dearest first."""
        found = list(summed(usage_days(choice), "team").order_by("-sum_cost", "team"))
        teams = Team.objects.select_related("business_unit").in_bulk([row["team"] for row in found])
        whole = sum((row["sum_cost"] for row in found), ZERO)
        for row in found:
            team = teams[row["team"]]
            cells = (team.name, team.business_unit.name, team.cost_centre, *figures(row), share(row["sum_cost"], whole))
            yield Row(cells, {"usage": usage_url(choice, team=team.slug)})

    def plot(self, choice: Choice, viewer: User) -> go.Figure:
        """Return the cost by team, the largest ones."""
        sums = usage_days(choice).values("team__name").annotate(cost=SUMS["sum_cost"]).order_by("-cost")[:TOP]
        return bars([(row["team__name"], row["cost"]) for row in sums], "Cost, USD")


def figures(row: dict[str, Any]) -> tuple[int, int, int, Decimal, Decimal, Decimal]:
    """Return calls, input and output in tokens, and cost, charged and overage in USD, of a group's sums."""
    read = sum(int(row[f"sum_{column}"]) for column, _, _ in CLASSES[:-1])
    sums = row["sum_cost"], row["sum_charged"], row["sum_overage"]
    return int(row["sum_records"]), read, int(row["sum_output_tokens"]), *sums


def share(part: Decimal, whole: Decimal) -> Decimal:
    """Return a share in percent to twelve places, zero of nothing."""
    return (part * 100 / whole).quantize(Decimal("1e-12")) if whole else ZERO


def bars(points: Sequence[tuple[str, Decimal]], title: str) -> go.Figure:
    """Draw amounts by name; they stay strings, so that nothing is rounded before the screen."""
    names, amounts = [name for name, _ in points], [plain(amount) for _, amount in points]
    return go.Figure(go.Bar(x=names, y=amounts, name=title), {"yaxis": {"title": {"text": title}}})


def tag_words(choice: Choice, label: Any) -> str:
    """Say what a group by tag is called."""
    if choice.tag:
        return f"{choice.tag}={label}" if label is not None else f"without {choice.tag}"
    return ", ".join(f"{name}={value}" for name, value in sorted(label.items())) or "without tags"


class TagShowback(UsageReport):
    """What agents and workflows used, by the tags that they sent with their calls."""

    slug = "showback-tags"
    title = "Showback by tag"
    purpose = "What did each agent, workflow or step use?"

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("team", "Team"),
            TAG,
            CALLS,
            Column("input_tokens", "Input, cached or not", Kind.COUNT, "tokens"),
            OUTPUT,
            COST,
            Column("charged", "Charged to its lines", Kind.MONEY, "USD"),
            Column("overage", "Beyond what lines held", Kind.MONEY, "USD"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the teams' tags, the dearest first."""
        for row, team, words, links in tag_groups(choice):
            yield Row((team.name, words, *figures(row)), links)


def tag_groups(choice: Choice) -> Iterator[tuple[dict[str, Any], Team, str, dict[str, str]]]:
    """Go through the sums by team and tag, the dearest first, with their names and where their cost leads.

    A chosen tag groups and does not narrow, so that calls without it stay in the sum; a chosen value narrows.
    """
    label = "label" if choice.tag else "tags"
    days = usage_days(choice if choice.tag_value else replace(choice, tag=""))
    if choice.tag:
        days = days.annotate(label=KeyTextTransform(choice.tag, "tags"))
    rows = summed(days, "team", label)
    teams = Team.objects.in_bulk()
    for row in rows.order_by("-sum_cost", "team", label).iterator(chunk_size=2000):
        team, value = teams[row["team"]], row[label]
        narrower = {"tag": choice.tag, "tag_value": value} if choice.tag and value is not None else {"tag": ""}
        yield row, team, tag_words(choice, value), {"usage": usage_url(choice, team=team.slug, **narrower)}


class UnitEconomics(UsageReport):
    """What one call and a thousand tokens of output cost, per team and tag.

    Cost per call is cost / calls; cost per thousand output tokens is cost x 1,000 / output tokens. Both are rounded
    half even to twelve places, the only rounding there is.
    """

    slug = "unit-economics"
    title = "Unit economics"
    purpose = "What does one call cost, and a thousand tokens of output?"

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("team", "Team"),
            TAG,
            CALLS,
            OUTPUT,
            COST,
            Column("cost_per_call", "Cost per call", Kind.MONEY, "USD"),
            Column("cost_per_1k_output", "Cost per 1,000 output tokens", Kind.MONEY, "USD"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the teams' tags, the dearest first."""
        for row, team, words, links in tag_groups(choice):
            calls, output, cost = int(row["sum_records"]), int(row["sum_output_tokens"]), row["sum_cost"]
            yield Row((team.name, words, calls, output, cost, per(cost, calls), per(cost * 1000, output)), links)


def per(amount: Decimal, count: int) -> Decimal | None:
    """Return an amount per one, rounded half even to twelve places; None of nothing."""
    return (amount / count).quantize(Decimal("1e-12")) if count else None


RECORD = (
    "settled_at",
    "request_id",
    "team__name",
    "account__code",
    "provider__name",
    "model__name",
    "key_id",
    *(column for column, _, _ in CLASSES),
    "cost",
    "charged",
    "overage",
    "settle_kind",
    "tags",
)
RECORD_COLUMNS = (
    Column("settled_at", "Settled, UTC", Kind.TIME),
    Column("request_id", "Request"),
    Column("team", "Team"),
    Column("line", "Allocation line", drill="line"),
    Column("provider", "Provider"),
    Column("model", "Model"),
    Column("key", "Key"),
    *(Column(column, words, Kind.COUNT, "tokens") for column, _, words in CLASSES),
    Column("cost", "Cost", Kind.MONEY, "USD"),
    Column("charged", "Charged", Kind.MONEY, "USD"),
    Column("overage", "Overage", Kind.MONEY, "USD"),
    Column("settled_as", "Settled as"),
    Column("tags", "Tags"),
)


FIRST_PART, PART = 250, 5000


def record_rows(records: QuerySet[UsageRecord]) -> Iterator[Row]:
    """Go through usage records, oldest first, as rows of `RECORD_COLUMNS`, without holding them in memory.

    Each part goes on behind the last record of the one before: a page reads no more than it shows, and no cursor
    has the database collect all of them first.
    """
    rows = records.order_by("settled_at", "request_id").values_list(*RECORD)
    part = list(rows[:FIRST_PART])
    yield from map(_record_row, part)
    size = FIRST_PART
    while len(part) == size:
        settled, request = part[-1][:2]
        behind = Q(settled_at__gte=settled) & ~Q(settled_at=settled, request_id__lte=request)
        size, part = PART, list(rows.filter(behind)[:PART])
        yield from map(_record_row, part)


def _record_row(cells: tuple[Any, ...]) -> Row:
    settled, request, team, line, provider, model, key, *counts, tags = cells
    words = ", ".join(f"{name}={value}" for name, value in sorted(tags.items()))
    return Row(
        (settled, str(request), team, line, provider, model, str(key), *counts, words), {"line": account_url(line)}
    )


class UsageRecords(Report):
    """The usage records themselves: where every figure of usage ends."""

    slug = "usage-records"
    title = "Usage records"
    purpose = "Which calls is a figure made of?"
    group = "Usage"
    filters: ClassVar = USAGE_FILTERS | {Filter.ACCOUNT}

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return RECORD_COLUMNS

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the records, oldest first."""
        rows = UsageRecord.objects.filter(narrowed(choice), settled_at__lte=choice.as_of)
        for first, end in _spans(choice):
            yield from record_rows(rows.filter(settled_at__gte=first, settled_at__lt=end))

    def notes(self, choice: Choice) -> list[str]:
        """Return which records are not there."""
        return ["Records of archived months are not in the database any more; their daily sums are, in other reports."]


def _spans(choice: Choice) -> list[tuple[datetime, datetime]]:
    """Return where the records of a choice lie: from its first to its last day by the roll-ups, and after those."""
    first, end = moments(choice.starts_on, choice.ends_on)
    until = min(max(rolled_until(), first), end)
    days = UsageDay.objects.filter(narrowed(choice), day__gte=first.date(), day__lte=until.date())
    known = days.aggregate(first=Min("day"), last=Max("day"))
    if known["first"] is None:
        return [(until, end)]
    begin, over = moments(known["first"], known["last"])
    return [(begin, min(over, until)), (until, end)]
