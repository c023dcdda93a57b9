"""Compute a round's choices again from their stored inputs and compare them byte for byte."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from pitches.models import Round, Selection
from pitches.services import selection_replay
from teams.commands import ContractCommand
from teams.models import User


class Command(ContractCommand):
    """Replay every stored choice of a round; exit 1 when one of them differs."""

    help = "Compute the stored choices of a round again; exit 1 when a result differs from what is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("round", help="The round's number or name.")

    def handle_contract(self, *, actor: User, round: str, **_: Any) -> dict[str, Any]:  # noqa: A002 - the argument's name
        found = Round.objects.filter(pk=int(round)) if round.isdigit() else Round.objects.filter(name=round)
        if not found.exists():
            raise CommandError(f"There is no round {round}.")
        selections = Selection.objects.filter(round=found.get()).order_by("number")
        replayed = {selection.number: selection_replay(selection) for selection in selections}
        differ = [number for number, same in replayed.items() if not same]
        return {"round": found.get().name, "replayed": len(replayed), "differ": differ}

    def failed(self, result: dict[str, Any]) -> bool:
        return bool(result["differ"])
