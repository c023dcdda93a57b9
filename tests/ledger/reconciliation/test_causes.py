"""Causes and shares alone, without a database: whatever the figures, nothing is lost and nothing made up."""

from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ledger.models import TOKEN_CLASSES, Outcome
from ledger.reconciliation.causes import Facts, Part, Policy, RateRow, Side, allocate, at_prices, judge

DAY = date(2026, 5, 5)
PRICES = {
    "input": Decimal(1),
    "cache_read": Decimal("0.1"),
    "cache_write_5m": Decimal("1.25"),
    "cache_write_1h": Decimal(2),
    "output": Decimal(3),
}
RATE = RateRow(1, PRICES, date(2026, 1, 1))
STRICT = Policy(Decimal(0), Decimal(0), 0)
VARIANCE = 99

amounts = st.decimals(min_value=-(10**6), max_value=10**6, places=12)
weights = st.dictionaries(
    st.integers(1, 50), st.decimals(min_value=0, max_value=10**6, places=6), min_size=1, max_size=9
)
tokens = st.dictionaries(st.sampled_from(TOKEN_CLASSES), st.integers(1, 10**9))


@given(amounts, weights)
def test_shares_sum_to_the_whole_and_have_its_sign(amount: Decimal, by: dict[int, Decimal]) -> None:
    shares = allocate(amount, by)

    assert sum(shares.values(), Decimal(0)) == amount
    assert set(shares) <= set(by)
    assert all((share > 0) == (amount > 0) for share in shares.values())


@given(amounts, weights)
def test_an_amount_and_its_opposite_are_shared_alike(amount: Decimal, by: dict[int, Decimal]) -> None:
    assert allocate(-amount, by) == {key: -share for key, share in allocate(amount, by).items()}


@given(st.integers(1, 10**18), weights)
def test_a_share_is_its_part_to_the_last_place(units: int, by: dict[int, Decimal]) -> None:
    amount, total = Decimal(units).scaleb(-12), sum(by.values(), Decimal(0))
    for key, share in allocate(amount, by).items():
        if total:
            assert abs(share - amount * by[key] / total) <= Decimal("1e-12")


@given(tokens, tokens, st.integers(0, 50), st.integers(0, 50), amounts, st.booleans(), st.booleans())
def test_what_is_explained_and_what_is_not_are_the_difference(
    metered: dict[str, int],
    reported: dict[str, int],
    calls: int,
    asked: int,
    beside: Decimal,
    has_tokens: bool,
    is_estimated: bool,
) -> None:
    facts = Facts(
        day=DAY,
        today=date(2026, 6, 1),
        policy=STRICT,
        metered=Side(calls, metered, at_prices(metered, PRICES)),
        reported=Side(asked, reported, abs(at_prices(reported, PRICES) + beside)),
        has_tokens=has_tokens,
        rate=RATE,
        parts=(Part(reported, abs(beside), "output", "priority"),),
        estimated_calls=calls if is_estimated else 0,
        estimated=metered,
        estimated_by={1: Decimal(1)},
        used_by={1: Decimal(2), 2: Decimal(1)},
        variance=VARIANCE,
    )

    verdict = judge(facts)

    explained = sum((one.amount for one in verdict.explanations), Decimal(0))
    assert explained + verdict.unexplained == facts.difference
    if verdict.is_agreed:
        assert sum((amount for _account, amount, _rule in verdict.attributions), Decimal(0)) == facts.difference
    if verdict.outcome == Outcome.OPEN:
        assert verdict.unexplained
        assert not verdict.is_agreed
    if verdict.outcome == Outcome.MATCHED:
        assert not facts.difference
        assert not facts.gap


@given(tokens, st.integers(0, 50))
def test_sides_that_are_alike_need_no_cause(both: dict[str, int], calls: int) -> None:
    side = Side(calls, both, at_prices(both, PRICES))
    facts = Facts(day=DAY, today=DAY, policy=STRICT, metered=side, reported=side, rate=RATE, variance=VARIANCE)

    verdict = judge(facts)

    assert (verdict.outcome, verdict.explanations, verdict.is_agreed) == (Outcome.MATCHED, (), True)


@given(
    st.integers(1, 10**6), st.integers(-(10**6), 10**7), st.integers(0, 10**6), st.integers(0, 5), st.integers(0, 10)
)
def test_lost_calls_that_were_settled_take_what_their_figures_change_by(
    settled: int, more: int, others: int, calls: int, grouped: int
) -> None:
    """Those of lines 1 and 2 were charged for `settled` output tokens; the provider now counts `more` of them."""
    metered, reported = {"output": others + settled}, {"output": others + settled + more}
    cost = at_prices({"output": settled}, PRICES)
    facts = Facts(
        day=DAY,
        today=date(2026, 6, 1),
        policy=STRICT,
        metered=Side(calls, metered, at_prices(metered, PRICES)),
        reported=Side(calls + grouped, reported, at_prices(reported, PRICES)),
        rate=RATE,
        settled_lost=1,
        settled_tokens={"output": settled},
        settled_cost=cost,
        settled_by={1: cost, 2: cost},
        used_by={3: Decimal(1)},
        variance=VARIANCE,
    )

    verdict = judge(facts)

    # Within what was charged for them they take it all, however small; beyond it somebody looks.
    if abs(more) <= settled:
        assert verdict.is_agreed
        assert {account for account, _, _ in verdict.attributions} <= {1, 2}
        assert sum(amount for _, amount, _ in verdict.attributions) == at_prices({"output": more}, PRICES)
    else:
        assert not verdict.is_agreed
