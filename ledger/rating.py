"""Rating: what tokens cost at a rate.

Prices are USD per million tokens with at most six decimal places, so a token's price has at most twelve and a
cost is exact: nothing is rounded here. The one rounding in Tank is at the entry of a price (`price`): half up,
to six places per million tokens.

Where long calls have another price, a rate has steps. The step that a call's whole input reaches prices all of its
tokens, as providers do it.
"""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol, TypeVar

MILLION = Decimal(1_000_000)
PRICE_STEP = Decimal("0.000001")


class TokenCounts(Protocol):
    """Token counts of one call, in exclusive classes; reasoning is inside output."""

    @property
    def input(self) -> int:
        """Return tokens of uncached input."""
        ...

    @property
    def cache_read(self) -> int:
        """Return tokens of cached input."""
        ...

    @property
    def cache_write_5m(self) -> int:
        """Return tokens of input written to the 5-minute cache."""
        ...

    @property
    def cache_write_1h(self) -> int:
        """Return tokens of input written to the 1-hour cache."""
        ...

    @property
    def output(self) -> int:
        """Return tokens of output."""
        ...


class Prices(Protocol):
    """USD per million tokens, per token class; `ledger.models.Rate` is one."""

    @property
    def input(self) -> Decimal:
        """Return USD per million tokens of uncached input."""
        ...

    @property
    def cache_read(self) -> Decimal:
        """Return USD per million tokens of cached input."""
        ...

    @property
    def cache_write_5m(self) -> Decimal:
        """Return USD per million tokens of input written to the 5-minute cache."""
        ...

    @property
    def cache_write_1h(self) -> Decimal:
        """Return USD per million tokens of input written to the 1-hour cache."""
        ...

    @property
    def output(self) -> Decimal:
        """Return USD per million tokens of output."""
        ...


class Step(Prices, Protocol):
    """The prices of calls of some size."""

    @property
    def above_input_tokens(self) -> int:
        """Return the tokens of input above which a call has these prices."""
        ...


class Stepped(Protocol):
    """A rate; `ledger.models.Rate` is one."""

    @property
    def steps(self) -> Sequence[Step]:
        """Return its steps, shortest calls first."""
        ...


S = TypeVar("S", bound=Step)


def input_size(tokens: TokenCounts) -> int:
    """Return the tokens of the whole input, cached or not."""
    return tokens.input + tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h


def step_for(steps: Sequence[S], input_tokens: int) -> S:
    """Return the step that prices a call with so many tokens of input; `steps` shortest calls first."""
    if len(steps) == 1:
        return steps[0]
    return next((step for step in reversed(steps) if step.above_input_tokens < input_tokens), steps[0])


def cost(rate: Prices, tokens: TokenCounts) -> Decimal:
    """Return what tokens cost at a rate, in the rate's currency, exact to twelve places."""
    total = rate.input * tokens.input + rate.output * tokens.output
    if tokens.cache_read:
        total += rate.cache_read * tokens.cache_read
    if tokens.cache_write_5m:
        total += rate.cache_write_5m * tokens.cache_write_5m
    if tokens.cache_write_1h:
        total += rate.cache_write_1h * tokens.cache_write_1h
    return total / MILLION


def price(value: Decimal) -> Decimal:
    """Round a price per million tokens half up to the six places that a rate may have."""
    return value.quantize(PRICE_STEP, rounding=ROUND_HALF_UP)
