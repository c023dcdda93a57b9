"""Prove the promises that can be proved on the live database."""

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ledger.checks import PROMISES, Progress, prove
from ledger.seal import CHECK, NotAHead, head_breaches, head_read
from teams.commands import ContractCommand


class Command(ContractCommand):
    """Recompute quotas, subledger, journal and seals from their facts; exit 1 with the rows that break a promise."""

    help = "Check every promise that can be checked; exit 1 and say which rows break which, and where to look."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--against", type=Path, metavar="FILE", help="What export_seal wrote: prove that it is still in the chain."
        )

    def handle_contract(self, *, against: Path | None = None, **_: Any) -> dict[str, Any]:
        began = time.monotonic()
        try:
            head = head_read(against) if against else None
        except NotAHead as error:
            raise CommandError(str(error)) from error
        self._checks = 0
        found = prove(tell=self._tell)
        if head is not None:
            found += head_breaches(head)
            self._checks += 1
            self.stderr.write(f"check of {against}: {CHECK}")
        return {
            "ok": not found,
            "checks": self._checks,
            "seconds": round(time.monotonic() - began, 1),
            "breaches": [
                {"promise": b.promise, "words": PROMISES[b.promise], "check": b.check, "row": b.row, "look": b.look}
                for b in found
            ],
        }

    def failed(self, result: dict[str, Any]) -> bool:
        """Fail when a promise is broken."""
        return not result["ok"]

    def _tell(self, done: Progress) -> None:
        self._checks = done.number
        outcome = f"{done.found} rows break it" if done.found else "holds"
        self.stderr.write(f"check {done.number} of {done.of}: {done.name}: {outcome}, {done.seconds:.1f} s")
