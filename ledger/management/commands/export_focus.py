"""Write cost and usage as FOCUS 1.4."""

from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ledger.focus import Totals, focus_lines
from ledger.money import plain
from ledger.snapshot import snapshot
from teams.commands import ExportCommand, day


class Command(ExportCommand):
    """Export what the lines were charged as the Cost and Usage dataset, CSV."""

    help = "Write FOCUS 1.4 Cost and Usage as CSV, one row per token class, from the daily roll-ups."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--from", dest="starts_on", type=day, required=True, metavar="DATE", help="First day, UTC.")
        parser.add_argument("--to", dest="ends_on", type=day, required=True, metavar="DATE", help="Last day, included.")

    def handle_contract(self, *, out: Path | None, starts_on: date, ends_on: date, **_: Any) -> dict[str, Any]:
        if ends_on < starts_on:
            raise CommandError(f"--to {ends_on} lies before --from {starts_on}.")
        totals = Totals()
        with snapshot():
            self.write(out, focus_lines(starts_on, ends_on, totals))
        billed = {currency: plain(amount) for currency, amount in totals.billed.items()}
        return {"file": str(out) if out else "standard output", "rows": totals.rows, "billed_cost": billed}
