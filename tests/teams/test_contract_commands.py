"""The base of the commands for scripts: fixed output, one line on error, exit code 1, an actor for every change."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, CommandParser, call_command
from django.db import DatabaseError, OperationalError

from teams import selectors
from teams.commands import ContractCommand, as_lines
from teams.errors import WrongState
from teams.models import User
from tests.cast import Company

RESULT = {
    "amount": Decimal("1E-8"),
    "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
    "ok": True,
    "rows": [{"line": 1, "tier": None}],
    "none": [],
}


class Command(ContractCommand):
    """A command that does what a test tells it."""

    def __init__(self, work: Callable[[User], dict[str, Any]], *, is_failure: bool = False) -> None:
        super().__init__(stdout=io.StringIO(), stderr=io.StringIO(), no_color=True)
        self.work, self.is_failure = work, is_failure

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--amount", required=True)

    def handle_contract(self, *, actor: User, amount: str, **_: Any) -> dict[str, Any]:
        return self.work(actor)

    def failed(self, result: dict[str, Any]) -> bool:
        return self.is_failure


def run(command: Command, *arguments: str) -> tuple[int, str, str]:
    """Run a command as a script does; return its exit code, stdout and stderr."""
    code = 0
    try:
        command.run_from_argv(["manage.py", "probe", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    return code, command.stdout._out.getvalue(), command.stderr._out.getvalue()  # type: ignore[attr-defined]


def refusing(error: Exception) -> Callable[[User], dict[str, Any]]:
    def work(actor: User) -> dict[str, Any]:
        raise error

    return work


def test_json_has_decimal_strings_and_iso_times(company: Company) -> None:
    code, out, err = run(Command(lambda actor: RESULT), "--amount", "1", "--json")

    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "amount": "0.00000001",
        "at": "2026-03-01T12:00:00Z",
        "ok": True,
        "rows": [{"line": 1, "tier": None}],
        "none": [],
    }


def test_lines_are_for_people(company: Company) -> None:
    assert run(Command(lambda actor: RESULT), "--amount", "1") == (0, as_lines(RESULT) + "\n", "")
    assert as_lines(RESULT).splitlines() == [
        "amount: 0.00000001",
        "at: 2026-03-01T12:00:00+00:00",
        "ok: yes",
        "rows:",
        "  line=1  tier=none",
        "none: none",
    ]


def test_the_system_acts_unless_somebody_is_named(company: Company) -> None:
    actors: list[User] = []

    def work(actor: User) -> dict[str, Any]:
        actors.append(actor)
        return {}

    call_command(Command(work), "--amount", "1")
    call_command(Command(work), "--amount", "1", "--as", "HANA@acorn.example")

    assert actors == [selectors.system_user(), company.hana]
    assert run(Command(work), "--amount", "1", "--as", "nobody@acorn.example") == (
        1,
        "",
        "There is no active user nobody@acorn.example.\n",
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (WrongState("The key is revoked."), "The key is revoked."),
        (CommandError("No such file."), "No such file."),
        (ValidationError(["Enter a number.", "Enter a date."]), "Enter a number. Enter a date."),
        (User.DoesNotExist("User matching query does not exist."), "User matching query does not exist."),
        (OperationalError("server closed\nmore"), "The database cannot be reached: server closed"),
        (DatabaseError("no"), "The database refused this: no"),
    ],
)
def test_what_goes_wrong_is_one_line_and_exit_code_1(company: Company, error: Exception, line: str) -> None:
    assert run(Command(refusing(error)), "--amount", "1") == (1, "", line + "\n")


def test_a_bug_is_not_hidden(company: Company) -> None:
    with pytest.raises(ZeroDivisionError):
        run(Command(refusing(ZeroDivisionError())), "--amount", "1")


def test_a_missing_argument_is_one_line_too(company: Company) -> None:
    assert run(Command(lambda actor: {})) == (1, "", "the following arguments are required: --amount\n")


def test_a_result_that_means_failure_is_printed_and_ends_with_1(company: Company) -> None:
    code, out, err = run(Command(lambda actor: {"broken": ["row 7"]}, is_failure=True), "--amount", "1")

    assert (code, out, err) == (1, "broken:\n  row 7\n", "")


def test_called_from_python_it_raises(company: Company) -> None:
    with pytest.raises(CommandError, match="The key is revoked"):
        call_command(Command(refusing(WrongState("The key is revoked."))), "--amount", "1")
