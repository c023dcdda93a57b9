"""The journal for hledger: a second program adds it up and comes to the same balances."""

import csv
import io
import shutil
import subprocess
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from ledger.hledger import account_name, journal_pieces
from ledger.models import AccountClass, EntryKind
from ledger.selectors import today, trial_balance
from ledger.selectors.pages import trial_rows
from ledger.services import Leg, account_open, entry_post, entry_reverse, usage_post
from tests.budget import Budget
from tests.ledger.books import open_books

pytestmark = pytest.mark.django_db

HLEDGER = shutil.which("hledger")
needs_hledger = pytest.mark.skipif(HLEDGER is None, reason="hledger is not installed; .ci/run installs it")
CHECKS = ("accounts", "commodities", "balancednoautoconversion", "assertions", "ordereddates")


def asked(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(HLEDGER), "-f", str(file), *words], capture_output=True, text=True, timeout=60, check=False
    )


def balances(file: Path, *words: str) -> dict[str, Decimal]:
    told = asked(file, "balance", "--flat", "--empty", "--no-total", "-O", "csv", *words)
    assert told.returncode == 0, told.stderr
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    return {row["account"]: Decimal(row["balance"].split()[0]) for row in rows}


@pytest.fixture
def lived(budget: Budget) -> Budget:
    """A year with awards, calls that cost little, a correction, and a fact that came late."""
    for tokens in (1, 3, 1_000_000, 123_457):
        budget.call(tokens=tokens)
    usage_post(actor=budget.company.system)
    books = open_books(funded="10.000000000001", in_pool="5")
    award = books.award("3")
    entry_reverse(
        actor=books.actor,
        entry=award,
        approved_by=budget.company.hana,
        reason="Wrong round; see ticket 7,\nline two  | date:2020-01-01, entry:J-999",
    )
    entry_post(
        actor=books.actor,
        kind=EntryKind.AWARD,
        source="test",
        key="late",
        legs=[Leg(books.committed, Decimal(1)), Leg(books.pool, Decimal(-1))],
        effective_on=today() - timedelta(days=3),
        memo="Came ; late | by three days",
    )
    return budget


def exported(tmp_path: Path, *words: str) -> Path:
    file = tmp_path / "tank.journal"
    call_command("export_hledger", "--out", str(file), *words, stdout=StringIO())
    return file


@needs_hledger
def test_hledger_finds_nothing_wrong_and_the_same_balances(lived: Budget, tmp_path: Path) -> None:
    file = exported(tmp_path)

    strict, checks = asked(file, "check", "--strict"), asked(file, "check", *CHECKS)

    assert (strict.returncode, strict.stderr) == (0, "")
    assert (checks.returncode, checks.stderr) == (0, "")
    ours = {account_name(row.account): row.balance for row in trial_balance()}
    assert balances(file) == ours
    assert Decimal("10.000000000001") in {-balance % 1000 for balance in ours.values()}


@needs_hledger
def test_a_range_begins_with_what_came_before_and_ends_with_the_trial_balance_of_its_last_day(
    lived: Budget, tmp_path: Path
) -> None:
    before = today() - timedelta(days=3)
    until = exported(tmp_path, "--to", str(before))
    assert asked(until, "check", "--strict", *CHECKS).stderr == ""
    assert balances(until) == {account_name(row.account): row.balance for row in trial_rows(before)}

    since = exported(tmp_path, "--from", str(before + timedelta(days=1)))
    assert asked(since, "check", "--strict", *CHECKS).stderr == ""
    assert "Opening balances" in since.read_text()
    assert "Came , late / by three days" not in since.read_text()
    assert balances(since) == {account_name(row.account): row.balance for row in trial_balance()}


@needs_hledger
def test_one_changed_amount_is_found_by_hledger(lived: Budget, tmp_path: Path) -> None:
    file = exported(tmp_path)
    text = file.read_text()
    changed = text.replace("  3 USD\n", "  4 USD\n", 1).replace("  -3 USD\n", "  -4 USD\n", 1)
    assert changed != text
    file.write_text(changed)

    told = asked(file, "check")

    assert told.returncode == 1
    assert "assertion" in told.stderr


@needs_hledger
def test_words_cannot_change_what_an_entry_says(lived: Budget, tmp_path: Path) -> None:
    file = exported(tmp_path)

    assert asked(file, "print", "tag:entry=J-999").stdout == ""
    found = asked(file, "print", "tag:kind=reversal").stdout
    assert "; approver:hana@acorn.example" in found
    assert "; reason:Wrong round; see ticket 7; line two | date:2020-01-01; entry:J-999" in found


@needs_hledger
def test_empty_books_are_a_journal_too(tmp_path: Path) -> None:
    assert asked(exported(tmp_path), "check", "--strict", *CHECKS).stderr == ""


def test_an_account_stands_under_its_class() -> None:
    line = account_open(code="line:A-1:standard", name="Line", account_class=AccountClass.LINE)
    other = account_open(code="petty  cash", name="Odd", account_class=AccountClass.VARIANCE)

    assert [account_name(account) for account in (line, other)] == ["line:A-1:standard", "variance:petty cash"]


def test_without_a_file_the_journal_is_all_there_is_on_standard_output(lived: Budget) -> None:
    out, said = StringIO(), StringIO()

    call_command("export_hledger", "--json", stdout=out, stderr=said)

    assert out.getvalue().splitlines()[3:] == "".join(journal_pieces()).splitlines()[3:]
    assert '"file": "standard output"' in said.getvalue()


def test_a_range_that_ends_before_it_begins_and_a_folder_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"--to 2026-01-01 lies before --from 2026-02-01\."):
        call_command("export_hledger", "--from", "2026-02-01", "--to", "2026-01-01")
    with pytest.raises(CommandError, match="'March' is not a day such as 2026-03-31"):
        call_command("export_hledger", "--from", "March")
    with pytest.raises(CommandError, match=r"cannot be written: No such file or directory\."):
        call_command("export_hledger", "--out", str(tmp_path / "nowhere" / "x.journal"))
