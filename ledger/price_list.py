"""Published prices, read offline from the list that the package `genai-prices` carries."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice, TieredPrices

from ledger.models import Dialect, Tier

# A model whose output costs at least this much per million tokens is proposed for the tier; a person may move it.
FRONTIER_FROM_USD = Decimal(20)
STANDARD_FROM_USD = Decimal(4)


@dataclass(frozen=True, slots=True)
class PublishedPrice:
    """What a provider asks for a model, USD per million tokens.

    Where the price grows with the length of the prompt, it is the dearest step: a bound computed from it holds.
    """

    model: str
    context_window: int | None
    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal
    is_stepped: bool

    @property
    def tier(self) -> Tier:
        """Return the tier that the output price suggests."""
        if self.output >= FRONTIER_FROM_USD:
            return Tier.FRONTIER
        return Tier.STANDARD if self.output >= STANDARD_FROM_USD else Tier.ECONOMY


def published_price(dialect: Dialect, model: str, at: datetime) -> PublishedPrice | None:
    """Return the published price of a model at a time, or None for one that the list does not price in tokens."""
    provider = next((provider for provider in get_snapshot().providers if provider.id == dialect.value), None)
    info = provider.find_model(model) if provider else None
    if info is None:
        return None
    prices = info.get_prices(at)
    base_input, output = _dearest(prices, "input_mtok"), _dearest(prices, "output_mtok")
    if base_input is None:
        return None
    write = _dearest(prices, "cache_write_mtok") or base_input
    return PublishedPrice(
        model=model,
        context_window=info.context_window,
        input=base_input,
        cache_read=_dearest(prices, "cache_read_mtok") or base_input,
        cache_write_5m=write,
        cache_write_1h=_dearest(prices, "cache_write_1h_mtok") or write,
        output=output or Decimal(0),
        is_stepped=any(isinstance(price, TieredPrices) for price in prices.__dict__.values()),
    )


def _dearest(prices: ModelPrice, key: str) -> Decimal | None:
    price = prices.__dict__.get(key)
    if isinstance(price, TieredPrices):
        return max([price.base, *(step.price for step in price.tiers)])
    return price
