"""Choose what a round funds, from a file, without the database."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pitches.selection import documents, exact
from pitches.selection.problem import ProblemError
from teams.commands import sentence

SECONDS = 25.0


class Command(BaseCommand):
    """Solve one selection exactly and print it as canonical JSON; no database is asked."""

    help = "Choose exactly what a round funds: read a problem as JSON, print the selection as canonical JSON."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="The problem; - reads standard input.")
        parser.add_argument(
            "--seconds", type=float, default=SECONDS, help=f"Then print the best found and its gap; {SECONDS:g} s."
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; as a command, exit 1 with one line on stderr when it fails."""
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            if not getattr(self, "_called_from_command_line", False):
                raise
            self.stderr.write(sentence(error))
            sys.exit(1)

    def handle(self, *args: Any, file: str, seconds: float, **options: Any) -> None:
        """Read, solve, print; raises CommandError with the place of what is wrong."""
        try:
            problem = documents.read(_text(file))
        except ProblemError as error:
            raise CommandError(str(error)) from error
        solution = exact.solve(problem, seconds=seconds)
        if not solution.settled:
            self.stderr.write("Time ran out before every tie was broken by the rule.")
        self.stdout.write(documents.answer(solution).decode(), ending="")


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not UTF-8.") from error
