"""Published prices, read offline from the list that the package `genai-prices` carries.

That package is imported when a price is looked up: every process of Tank imports this module, and few look one up.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from ledger.models import Dialect, Tier

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

# A model whose output costs at least this much per million tokens is proposed for the tier; a person may move it.
FRONTIER_FROM_USD = Decimal(20)
STANDARD_FROM_USD = Decimal(4)


@dataclass(frozen=True, slots=True)
class PriceStep:
    """Prices of the calls whose whole input is more than some tokens, USD per million tokens."""

    above_input_tokens: int
    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal


@dataclass(frozen=True, slots=True)
class PublishedPrice:
    """What a provider asks for a model: one step, or more where long prompts have another price."""

    model: str
    context_window: int | None
    steps: tuple[PriceStep, ...]
    """Shortest calls first; the first one is above nothing."""

    @property
    def tier(self) -> Tier:
        """Return the tier that the output price of short calls suggests."""
        output = self.steps[0].output
        if output >= FRONTIER_FROM_USD:
            return Tier.FRONTIER
        return Tier.STANDARD if output >= STANDARD_FROM_USD else Tier.ECONOMY


def published_price(dialect: Dialect, model: str, at: datetime) -> PublishedPrice | None:
    """Return the published price of a model at a time, or None for one that the list does not price in tokens."""
    from genai_prices.data_snapshot import get_snapshot

    provider = next((provider for provider in get_snapshot().providers if provider.id == dialect.value), None)
    info = provider.find_model(model) if provider else None
    if info is None:
        return None
    prices = info.get_prices(at)
    if _at(prices, "input_mtok", 0) is None:
        return None
    return PublishedPrice(model, info.context_window, tuple(_step(prices, above) for above in _thresholds(prices)))


def _thresholds(prices: "ModelPrice") -> list[int]:
    from genai_prices.types import TieredPrices

    stepped = [price for price in prices.__dict__.values() if isinstance(price, TieredPrices)]
    return sorted({0} | {step.start for price in stepped for step in price.tiers})


def _step(prices: "ModelPrice", above: int) -> PriceStep:
    plain = _at(prices, "input_mtok", above) or Decimal(0)
    write = _or(_at(prices, "cache_write_mtok", above), plain)
    return PriceStep(
        above_input_tokens=above,
        input=plain,
        cache_read=_or(_at(prices, "cache_read_mtok", above), plain),
        cache_write_5m=write,
        cache_write_1h=_or(_at(prices, "cache_write_1h_mtok", above), write),
        output=_at(prices, "output_mtok", above) or Decimal(0),
    )


def _or(price: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if price is None else price


def _at(prices: "ModelPrice", key: str, above: int) -> Decimal | None:
    """Return a class's price for calls just above a threshold; None when the list has none."""
    from genai_prices.types import TieredPrices

    price = prices.__dict__.get(key)
    if isinstance(price, TieredPrices):
        reached = [step.price for step in price.tiers if step.start <= above]
        return reached[-1] if reached else price.base
    return price
