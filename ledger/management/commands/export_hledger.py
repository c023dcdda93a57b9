"""Write the journal for hledger."""

from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ledger.hledger import journal_pieces
from ledger.snapshot import snapshot
from teams.commands import ExportCommand, day


class Command(ExportCommand):
    """Export the journal as hledger's text, with the balances asserted at its end."""

    help = "Write the journal for hledger, all of it or the entries effective in a range of days."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--from", dest="starts_on", type=day, metavar="DATE", help="First day, included.")
        parser.add_argument("--to", dest="ends_on", type=day, metavar="DATE", help="Last day, included.")

    def handle_contract(
        self, *, out: Path | None, starts_on: date | None, ends_on: date | None, **_: Any
    ) -> dict[str, Any]:
        if starts_on and ends_on and ends_on < starts_on:
            raise CommandError(f"--to {ends_on} lies before --from {starts_on}.")
        with snapshot():
            self.write(out, journal_pieces(starts_on, ends_on))
        return {"file": str(out) if out else "standard output", "from": starts_on, "to": ends_on}
