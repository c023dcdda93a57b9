"""The base of the commands that scripts rely on: `--json`, `--as`, one clear line on error.

A command translates its arguments, makes one service call and returns what it did as a dict:

    class Command(ContractCommand):
        help = "Add to this fiscal year's budget."

        def add_arguments(self, parser: CommandParser) -> None:
            super().add_arguments(parser)
            parser.add_argument("--amount", required=True)

        def handle_contract(self, *, actor: User, amount: str, **_: Any) -> dict[str, Any]:
            return {"entry": services.year_fund(actor=actor, amount=usd(amount)).pk}
"""

import argparse
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

import psycopg.errors
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor

from teams.errors import Refused
from teams.models import User
from teams.selectors import system_user

NOT_MIGRATED = "The database is not migrated: run `manage.py migrate` first."
EXPECTED = (Refused, CommandError, Error, ObjectDoesNotExist, ValidationError)
# Django's own options are not the command's arguments.
OF_DJANGO = {"verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks"}


class ContractCommand(BaseCommand, ABC):
    """A command with a fixed name and fixed output, for scripts."""

    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Make a parser whose errors are CommandErrors: one line, not a page of usage."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.called_from_command_line = False
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what every such command has; call this from an override."""
        parser.add_argument("--json", action="store_true", help="Print JSON.")
        parser.add_argument("--as", dest="actor", metavar="EMAIL", help="Who acts; the system when left out.")

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a command: exit 1 with one line on stderr when it fails."""
        try:
            super().run_from_argv(argv)
        except CommandError as error:  # bad arguments, which are read outside `execute`
            if "--traceback" in argv:
                raise
            self._fail(str(error).removeprefix("Error: "))

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command and turn every expected failure into one sentence.

        Raises CommandError when called from Python or with `--traceback`.
        """
        try:
            return super().execute(*args, **options)
        except EXPECTED as error:
            if options.get("traceback") or not getattr(self, "_called_from_command_line", False):
                raise CommandError(sentence(error)) from error
            self._fail(sentence(error))

    def handle(self, *args: Any, **options: Any) -> None:
        """Do the work as the actor and print what it returned."""
        require_migrated()
        arguments = {name: value for name, value in options.items() if name not in OF_DJANGO}
        as_json, actor = arguments.pop("json"), actor_called(arguments.pop("actor"))
        result = self.handle_contract(actor=actor, **arguments)
        self.say(as_json_text(result) if as_json else as_lines(result), **arguments)
        if self.failed(result):
            sys.exit(1)

    @abstractmethod
    def handle_contract(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Do the work; keyword arguments are `actor` and the command's own options."""

    def say(self, text: str, **_: Any) -> None:
        """Print what `handle_contract` returned; the options come too."""
        self.stdout.write(text)

    def failed(self, result: dict[str, Any]) -> bool:
        """Say whether a result that was printed still means exit code 1; override where it can."""
        return False

    def _fail(self, message: str) -> NoReturn:
        self.stderr.write(message)
        sys.exit(1)


class ExportCommand(ContractCommand):
    """A command that writes a file: whole or not at all; to standard output without `--out`.

    Then what the command says about it goes to standard error, so that the output can be piped.
    """

    def add_arguments(self, parser: CommandParser) -> None:
        """Add `--out`; call this from an override."""
        super().add_arguments(parser)
        parser.add_argument("--out", type=Path, metavar="FILE", help="Where to; standard output when left out.")

    def write(self, out: Path | None, pieces: Iterable[str]) -> None:
        """Write the pieces one after another; raises CommandError when the file cannot be written."""
        if out is None:
            for piece in pieces:
                self.stdout.write(piece, ending="")
            return
        partial = out.with_name(f".{out.name}.partial")
        try:
            with partial.open("w", encoding="utf-8", newline="") as file:
                file.writelines(pieces)
            partial.replace(out)
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error.strerror}.") from error
        finally:
            partial.unlink(missing_ok=True)

    def say(self, text: str, *, out: Path | None = None, **_: Any) -> None:
        """Print the result beside the file, never into it."""
        (self.stdout if out else self.stderr).write(text)


def day(text: str) -> date:
    """Read a day such as 2026-03-31; raises argparse's error for anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-03-31") from None


def actor_called(email: str | None) -> User:
    """Return the active user with this e-mail address, or the system user for None.

    Raises CommandError when there is none.
    """
    if not email:
        return system_user()
    user = User.objects.filter(email__iexact=email, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user {email}.")
    return user


def require_migrated() -> None:
    """Raise CommandError unless every migration of this version is applied."""
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError(NOT_MIGRATED)


def sentence(error: Exception) -> str:
    """Say in one line what went wrong."""
    match error:
        case ValidationError():
            return " ".join(error.messages)
        case OperationalError() | InterfaceError():
            return f"The database cannot be reached: {_first_line(error)}"
        case Error():
            return _of_database(error)
        case _:
            return " ".join(str(error).split())


def _of_database(error: Error) -> str:
    cause = error.__cause__
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return NOT_MIGRATED
    message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return f"The database refused this: {message or _first_line(error)}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def as_json_text(result: dict[str, Any]) -> str:
    """Write a result as JSON; amounts are decimal strings, times ISO 8601."""
    return json.dumps(result, cls=_Encoder, indent=2, ensure_ascii=False)


def as_lines(result: dict[str, Any], indent: str = "") -> str:
    """Write a result as `name: value` lines; lists of rows follow their name, one row a line."""
    lines = []
    for name, value in result.items():
        if isinstance(value, list) and value:
            lines += [f"{indent}{name}:", *(f"{indent}  {_row(row)}" for row in value)]
        elif isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", as_lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {_plain(value)}")
    return "\n".join(lines)


def _row(row: Any) -> str:
    if isinstance(row, dict):
        return "  ".join(f"{name}={_plain(value)}" for name, value in row.items())
    return _plain(row)


def _plain(value: Any) -> str:
    match value:
        case None | [] | {}:
            return "none"
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return f"{value:f}"
        case date():
            return value.isoformat()
        case _:
            return str(value)


class _Encoder(DjangoJSONEncoder):
    def default(self, o: Any) -> Any:
        return f"{o:f}" if isinstance(o, Decimal) else super().default(o)
