"""The exported head of the chain, the words of a breach, and what happens every night."""

import json
import re
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from ledger.checks import PROMISES, Breach, breaches
from ledger.models import Seal, UsageDay, UsageHour
from ledger.selectors import today
from ledger.services import breaches_tell, entry_reverse, usage_post, usage_post_open
from ledger.tasks import make_partitions, verify_nightly
from marketplace.celery import app
from teams.models import Notification, Role
from teams.selectors import system_user
from teams.services import role_grant, user_create
from tests.allocations.desk import Desk, open_desk
from tests.allocations.test_verify import tamper
from tests.conftest import FreshDatabase
from tests.ledger.books import open_books
from tests.ledger.history import Used, call_at, last_month, noon, open_year_from_last_month


@pytest.fixture
def desk(fresh_database: FreshDatabase) -> Desk:
    open_year_from_last_month(system_user())
    return open_desk()


def verify(*words: str) -> tuple[dict[str, Any], str]:
    """Run the command; returns what it says and what it tells meanwhile."""
    out, meanwhile = StringIO(), StringIO()
    with suppress(SystemExit):
        call_command("verify", "--json", *words, stdout=out, stderr=meanwhile)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer, meanwhile.getvalue()


def exported(folder: Path) -> Path:
    file = folder / "head.json"
    call_command("export_seal", "--out", str(file), stdout=StringIO())
    return file


def test_an_exported_head_stays_in_the_chain_however_much_comes_after(desk: Desk, tmp_path: Path) -> None:
    file = exported(tmp_path)
    head, last = json.loads(file.read_text()), Seal.objects.latest("seq")
    assert {name: head[name] for name in ("seq", "hash", "entry")} == {
        "seq": last.seq,
        "hash": bytes(last.hash).hex(),
        "entry": str(last.entry),
    }
    assert head["recorded_at"] < head["exported_at"]

    open_books()

    answer, _ = verify("--against", str(file))
    assert (answer["ok"], answer["breaches"]) == (True, [])
    assert Seal.objects.latest("seq").seq > head["seq"]


def test_a_chain_that_was_written_anew_is_whole_and_yet_not_the_one_that_was_exported(
    desk: Desk, owner_connection: psycopg.Connection, tmp_path: Path
) -> None:
    file = exported(tmp_path)
    seq = json.loads(file.read_text())["seq"]
    tamper(owner_connection, "ledger_journalentry", "UPDATE ledger_journalentry SET reason = 'Another' WHERE id = 1")
    tamper(owner_connection, "ledger_seal", REWRITTEN)
    assert breaches() == []

    answer, _ = verify("--against", str(file))

    [breach] = answer["breaches"]
    assert (breach["promise"], breach["words"]) == (4, "The journal balances and never changes")
    assert re.fullmatch(rf"seal {seq} of J-\d+: its hash was exported as \w{{64}} and is \w{{64}}", breach["row"])


REWRITTEN = """
DO $$ DECLARE link record; before bytea := decode(repeat('00', 32), 'hex'); BEGIN
    FOR link IN SELECT * FROM ledger_seal ORDER BY seq LOOP
        UPDATE ledger_seal SET prev_hash = before,
               hash = sha256(before || convert_to(ledger_entry_canonical(link.entry_id), 'UTF8'))
         WHERE seq = link.seq RETURNING hash INTO before;
    END LOOP;
END $$
"""


def test_a_chain_that_ends_before_the_exported_head_is_found(desk: Desk, tmp_path: Path) -> None:
    file = exported(tmp_path)
    head = json.loads(file.read_text())
    file.write_text(json.dumps(head | {"seq": head["seq"] + 5}))

    answer, _ = verify("--against", str(file))

    assert [breach["row"] for breach in answer["breaches"]] == [
        f"seal {head['seq'] + 5} of {head['entry']}: it was exported, and the chain ends at seal {head['seq']}"
    ]


@pytest.mark.parametrize("content", [None, "", "[]", '{"seq": 1}', '{"seq": 1, "hash": "xyz", "entry": "J-1"}'])
def test_a_file_that_is_no_head_is_refused(desk: Desk, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "head.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(CommandError, match=r"cannot be read|is not what `manage.py export_seal` writes"):
        call_command("verify", "--against", str(file), stdout=StringIO(), stderr=StringIO())


def test_a_head_of_empty_books_holds_for_ever(fresh_database: FreshDatabase, tmp_path: Path) -> None:
    file = exported(tmp_path)
    assert json.loads(file.read_text())["seq"] == 0
    open_books()

    assert verify("--against", str(file))[0]["ok"] is True


def test_verify_names_row_promise_and_place_and_says_how_far_it_is(
    desk: Desk, owner_connection: psycopg.Connection
) -> None:
    tamper(owner_connection, "ledger_journalentry", "UPDATE ledger_journalentry SET memo = 'X' WHERE id = 2")

    answer, meanwhile = verify()

    assert answer["breaches"] == [
        {
            "promise": 4,
            "words": PROMISES[4],
            "check": "the seal chain is whole",
            "row": "seal 2 of entry 2: the entry, a posting or its usage posting was changed after it was sealed",
            "look": "http://127.0.0.1:8000/ledger/journal/J-2/",
        }
    ]
    lines = meanwhile.splitlines()
    assert len(lines) == answer["checks"]
    expected = rf"check 4 of {answer['checks']}: the seal chain is whole: 1 rows break it, \d+\.\d s"
    assert re.fullmatch(expected, lines[3])


def test_a_correction_without_a_second_person_is_found(desk: Desk, owner_connection: psycopg.Connection) -> None:
    books = open_books()
    entry = books.award("3")
    second = user_create(actor=desk.actor, email="lou@acorn.example", name="Lou")
    reversal = entry_reverse(actor=desk.actor, entry=entry, approved_by=second, reason="Wrong round")
    tamper(
        owner_connection,
        "ledger_journalentry",
        "UPDATE ledger_journalentry SET approved_by_id = NULL WHERE id = %s",
        reversal.pk,
    )

    rows = [(breach.promise, breach.row) for breach in breaches() if "seal" not in breach.row]

    assert rows == [(9, f"reversal {reversal.pk}: nobody approved it")]


def test_the_night_tells_finance_and_platform_admins_what_is_broken(
    desk: Desk, owner_connection: psycopg.Connection
) -> None:
    people = {name: user_create(actor=desk.actor, email=f"{name}@acorn.example", name=name) for name in "abc"}
    role_grant(actor=desk.actor, user=people["a"], role=Role.FINANCE)
    role_grant(actor=desk.actor, user=people["b"], role=Role.PLATFORM_ADMIN)
    assert verify_nightly() == 0
    assert Notification.objects.count() == 0

    tamper(owner_connection, "ledger_journalentry", "UPDATE ledger_journalentry SET memo = 'X' WHERE id = 2")
    assert verify_nightly() == 1

    lines = list(Notification.objects.order_by("user__email"))
    assert [line.user.name for line in lines] == ["a", "b"]
    assert lines[0].title == "The books break promise 4: 1 rows"
    assert "4. The journal balances and never changes. the seal chain is whole: seal 2 of entry 2" in lines[0].body
    assert "/ledger/journal/J-2/" in lines[0].body


def test_a_long_list_is_cut_in_the_mail(desk: Desk) -> None:
    role_grant(actor=desk.actor, user=user_create(actor=desk.actor, email="a@acorn.example", name="A"), role="finance")

    assert breaches_tell([Breach(4, "check", f"row {number}", "look") for number in range(25)]) == 1

    body = Notification.objects.get().body
    assert "row 19" in body
    assert "row 20" not in body
    assert "And 5 more." in body


def test_the_night_makes_partitions_ahead_and_rolls_what_is_open(
    desk: Desk, owner_connection: psycopg.Connection
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_char((now() + interval '3 months')::date, 'YYYY_MM')")
        last = cursor.fetchone()[0]
    owner_connection.execute(f"DROP TABLE ledger_usagerecord_{last}".encode())
    owner_connection.commit()
    assert (make_partitions(), make_partitions()) == (1, 0)

    call_at(owner_connection, desk, noon(today(), 0), Used(input=1_000_000))
    usage_post(actor=desk.actor)
    call_at(owner_connection, desk, noon(last_month() + timedelta(days=3)), Used(input=2_000_000))
    assert usage_post(actor=desk.actor) == []

    assert len(usage_post_open(actor=desk.actor)) == 1
    assert sum(UsageHour.objects.values_list("charged", flat=True)) == Decimal(3)
    assert sum(UsageDay.objects.values_list("charged", flat=True)) == Decimal(3)
    assert usage_post_open(actor=desk.actor) == []


def test_the_nightly_work_is_on_the_schedule() -> None:
    scheduled = {job["task"] for job in app.conf.beat_schedule.values()}

    assert {"ledger.tasks.verify_nightly", "ledger.tasks.make_partitions", "ledger.tasks.post_usage_open"} <= scheduled
