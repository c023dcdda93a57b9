"""Load the invented company into an empty database."""

from typing import Any

from pitches.demo.load import demo_load
from teams.commands import ContractCommand
from teams.models import User


class Command(ContractCommand):
    """Load demo data, all of it or nothing."""

    help = "Load an invented company with rounds, allocations and two weeks of usage; into an empty database only."

    def handle_contract(self, *, actor: User, **_: Any) -> dict[str, Any]:
        return demo_load()
