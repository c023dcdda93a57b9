"""What caching and cheaper tiers saved, and what of the usage nobody claims."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import plotly.graph_objects as go
from django.db.models import Sum

from ledger.models import AccountClass, AiModel, EntryKind, Posting, Provider, Rate, Tier
from ledger.money import plain
from ledger.rating import MILLION
from ledger.reports.base import Choice, Column, Filter, Kind, Row, Tie
from ledger.reports.links import account_url, usage_url
from ledger.reports.usage import UsageReport
from ledger.reports.usage_days import CLASSES, ZERO, days_until, summed, total, usage_days, usage_ties
from teams.models import Team, User

TIERS = {tier: place for place, tier in enumerate(Tier.values)}


class Savings(UsageReport):
    """What the same tokens would have cost without caches, and at the dearest tier that the team used.

    Without caches: (input + cache reads + cache writes) x the rate's input price + output x its output price; the
    saving by caches is that minus the cost, below zero where writing to a cache was not worth it. At the dearest
    tier: each token class at the price that the dearest rate of the team's dearest used tier has for it (dearest by
    output price, then input price); the saving by the tier mix is that minus the cost. Prices are per 1,000,000
    tokens, everything is exact. The two savings are two answers to two questions and do not add up.
    """

    slug = "savings"
    title = "Cache and tier-mix savings"
    purpose = "What did caches and cheaper tiers save?"

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("team", "Team"),
            Column("model", "Model"),
            Column("tier", "Tier"),
            Column("tokens", "Quantity", Kind.COUNT, "tokens"),
            Column("cost", "Cost", Kind.MONEY, "USD", drill="usage"),
            Column("uncached", "Without caches", Kind.MONEY, "USD"),
            Column("cache_saving", "Saved by caches", Kind.MONEY, "USD"),
            Column("dearest", "At the dearest tier used", Kind.MONEY, "USD"),
            Column("tier_saving", "Saved by the tier mix", Kind.MONEY, "USD"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through the models of each team, the dearest tier first."""
        for team, model, sums in _savings(choice):
            cost, uncached, dearest = sums[1:]
            cells = (team.name, model.name, Tier(model.tier).label, *sums[:3], uncached - cost, dearest, dearest - cost)
            yield Row(cells, {"usage": usage_url(choice, team=team.slug, model=model.name)})

    def plot(self, choice: Choice, viewer: User) -> go.Figure:
        """Return per team what was paid and what it would have been."""
        teams: dict[str, list[Decimal]] = {}
        for team, _, sums in _savings(choice):
            bars = teams.setdefault(team.name, [ZERO, ZERO, ZERO])
            teams[team.name] = [one + more for one, more in zip(bars, sums[1:], strict=True)]
        words = ("Cost", "Without caches", "At the dearest tier used")
        series = [
            go.Bar(name=name, x=list(teams), y=[plain(bars[place]) for bars in teams.values()])
            for place, name in enumerate(words)
        ]
        return go.Figure(series, {"barmode": "group", "yaxis": {"title": {"text": "USD"}}})


Sums = tuple[int, Decimal, Decimal, Decimal]


def _savings(choice: Choice) -> list[tuple[Team, AiModel, Sums]]:
    """Return per team and model the tokens, and in USD the cost, without caches, and at the dearest tier used."""
    groups = list(summed(usage_days(choice), "team", "model", "rate"))
    teams = Team.objects.in_bulk({group["team"] for group in groups})
    rates = Rate.objects.select_related("model", "base__model").in_bulk({group["rate"] for group in groups})
    dearest = _dearest(groups, rates)
    found: dict[tuple[int, int], Sums] = {}
    for group in groups:
        place = (group["team"], group["model"])
        before = found.get(place, (0, ZERO, ZERO, ZERO))
        found[place] = _added(before, _sums(group, rates[group["rate"]], dearest[group["team"]]))
    models = {rate.model_id: rate.model for rate in rates.values()}
    rows = [(teams[team], models[model], sums) for (team, model), sums in found.items()]
    return sorted(rows, key=lambda row: (row[0].name, TIERS[row[1].tier], row[1].name))


def _added(one: Sums, other: Sums) -> Sums:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3]


def _dearest(groups: Sequence[dict[str, Any]], rates: dict[int, Rate]) -> dict[int, Rate]:
    """Return for each team the dearest rate of the dearest tier that it used."""

    def dearness(rate: Rate) -> tuple[int, Decimal, Decimal, int]:
        return -TIERS[rate.model.tier], rate.output, rate.input, rate.pk

    found: dict[int, Rate] = {}
    for group in groups:
        team, rate = group["team"], rates[group["rate"]]
        rate = rate.base or rate  # short calls would not have paid the price of long ones
        found[team] = max(found.get(team, rate), rate, key=dearness)
    return found


def _sums(group: dict[str, Any], rate: Rate, dearest: Rate) -> Sums:
    counts = {price: int(group[f"sum_{column}"]) for column, price, _ in CLASSES}
    tokens = sum(counts.values())
    uncached = rate.input * (tokens - counts["output"]) + rate.output * counts["output"]
    at_dearest = sum((getattr(dearest, price) * count for price, count in counts.items()), ZERO)
    return tokens, group["sum_cost"], uncached / MILLION, at_dearest / MILLION


class Unattributed(UsageReport):
    """Money that went without a name: calls without tags, what lines did not hold, and what was written off."""

    slug = "unattributed"
    title = "Unattributed spend"
    purpose = "Which spend has no tag, no line or no explanation?"
    filters: ClassVar = frozenset({Filter.PERIOD, Filter.PROVIDER, Filter.AS_OF})

    def columns(self, choice: Choice) -> Sequence[Column]:
        """Return the columns."""
        return [
            Column("why", "Why"),
            Column("team", "Team"),
            Column("provider", "Provider"),
            Column("model", "Model"),
            Column("calls", "Calls", Kind.COUNT, "calls"),
            Column("amount", "Amount", Kind.MONEY, "USD", drill="source"),
        ]

    def rows(self, choice: Choice, viewer: User) -> Iterator[Row]:
        """Go through untagged usage by team, then overage by provider, then other movements of Variance accounts."""
        yield from self._untagged(choice)
        yield from self._overage(choice)
        yield from self._variance(choice)

    def _untagged(self, choice: Choice) -> Iterator[Row]:
        """Go through what lines were charged for calls without tags; their overage stands with all overage."""
        groups = usage_days(choice).filter(tags={}).values("team", "provider", "model")
        found = groups.annotate(records_sum=Sum("records"), charged_sum=Sum("charged")).order_by("-charged_sum")
        teams, models = Team.objects.in_bulk(), AiModel.objects.select_related("provider").in_bulk()
        for row in found:
            team, model = teams[row["team"]], models[row["model"]]
            usage = usage_url(choice, team=team.slug, model=model.name)
            cells = ("No tags", team.name, model.provider.name, model.name, row["records_sum"], row["charged_sum"])
            yield Row(cells, {"source": usage})

    def _overage(self, choice: Choice) -> Iterator[Row]:
        groups = usage_days(choice).filter(overage__gt=0).values("provider")
        providers = Provider.objects.in_bulk()
        for row in groups.annotate(overage_sum=Sum("overage")).order_by("-overage_sum"):
            name = providers[row["provider"]].name
            cells = ("Beyond what lines held", None, name, None, None, row["overage_sum"])
            yield Row(cells, {"source": account_url(f"variance:{name}")})

    def _variance(self, choice: Choice) -> Iterator[Row]:
        groups = _variance_postings(choice).exclude(entry__kind=EntryKind.OVERAGE)
        found = groups.values("entry__kind", "account__code", "account__provider__name").annotate(net=Sum("amount"))
        for row in found.order_by("account__code", "entry__kind"):
            words = f"Variance: {EntryKind(row['entry__kind']).label}"
            cells = (words, None, row["account__provider__name"], None, None, row["net"])
            yield Row(cells, {"source": account_url(row["account__code"])})

    def ties(self, choice: Choice) -> list[Tie]:
        """Return untagged usage beside all that lines were charged, and overage beside Variance accounts."""
        charged, *others = [tie for tie in usage_ties(choice) if tie.label != "Cost"]
        tagged = total(usage_days(choice).exclude(tags={}), "charged")
        words = f"With tags: {plain(tagged)} {charged.currency}. {charged.explained}".strip()
        reported = charged.reported - tagged
        # A difference of its own stays an alarm: having tags explains only what has tags.
        explained = words if charged.difference == 0 or charged.explained else ""
        first = Tie("Charged without tags", charged.currency, reported, charged.in_ledger, charged.accounts, explained)
        return [first, *others]


def _variance_postings(choice: Choice) -> Any:
    rows = Posting.objects.filter(
        account__account_class=AccountClass.VARIANCE,
        entry__effective_on__gte=choice.starts_on,
        entry__effective_on__lte=days_until(choice),
        entry__recorded_at__lte=choice.as_of,
    )
    return rows.filter(account__provider=choice.provider) if choice.provider else rows
