"""The worst case of a call at a rate with steps: the dearest of all the sizes that the call may turn out to have."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import NamedTuple

from allocations.metering.bounds import Demand, most_input, output_cap_within, worst_tokens
from allocations.metering.types import Tokens
from ledger.rating import Step, cost


class Worst(NamedTuple):
    """What a call can use at most, and what that costs in USD: the `cost` of its tokens at their own step."""

    tokens: Tokens
    cost: Decimal


def worst_case(demand: Demand, steps: Sequence[Step], *, context_window: int, output_cap: int) -> Worst:
    """Return the dearest that a provider could honestly report for a demand; `steps` shortest calls first."""
    if len(steps) == 1:
        return _worst_at(steps[0], demand, context_window, output_cap)
    found: Worst | None = None
    for step, part in _parts(demand, steps, context_window):
        worst = _worst_at(step, part, context_window, output_cap)
        if found is None or worst.cost > found.cost:
            found = worst
    if found is None:
        raise ValueError("a rate has at least one step")
    return found


def _worst_at(step: Step, demand: Demand, context_window: int, output_cap: int) -> Worst:
    tokens = worst_tokens(demand, step, context_window=context_window, output_cap=output_cap)
    return Worst(tokens, cost(step, tokens))


def largest_cap(demand: Demand, steps: Sequence[Step], *, context_window: int, granted: Decimal) -> int:
    """Return the largest output cap per choice whose worst case costs no more than `granted`, in USD."""
    return min(
        output_cap_within(part, step, context_window=context_window, granted=granted)
        for step, part in _parts(demand, steps, context_window)
    )


def _parts(demand: Demand, steps: Sequence[Step], context_window: int) -> Iterator[tuple[Step, Demand]]:
    """Go through the steps that the call may reach, each with the demand of the longest call that it prices."""
    most = most_input(demand, context_window)
    for step, following in zip_longest(steps, steps[1:]):
        if following is None or most <= following.above_input_tokens:
            yield step, demand
            return
        yield step, demand._replace(input_tokens=following.above_input_tokens)
