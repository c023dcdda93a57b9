"""Revoke a quota key."""

from typing import Any

from django.core.management.base import CommandParser

from allocations.models import QuotaKey
from allocations.services import key_revoke
from teams.commands import ContractCommand
from teams.errors import Refused
from teams.models import User


class Command(ContractCommand):
    """End a key for good."""

    help = "Revoke a quota key; every gateway refuses it from then on."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("key", type=int, metavar="id", help="The id that issue_key printed.")
        parser.add_argument("--reason", required=True)

    def handle_contract(self, *, actor: User, key: int, reason: str, **_: Any) -> dict[str, Any]:
        found = QuotaKey.objects.filter(pk=key).first()
        if found is None:
            raise Refused(f"There is no key {key}.", code="no_such_key")
        revoked = key_revoke(actor=actor, key=found, reason=reason)
        return {"id": revoked.pk, "name": revoked.name, "state": revoked.state}
