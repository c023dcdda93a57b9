"""Propose published prices, for finance to approve."""

from typing import Any

from django.core.management.base import CommandParser

from ledger.models import Provider, Tier
from ledger.money import plain
from ledger.services import rate_approve, rates_import
from teams.commands import ContractCommand
from teams.errors import Refused
from teams.models import User


class Command(ContractCommand):
    """Fill the rate card from the published price list that comes with Tank; needs no network."""

    help = "Propose the published prices of models; new names become models."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("provider")
        parser.add_argument("models", nargs="*", help="All of the provider's models here when left out.")
        parser.add_argument("--tier", choices=Tier.values, help="What the price suggests when left out.")
        parser.add_argument("--approve", action="store_true", help="Put the prices in force at once.")

    def handle_contract(
        self, *, actor: User, provider: str, models: list[str], tier: str | None, approve: bool, **_: Any
    ) -> dict[str, Any]:
        upstream = Provider.objects.filter(name=provider).first()
        if upstream is None:
            raise Refused(f"There is no provider {provider!r}; add_provider makes one.", code="no_such_provider")
        rates = rates_import(actor=actor, provider=upstream, names=models, tier=Tier(tier) if tier else None)
        if approve:
            rates = [rate_approve(actor=actor, rate=rate) for rate in rates]
        return {
            "rates": [
                {
                    "model": rate.model.name,
                    "tier": rate.model.tier,
                    "input": plain(rate.input),
                    "output": plain(rate.output),
                    "approved": rate.approved_at is not None,
                }
                for rate in rates
            ]
        }
