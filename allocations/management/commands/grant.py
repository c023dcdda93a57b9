"""Allocate budget outside a round, out of the reserve."""

from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from allocations.services import grant_make
from ledger.arguments import amount as amount_argument
from ledger.models import Tier
from ledger.money import plain, usd
from teams.commands import ContractCommand
from teams.models import User


class Command(ContractCommand):
    """Grant an allocation."""

    help = "Make an allocation outside a round, out of the reserve; makes the team when it is missing."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("team")
        parser.add_argument("--amount", required=True, type=amount_argument, metavar="USD")
        parser.add_argument("--tier", choices=Tier.values, default=Tier.STANDARD.value)
        parser.add_argument("--reason", required=True)

    def handle_contract(
        self, *, actor: User, team: str, amount: Decimal, tier: str, reason: str, **_: Any
    ) -> dict[str, Any]:
        allocation = grant_make(actor=actor, team_name=team, amount=usd(amount), tier=Tier(tier), reason=reason)
        return {"allocation": allocation.number, "team": allocation.team.name, "tier": tier, "amount": plain(amount)}
