"""Issue a quota key."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.core.management.base import CommandParser

from allocations.selectors import allocation_by_number
from allocations.services import KeyLimits, key_issue
from ledger.arguments import amount
from teams.commands import ContractCommand
from teams.models import User


class Command(ContractCommand):
    """Issue a key; its secret is printed this once."""

    help = "Issue a quota key of an allocation and print its secret, once."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("allocation", help="Number, such as A-0042.")
        parser.add_argument("--cap", type=amount, metavar="USD")
        parser.add_argument("--name", help="Unique among the allocation's keys; made up when left out.")

    def handle_contract(
        self, *, actor: User, allocation: str, cap: Decimal | None, name: str | None, **_: Any
    ) -> dict[str, Any]:
        key, secret = key_issue(
            actor=actor,
            allocation=allocation_by_number(allocation),
            name=name or f"key-{uuid4().hex[:8]}",
            limits=KeyLimits(cap=cap),
        )
        return {"key": secret, "id": key.pk, "name": key.name}
