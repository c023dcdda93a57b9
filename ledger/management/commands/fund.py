"""Add to this fiscal year's budget authority and reserve."""

from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser

from ledger.arguments import amount as amount_argument
from ledger.money import plain, usd
from ledger.selectors import available_in_reserve
from ledger.services import year_fund
from teams.commands import ContractCommand
from teams.models import User


class Command(ContractCommand):
    """Fund the fiscal year."""

    help = "Add to this fiscal year's budget authority and reserve."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--amount", required=True, type=amount_argument, metavar="USD")
        parser.add_argument("--reason", required=True)

    def handle_contract(self, *, actor: User, amount: Decimal, reason: str, **_: Any) -> dict[str, Any]:
        entry = year_fund(actor=actor, amount=usd(amount), reason=reason)
        return {"entry": entry.pk, "amount": plain(amount), "reserve": plain(available_in_reserve().amount)}
