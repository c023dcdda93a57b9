"""Options: what the system offers for every pitch, from the kept quote, and what each is worth."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.models import Tier
from pitches.options import Ask, Made, OptionCode, options, worth
from pitches.questions import Basis, Case, Latency

D = Decimal
CALLS = {Case.MIN: 50, Case.TARGET: 100, Case.STRETCH: 200}


def asked(costs: dict[Tier, str], whole: dict[Tier, str]) -> Ask:
    """Return an ask of 10,000 dollars of value; the minimum costs half of the target, the stretch twice."""
    factor = {Case.MIN: D("0.5"), Case.TARGET: D(1), Case.STRETCH: D(2)}
    quote = {(Basis.ASKED, case, tier): D(cost) * factor[case] for case in Case for tier, cost in costs.items()}
    quote |= {(Basis.WHOLE, case, tier): D(cost) * factor[case] for case in Case for tier, cost in whole.items()}
    return Ask(value=D(10_000), latency=Latency.SECONDS, calls=CALLS, quote=quote, measured={})


WHOLE = {Tier.FRONTIER: "1000", Tier.STANDARD: "200", Tier.ECONOMY: "45", Tier.BATCH: "100"}
ON_FRONTIER = asked({Tier.FRONTIER: "1000"}, WHOLE)


def by_offer(ask: Ask) -> dict[str, Made]:
    return {made.offer: made for made in options(ask)}


def test_every_pitch_gets_the_sizes_it_asked_for_and_the_cheaper_ways_that_the_system_sees() -> None:
    assert list(by_offer(replace(ON_FRONTIER, latency=Latency.OVERNIGHT))) == [
        "full",
        "partial",
        "stretch",
        "cheaper:standard",
        "cheaper:economy",
        "cascade",
        "batch",
    ]


def test_a_smaller_or_larger_ask_is_worth_its_share_of_the_calls() -> None:
    made = by_offer(ON_FRONTIER)

    assert [(name, made[name].cost, made[name].value) for name in ("full", "partial", "stretch")] == [
        ("full", D(1000), D(10_000)),
        ("partial", D(500), D(5_000)),
        ("stretch", D(2000), D(20_000)),
    ]


def test_what_is_the_same_is_not_offered_twice() -> None:
    quote = {key: cost for key, cost in ON_FRONTIER.quote.items() if key[1] == Case.TARGET}
    same = {(basis, case, tier): cost for (basis, _, tier), cost in quote.items() for case in Case}
    flat = replace(ON_FRONTIER, quote=same, calls=dict.fromkeys(Case, 100))

    assert [made.code for made in options(flat)] == [
        OptionCode.FULL,
        OptionCode.CHEAPER,
        OptionCode.CHEAPER,
        OptionCode.CASCADE,
    ]


def test_a_cheaper_tier_has_the_quality_of_policy_until_the_team_measures_it() -> None:
    policy = by_offer(ON_FRONTIER)
    measured = by_offer(replace(ON_FRONTIER, measured={Tier.STANDARD: D("0.97")}))

    assert [(policy[name].quality, policy[name].is_measured) for name in ("cheaper:standard", "cheaper:economy")] == [
        (D("0.9"), False),
        (D("0.75"), False),
    ]
    assert (measured["cheaper:standard"].quality, measured["cheaper:standard"].is_measured) == (D("0.97"), True)


def test_a_cascade_sends_sixty_in_a_hundred_calls_to_the_next_tier() -> None:
    made = by_offer(ON_FRONTIER)["cascade"]

    assert dict(made.lines) == {Tier.FRONTIER: D(400), Tier.STANDARD: D(120)}
    assert made.quality == D("0.94")  # 0.4 x 1 + 0.6 x 0.9


def test_batch_is_offered_only_to_those_who_can_wait() -> None:
    assert "batch" not in by_offer(ON_FRONTIER)
    for latency in (Latency.MINUTES, Latency.OVERNIGHT):
        made = by_offer(replace(ON_FRONTIER, latency=latency))["batch"]
        assert (made.cost, made.quality, dict(made.lines)) == (D(100), D(1), {Tier.BATCH: D(100)})


def test_the_share_that_can_wait_keeps_its_own_line_on_every_tier() -> None:
    ask = asked(
        {Tier.FRONTIER: "700", Tier.BATCH: "30"}, {Tier.FRONTIER: "730", Tier.STANDARD: "170", Tier.BATCH: "99"}
    )

    assert dict(by_offer(ask)["cheaper:standard"].lines) == {Tier.STANDARD: D(140), Tier.BATCH: D(30)}


def test_costs_are_rounded_up_to_the_cent_tier_by_tier() -> None:
    ask = asked({Tier.FRONTIER: "700.001", Tier.BATCH: "30.001"}, WHOLE)

    assert dict(by_offer(ask)["full"].lines) == {Tier.FRONTIER: D("700.01"), Tier.BATCH: D("30.01")}


def test_a_system_offer_that_is_not_cheaper_is_not_made() -> None:
    dear = asked({Tier.STANDARD: "200"}, {Tier.STANDARD: "200", Tier.ECONOMY: "200", Tier.BATCH: "300"})

    assert [made.offer for made in options(replace(dear, latency=Latency.OVERNIGHT))] == ["full", "partial", "stretch"]


def test_an_ask_that_costs_nothing_gets_no_offer() -> None:
    assert options(asked({}, {})) == []


def test_worth_is_floored_to_the_cent() -> None:
    # 0.6 x 100.00 x 0.9 x 1.0001 = 54.0054
    assert worth(D(100), D("0.6"), D("0.9"), D("1.0001")) == 5400


shares = st.decimals(0, 2, places=4, allow_nan=False)


@given(st.integers(0, 10**12), shares, shares, shares)
def test_worth_never_exceeds_the_product_and_is_less_than_a_cent_below_it(
    cents: int, factor: Decimal, quality: Decimal, k: Decimal
) -> None:
    exact = Fraction(cents) * Fraction(factor) * Fraction(quality) * Fraction(k)

    assert 0 <= exact - worth(D(cents) / 100, factor, quality, k) < 1


@pytest.mark.parametrize("tier", [Tier.ECONOMY, Tier.BATCH])
def test_below_the_last_rung_there_is_nothing_cheaper(tier: Tier) -> None:
    assert [made.code for made in options(asked({tier: "45"}, WHOLE)) if made.code == OptionCode.CHEAPER] == []
