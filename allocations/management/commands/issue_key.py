"""Issue a quota key."""

from dataclasses import fields
from functools import partial
from typing import Any
from uuid import uuid4

from django.core.management.base import CommandParser

from allocations.selectors import allocation_by_number
from allocations.services import KeyLimits, key_issue
from ledger.arguments import amount, whole
from ledger.selectors import models_named
from teams.commands import ContractCommand
from teams.models import User

CAPS = {"cap": "in all", "day_cap": "a day, UTC", "month_cap": "a month, UTC"}
COUNTS = {
    "tokens": "tokens in all, input and output together",
    "day_tokens": "tokens a day, UTC",
    "month_tokens": "tokens a month, UTC",
    "tokens_per_minute": "tokens a minute",
}
SMALL_COUNTS = {"requests_per_minute": "requests a minute", "calls_at_once": "calls in flight"}


class Command(ContractCommand):
    """Issue a key; its secret is printed this once."""

    help = "Issue a quota key of an allocation and print its secret, once."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("allocation", help="Number, such as A-0042.")
        parser.add_argument("--name", help="Unique among the allocation's keys; made up when left out.")
        parser.add_argument(
            "--model",
            action="append",
            default=[],
            dest="models",
            metavar="NAME",
            help="A model that the key may call, backups too; repeat it for several. All of the tiers when left out.",
        )
        for name, words in CAPS.items():
            parser.add_argument(_option(name), type=amount, metavar="USD", help=f"The most it may spend {words}.")
        for name, words in COUNTS.items():
            parser.add_argument(_option(name), type=whole, metavar="N", help=f"The most {words}.")
        for name, words in SMALL_COUNTS.items():
            parser.add_argument(_option(name), type=partial(whole, most=10**6), metavar="N", help=f"The most {words}.")

    def handle_contract(
        self, *, actor: User, allocation: str, name: str | None, models: list[str], **limits: Any
    ) -> dict[str, Any]:
        may_call = models_named(models)
        key, secret = key_issue(
            actor=actor,
            allocation=allocation_by_number(allocation),
            name=name or f"key-{uuid4().hex[:8]}",
            limits=KeyLimits(**{field.name: limits[field.name] for field in fields(KeyLimits)}),
            models=may_call,
        )
        said = {"key": secret, "id": key.pk, "name": key.name}
        return said | ({"models": [model.name for model in may_call]} if may_call else {})


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
