"""Quotes: worked examples that a controller can follow with a calculator, and what holds for any work at any price."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.models import Tier
from pitches.questions import Case
from pitches.quotes import (
    NOTHING,
    NoModel,
    Quote,
    Range,
    RateCard,
    TokensPerCall,
    Work,
    call_cost,
    in_cents,
    quote,
    work_costs,
)


@dataclass(frozen=True)
class Price:
    """A model's prices in USD per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal = Decimal(0)
    cache_write_1h: Decimal = Decimal(0)
    above_input_tokens: int = 0
    further_steps: tuple["Price", ...] = ()

    @property
    def steps(self) -> tuple["Price", ...]:
        return (self, *self.further_steps)


def price(price_in: str, price_out: str, cached: str) -> Price:
    return Price(Decimal(price_in), Decimal(price_out), Decimal(cached))


LARGE, MIDDLE, SMALL, NIGHT = (
    price("10", "50", "1"),
    price("4", "20", "0.4"),
    price("2", "10", "0.2"),
    price("1", "5", "0.1"),
)
CARD: RateCard = {
    Tier.FRONTIER: [LARGE],
    Tier.STANDARD: [MIDDLE, SMALL],
    Tier.ECONOMY: [price("0.5", "2", "0.05")],
    Tier.BATCH: [NIGHT],
}
SORTING = Work(
    tier=Tier.STANDARD,
    calls={Case.MIN: 50_000, Case.TARGET: 100_000, Case.STRETCH: 200_000},
    input_tokens=1000,
    cached_tokens=400,
    output_tokens=200,
)


def quoted(*works: Work, card: RateCard = CARD) -> Quote:
    return quote(works, card, months=6, rate_card_version=7)


def test_one_call_costs_its_tokens_at_the_prices_of_each_model() -> None:
    # 600 uncached at 2, 400 cached at 0.20 and 200 out at 10 dollars per million: 0.0012 + 0.00008 + 0.002.
    assert call_cost(SORTING.tokens, [SMALL]) == Range(*[Decimal("0.00328")] * 3)


def test_low_is_the_cheapest_model_and_high_the_dearest() -> None:
    # The other model of the tier costs twice as much in every class.
    assert call_cost(SORTING.tokens, [MIDDLE, SMALL]) == Range(
        Decimal("0.00328"), Decimal("0.00656"), Decimal("0.00656")
    )


def test_expected_is_the_middle_model_of_an_odd_number() -> None:
    assert call_cost(TokensPerCall(1_000_000, 0, 0), [LARGE, SMALL, MIDDLE]) == Range(
        Decimal(2), Decimal(4), Decimal(10)
    )


def test_the_input_of_one_call_decides_which_step_prices_it() -> None:
    # Above 1000 tokens of input, cached or not, every token costs twice as much.
    stepped = replace(SMALL, further_steps=(replace(MIDDLE, above_input_tokens=1000),))
    assert call_cost(SORTING.tokens, [stepped]) == call_cost(SORTING.tokens, [SMALL])
    longer = TokensPerCall(601, 400, 200)
    assert call_cost(longer, [stepped]) == call_cost(longer, [MIDDLE])


def test_a_month_is_calls_times_the_cost_of_one_and_the_period_is_months_of_it() -> None:
    found = quoted(SORTING)

    assert found.total(Case.TARGET) == Range(Decimal(328), Decimal(656), Decimal(656))
    assert found.period_total(Case.TARGET).low == Decimal(1968)
    assert found.total(Case.MIN).low == Decimal(164)
    assert found.total(Case.STRETCH).low == Decimal(656)


def test_every_tier_prices_the_whole_work_side_by_side() -> None:
    whole = quoted(SORTING).whole

    assert {tier: costs[Case.TARGET].low for tier, costs in whole.items()} == {
        Tier.FRONTIER: Decimal(1640),
        Tier.STANDARD: Decimal(328),
        Tier.ECONOMY: Decimal(72),
        Tier.BATCH: Decimal(164),
    }


def test_the_share_that_can_wait_is_priced_on_the_batch_tier_in_whole_calls() -> None:
    # 30 % of 100,000 calls at 0.00164 on batch, the other 70,000 at 0.00328.
    costs = work_costs(replace(SORTING, batch_percent=30), Tier.STANDARD, Case.TARGET, {**CARD, Tier.STANDARD: [SMALL]})

    assert {tier: cost.low for tier, cost in costs.items()} == {
        Tier.STANDARD: Decimal("229.6"),
        Tier.BATCH: Decimal("49.2"),
    }


def test_what_can_wait_stays_on_its_tier_when_there_is_no_batch_model() -> None:
    card = {Tier.STANDARD: [SMALL]}

    costs = work_costs(replace(SORTING, batch_percent=30), Tier.STANDARD, Case.TARGET, card)

    assert {tier: cost.low for tier, cost in costs.items()} == {Tier.STANDARD: Decimal(328)}


def test_the_ask_is_split_by_the_tiers_it_names() -> None:
    found = quoted(replace(SORTING, tier=Tier.FRONTIER), replace(SORTING, batch_percent=50))

    assert {tier: costs[Case.TARGET].low for tier, costs in found.asked.items()} == {
        Tier.FRONTIER: Decimal(1640),
        Tier.STANDARD: Decimal(164),
        Tier.BATCH: Decimal(82),
    }


def test_shares_are_weighed_by_calls() -> None:
    found = quoted(SORTING, replace(SORTING, cached_tokens=0, batch_percent=50))

    assert (found.cached_share, found.batch_share) == (Decimal("0.2"), Decimal("0.25"))


def test_work_on_a_tier_without_models_cannot_be_quoted() -> None:
    with pytest.raises(NoModel, match="No model with a price is offered on the Frontier tier"):
        quoted(replace(SORTING, tier=Tier.FRONTIER), card={Tier.STANDARD: [SMALL]})


def test_an_ask_is_rounded_up_to_the_cent() -> None:
    assert [in_cents(Decimal(text)) for text in ("0", "0.000000000001", "1.01", "1.0100001")] == [
        Decimal("0.00"),
        Decimal("0.01"),
        Decimal("1.01"),
        Decimal("1.02"),
    ]


dollars = st.decimals(min_value=0, max_value=1000, places=6, allow_nan=False)
prices = st.builds(Price, input=dollars, output=dollars, cache_read=dollars)
cards = st.fixed_dictionaries({tier: st.lists(prices, min_size=1, max_size=4) for tier in Tier})


@st.composite
def works(draw: st.DrawFn) -> Work:
    calls = sorted(draw(st.lists(st.integers(0, 10**8), min_size=3, max_size=3)))
    tokens_in = draw(st.integers(0, 10**7))
    return Work(
        tier=draw(st.sampled_from(Tier)),
        calls=dict(zip(Case, calls, strict=True)),
        input_tokens=tokens_in,
        cached_tokens=draw(st.integers(0, tokens_in)),
        output_tokens=draw(st.integers(0, 10**7)),
        batch_percent=draw(st.integers(0, 100)),
    )


@given(st.lists(works(), min_size=1, max_size=4), cards)
def test_low_is_at_most_expected_is_at_most_high_everywhere(items: list[Work], card: RateCard) -> None:
    found = quoted(*items, card=card)

    for costs in (*found.whole.values(), *found.asked.values()):
        for cost in costs.values():
            assert 0 <= cost.low <= cost.expected <= cost.high


@given(works(), works(), cards)
def test_two_items_cost_what_each_costs(one: Work, other: Work, card: RateCard) -> None:
    both = quoted(one, other, card=card)

    for case in Case:
        assert both.total(case) == quoted(one, card=card).total(case) + quoted(other, card=card).total(case)


@given(works(), cards)
def test_the_parts_of_the_ask_sum_to_the_ask(item: Work, card: RateCard) -> None:
    found = quoted(item, card=card)

    for case in Case:
        assert found.total(case) == sum((costs[case] for costs in found.asked.values()), NOTHING)
        # One item on its own tier is the whole work on that tier.
        assert found.total(case) == found.whole[item.tier][case]


@given(works(), prices)
def test_a_cost_is_exact_to_the_last_digit(item: Work, model: Price) -> None:
    tokens = item.tokens
    one = (
        Fraction(model.input) * tokens.input
        + Fraction(model.cache_read) * tokens.cache_read
        + Fraction(model.output) * tokens.output
    ) / 1_000_000

    found = quoted(item, card={item.tier: [model]}).period_total(Case.STRETCH)

    assert Fraction(found.expected) == one * item.calls[Case.STRETCH] * 6


@given(works(), cards, st.randoms())
def test_the_order_of_models_does_not_matter(item: Work, card: RateCard, dice: object) -> None:
    shuffled = {tier: list(models) for tier, models in card.items()}
    for models in shuffled.values():
        dice.shuffle(models)  # type: ignore[attr-defined]

    assert quoted(item, card=shuffled) == quoted(item, card=card)


@given(works(), cards, prices)
def test_another_model_widens_the_range_and_never_narrows_it(item: Work, card: RateCard, more: Price) -> None:
    before = quoted(item, card=card).whole[Tier.BATCH][Case.TARGET]
    after = quoted(item, card={**card, Tier.BATCH: [*card[Tier.BATCH], more]}).whole[Tier.BATCH][Case.TARGET]

    assert after.low <= before.low
    assert after.high >= before.high
