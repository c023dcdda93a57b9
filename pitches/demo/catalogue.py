"""The year's budget, the sandbox with its models, and their prices, agreed a year ago and confirmed now."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from ledger.models import AiModel, Dialect, RateSource, Tier
from ledger.money import usd
from ledger.selectors import today
from ledger.services import model_add, provider_add, rate_approve, rate_propose, year_fund
from pitches.demo.people import Company
from teams.models import User

BUDGET = "400000"
# USD per million tokens: input, output, cache read.
PRICES = {
    "sandbox-frontier": (Tier.FRONTIER, "5", "25", "0.5"),
    "sandbox-frontier-max": (Tier.FRONTIER, "10", "50", "1"),
    "sandbox-standard": (Tier.STANDARD, "3", "15", "0.3"),
    "sandbox-standard-lite": (Tier.STANDARD, "1.75", "10", "0.175"),
    "sandbox-economy": (Tier.ECONOMY, "0.4", "1.6", "0.04"),
    "sandbox-economy-nano": (Tier.ECONOMY, "0.1", "0.4", "0.01"),
    "sandbox-batch": (Tier.BATCH, "1.5", "7.5", "0.15"),
}


def year_begin(company: Company) -> None:
    """Fund the year."""
    year_fund(actor=company.finance, amount=usd(BUDGET), reason=f"Budget of {today().year}, approved by the board")


def catalogue_make(company: Company, system: User) -> dict[str, AiModel]:
    """Add the sandbox and its models, each with last year's price before this year's."""
    provider = provider_add(actor=system, name="sandbox", dialect=Dialect.SANDBOX)
    models = {}
    for name, (tier, price_in, price_out, price_cached) in PRICES.items():
        prices: dict[str, Any] = {
            "input_price": Decimal(price_in),
            "output_price": Decimal(price_out),
            "cache_read_price": Decimal(price_cached),
        }
        models[name] = model_add(actor=system, provider=provider, name=name, tier=tier, **prices)
        agreed = rate_propose(
            actor=system,
            model=models[name],
            source=RateSource.NEGOTIATED,
            valid_from=datetime.now(UTC) - timedelta(days=365),
            note="Agreed last year",
            **prices,
        )
        rate_approve(actor=company.finance, rate=agreed)
    return models
