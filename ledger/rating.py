"""Rating: what tokens cost at a rate.

Prices are USD per million tokens with at most six decimal places, so a token's price has at most twelve and a
cost is exact: nothing is rounded here. The one rounding in Tank is at the entry of a price (`price`): half up,
to six places per million tokens.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Protocol

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


def cost(rate: Prices, tokens: TokenCounts) -> Decimal:
    """Return what tokens cost at a rate, in the rate's currency, exact to twelve places."""
    return (
        rate.input * tokens.input
        + rate.cache_read * tokens.cache_read
        + rate.cache_write_5m * tokens.cache_write_5m
        + rate.cache_write_1h * tokens.cache_write_1h
        + rate.output * tokens.output
    ) / MILLION


def price(value: Decimal) -> Decimal:
    """Round a price per million tokens half up to the six places that a rate may have."""
    return value.quantize(PRICE_STEP, rounding=ROUND_HALF_UP)
