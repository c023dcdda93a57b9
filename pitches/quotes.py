"""What work costs on each tier: pure arithmetic over line items and a rate card, exact to the last digit.

For each line item the tier's enabled models are priced: `low` is the cheapest of them, `high` the dearest, and
`expected` the middle one (of an even number the dearer of the two in the middle, so that nothing is rounded and
an estimate errs on the safe side). Cached tokens are priced as cache reads. The share of calls that can wait is
priced on the batch tier, in whole calls, where that tier has a model; the rest stays on the tier in question.
Where a model has another price for long calls, the input of one call decides which it is. Amounts are USD.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from ledger.models import Tier
from ledger.rating import Stepped, cost, input_size, step_for
from pitches.questions import Case

CENT = Decimal("0.01")
RateCard = Mapping[Tier, Sequence[Stepped]]
"""The prices of each tier's models, in any order; a tier without models is absent or empty."""


@dataclass(frozen=True, slots=True)
class TokensPerCall:
    """Tokens of one call in the classes that `ledger.rating` prices."""

    input: int
    cache_read: int
    output: int
    cache_write_5m: int = 0
    cache_write_1h: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """One line item: calls per month in each case, tokens per call, and the share of calls that can wait."""

    tier: Tier
    calls: Mapping[Case, int]
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    batch_percent: int = 0

    @property
    def tokens(self) -> TokensPerCall:
        """Return one call's tokens; `input_tokens` counts the cached ones too, the classes do not."""
        return TokensPerCall(self.input_tokens - self.cached_tokens, self.cached_tokens, self.output_tokens)


@dataclass(frozen=True, slots=True)
class Range:
    """A cost in USD: with the cheapest, the middle and the dearest model."""

    low: Decimal
    expected: Decimal
    high: Decimal

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def times(self, count: int) -> "Range":
        """Return the cost of doing it `count` times."""
        return Range(self.low * count, self.expected * count, self.high * count)


NOTHING = Range(Decimal(0), Decimal(0), Decimal(0))
Costs = Mapping[Case, Range]


class NoModel(Exception):
    """A tier has no model with a price, so work on it cannot be quoted."""

    def __init__(self, tier: Tier) -> None:
        super().__init__(f"No model with a price is offered on the {tier.label} tier.")
        self.tier = tier


@dataclass(frozen=True, slots=True)
class Quote:
    """Monthly costs in USD: the whole work on each tier that can do it, and the ask, split by tier."""

    whole: Mapping[Tier, Costs]
    asked: Mapping[Tier, Costs]
    months: int
    rate_card_version: int
    cached_share: Decimal
    batch_share: Decimal

    def total(self, case: Case) -> Range:
        """Return what the ask costs a month, over all its tiers."""
        return sum((costs[case] for costs in self.asked.values()), NOTHING)

    def period_total(self, case: Case) -> Range:
        """Return what the ask costs over the whole period."""
        return self.total(case).times(self.months)


def call_cost(tokens: TokensPerCall, models: Sequence[Stepped]) -> Range:
    """Return what one call costs with the cheapest, middle and dearest of some models."""
    size = input_size(tokens)
    costs = sorted(cost(step_for(model.steps, size), tokens) for model in models)
    return Range(costs[0], costs[len(costs) // 2], costs[-1])


def work_costs(work: Work, tier: Tier, case: Case, card: RateCard) -> dict[Tier, Range]:
    """Return what one line item costs a month on a tier, its batch share apart; raises NoModel."""
    calls = work.calls[case]
    waiting = calls * work.batch_percent // 100 if tier != Tier.BATCH and card.get(Tier.BATCH) else 0
    shares = {tier: calls - waiting, Tier.BATCH: waiting} if waiting else {tier: calls}
    return {place: call_cost(work.tokens, _models(card, place)).times(count) for place, count in shares.items()}


def _models(card: RateCard, tier: Tier) -> Sequence[Stepped]:
    models = card.get(tier)
    if not models:
        raise NoModel(tier)
    return models


def quote(works: Sequence[Work], card: RateCard, *, months: int, rate_card_version: int) -> Quote:
    """Price the ask as it stands and the whole work on every tier that has a model; raises NoModel for the ask."""
    asked = {case: _sum_by_tier(work_costs(work, work.tier, case, card) for work in works) for case in Case}
    # A minimum may leave out what the target does, so a tier counts when any case uses it.
    tiers = [tier for tier in Tier if any(tier in costs for costs in asked.values())]
    return Quote(
        whole={tier: _whole(works, tier, card) for tier in Tier if card.get(tier)},
        asked={tier: {case: asked[case].get(tier, NOTHING) for case in Case} for tier in tiers},
        months=months,
        rate_card_version=rate_card_version,
        cached_share=cached_share(works),
        batch_share=batch_share(works),
    )


def _whole(works: Sequence[Work], tier: Tier, card: RateCard) -> Costs:
    return {
        case: sum((part for work in works for part in work_costs(work, tier, case, card).values()), NOTHING)
        for case in Case
    }


def _sum_by_tier(costs: Iterable[Mapping[Tier, Range]]) -> dict[Tier, Range]:
    sums: dict[Tier, Range] = {}
    for parts in costs:
        for tier, amount in parts.items():
            sums[tier] = sums.get(tier, NOTHING) + amount
    return sums


def cached_share(works: Iterable[Work]) -> Decimal:
    """Return the part of what goes in that is read from the cache, between 0 and 1."""
    return _share((work.cached_tokens, work.input_tokens, work) for work in works)


def batch_share(works: Iterable[Work]) -> Decimal:
    """Return the part of the calls that can wait, between 0 and 1."""
    return _share((work.batch_percent, 100, work) for work in works)


def _share(parts: Iterable[tuple[int, int, Work]]) -> Decimal:
    """Weigh a part of a whole by the calls wanted; between 0 and 1, for showing only."""
    part = whole = 0
    for share, of, work in parts:
        part += share * work.calls[Case.TARGET]
        whole += of * work.calls[Case.TARGET]
    return Decimal(part) / Decimal(whole) if whole else Decimal(0)


def in_cents(amount: Decimal) -> Decimal:
    """Round an ask up to the cent: what is asked for covers what was quoted."""
    return amount.quantize(CENT, rounding=ROUND_CEILING)
