"""Add an upstream provider, or change its address and credential."""

from typing import Any

from django.core.management.base import CommandParser

from ledger.models import Dialect
from ledger.services import provider_add
from teams.commands import ContractCommand
from teams.models import User


class Command(ContractCommand):
    """Add a provider."""

    help = "Add an upstream provider, or change its address and credential."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name")
        parser.add_argument("--dialect", required=True, choices=Dialect.values)
        parser.add_argument("--base-url", default="", help="With or without /v1; the sandbox needs none.")
        parser.add_argument("--api-key", default="", help="Encrypted at rest.")

    def handle_contract(
        self, *, actor: User, name: str, dialect: str, base_url: str, api_key: str, **_: Any
    ) -> dict[str, Any]:
        provider = provider_add(actor=actor, name=name, dialect=Dialect(dialect), base_url=base_url, api_key=api_key)
        return {"provider": provider.name, "dialect": provider.dialect, "base_url": provider.base_url}
