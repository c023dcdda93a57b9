"""Where long calls have another price, no usage that a provider could honestly report costs more than the bound."""

from dataclasses import dataclass
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from allocations.metering.bounds import Demand
from allocations.metering.types import Tokens
from allocations.metering.worst import largest_cap, worst_case
from ledger.rating import cost, input_size, step_for

WINDOW = 1_000
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h")


@dataclass(frozen=True)
class Prices:
    above_input_tokens: int
    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal


PRICE = st.decimals(0, 100, places=6)


@st.composite
def rates(draw: st.DrawFn) -> list[Prices]:
    """A rate whose steps may be dearer or cheaper than the ones before."""
    sizes = [0, *sorted(draw(st.sets(st.integers(1, WINDOW + 50), max_size=3)))]
    return [Prices(size, *(draw(PRICE) for _ in range(5))) for size in sizes]


@st.composite
def honest(draw: st.DrawFn) -> tuple[Demand, int, Tokens]:
    """A demand, its output cap, and a usage within both."""
    most = draw(st.none() | st.integers(0, WINDOW + 50))
    classes = tuple(draw(st.sets(st.sampled_from(CLASSES), min_size=1)))
    demand = Demand(most, None, draw(st.integers(1, 3)), draw(st.integers(0, 20)), classes)
    cap, left, counts = draw(st.integers(0, 100)), WINDOW if most is None else min(most, WINDOW), {}
    for name in classes:
        counts[name] = draw(st.integers(0, left))
        left -= counts[name]
    return demand, cap, Tokens(**counts, output=draw(st.integers(0, cap * demand.choices + demand.extra_output)))


@given(rate=rates(), call=honest())
def test_no_honest_usage_costs_more_than_the_bound_whatever_step_it_ends_in(
    rate: list[Prices], call: tuple[Demand, int, Tokens]
) -> None:
    demand, cap, tokens = call
    bound = worst_case(demand, rate, context_window=WINDOW, output_cap=cap)
    assert cost(step_for(rate, input_size(tokens)), tokens) <= bound.cost


@given(rate=rates(), call=honest())
def test_the_bound_is_what_its_own_tokens_cost(rate: list[Prices], call: tuple[Demand, int, Tokens]) -> None:
    demand, cap, _ = call
    worst = worst_case(demand, rate, context_window=WINDOW, output_cap=cap)
    assert cost(step_for(rate, input_size(worst.tokens)), worst.tokens) == worst.cost


@given(rate=rates(), call=honest())
def test_the_cap_that_fits_what_is_granted_is_the_largest_one(
    rate: list[Prices], call: tuple[Demand, int, Tokens]
) -> None:
    demand, cap, _ = call

    def bound(output_cap: int) -> Decimal:
        return worst_case(demand, rate, context_window=WINDOW, output_cap=output_cap).cost

    granted = bound(cap)
    fits = largest_cap(demand, rate, context_window=WINDOW, granted=granted)
    assert fits >= cap
    assert bound(fits) <= granted


def test_a_short_call_is_bounded_by_the_price_of_short_calls() -> None:
    short, long = (Prices(size, *[Decimal(price)] * 5) for size, price in ((0, 1), (100, 2)))
    for size, price in ((100, 1), (101, 2)):
        bound = worst_case(Demand(size, 10), [short, long], context_window=WINDOW, output_cap=10)
        assert bound.cost * 1_000_000 == (size + 10) * price
