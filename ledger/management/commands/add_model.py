"""Add a model with its price."""

from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from ledger.arguments import amount
from ledger.models import Provider, Tier
from ledger.services import model_add
from teams.commands import ContractCommand
from teams.errors import Refused
from teams.models import User


class Command(ContractCommand):
    """Add a model, or give one that exists a new rate."""

    help = "Add a model with a rate from now on; prices in USD per million tokens."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("provider")
        parser.add_argument("model")
        parser.add_argument("--tier", required=True, choices=Tier.values)
        parser.add_argument("--input", required=True, type=amount, dest="input_price", metavar="USD")
        parser.add_argument("--output", required=True, type=amount, dest="output_price", metavar="USD")
        parser.add_argument("--cache-read", type=amount, dest="cache_read_price", metavar="USD")
        parser.add_argument("--context-window", type=int, metavar="TOKENS")

    def handle_contract(
        self,
        *,
        actor: User,
        provider: str,
        model: str,
        tier: str,
        input_price: Decimal,
        output_price: Decimal,
        cache_read_price: Decimal | None,
        context_window: int | None,
        **_: Any,
    ) -> dict[str, Any]:
        upstream = Provider.objects.filter(name=provider).first()
        if upstream is None:
            raise Refused(f"There is no provider {provider!r}; add_provider makes one.", code="no_such_provider")
        added = model_add(
            actor=actor,
            provider=upstream,
            name=model,
            tier=Tier(tier),
            input_price=input_price,
            output_price=output_price,
            cache_read_price=cache_read_price,
            context_window=context_window,
        )
        return {"model": added.name, "provider": provider, "tier": added.tier}
