"""Show how an allocation stands."""

from typing import Any

from django.core.management.base import CommandParser

from allocations.selectors import Figures, allocation_by_number, figures_by_tier, quota_figures
from ledger.money import plain
from teams.commands import ContractCommand


class Command(ContractCommand):
    """Print limit, spent, held, unsettled and available as decimal strings."""

    help = "Show what an allocation may spend, has spent, holds and has left; unsettled is a part of held."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("allocation", help="Number, such as A-0042.")

    def handle_contract(self, *, allocation: str, **_: Any) -> dict[str, Any]:
        found = allocation_by_number(allocation)
        together = quota_figures(found)
        return {
            "allocation": found.number,
            "currency": together.currency,
            "as_of": together.as_of,
            **_amounts(together),
            "tiers": {
                tier.value: _amounts(figures) | _tokens(figures) for tier, figures in figures_by_tier(found).items()
            },
        }


def _amounts(figures: Figures) -> dict[str, str]:
    names = ("limit", "spent", "held", "unsettled", "available")
    return {name: plain(getattr(figures, name)) for name in names}


def _tokens(figures: Figures) -> dict[str, dict[str, int]]:
    """Return how a line stands in tokens, where it is limited in them."""
    limit, spent, held = figures.token_limit, figures.tokens_spent, figures.tokens_held
    if limit is None:
        return {}
    return {"tokens": {"limit": limit, "spent": spent, "held": held, "available": limit - spent - held}}
