"""The invented company: all of it or nothing, only into an empty database, and true in every figure."""

import json
import subprocess
import sys
from collections import Counter as Counted
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from allocations.models import Allocation, Quota
from ledger.models import UsageRecord
from pitches.models import Ballot, BoardMove, Counter, Offer, Override, Pitch, Recusal, Result, Round, Selection
from pitches.transitions import PitchState
from teams.models import Team, User
from tests.conftest import FreshDatabase
from tests.databases import ROOT
from tests.pages import heading

ARGON2 = "django.contrib.auth.hashers.Argon2PasswordHasher"
LOADING = ("load_demo", "--json")


def manage(database: FreshDatabase, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "manage.py"), *arguments]
    return subprocess.run(command, env=database.env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def demo(module_database: FreshDatabase) -> dict[str, object]:
    done = manage(module_database, *LOADING)
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


def test_it_says_whom_to_be_and_what_to_call(demo: dict[str, object], module_database: FreshDatabase) -> None:
    assert sorted(demo) == ["allocation", "key", "logins", "model", "password"]
    assert str(demo["key"]).startswith("tank_")
    assert (demo["model"], demo["allocation"]) == ("sandbox-standard", "A-0001")
    path: Path = module_database.data / "demo.json"
    assert json.loads(path.read_text()) == demo
    assert path.stat().st_mode & 0o777 == 0o600


def test_everybody_named_can_log_in_and_has_a_home(demo: dict[str, object], settings: Settings) -> None:
    settings.PASSWORD_HASHERS = [ARGON2]
    logins = demo["logins"]
    assert isinstance(logins, list)
    assert len(logins) == 10
    for login in logins:
        client = Client()
        assert client.login(username=login["email"], password=demo["password"])
        assert heading(client.get("/")) == "What waits for you"


def test_it_is_a_company_with_rounds_in_every_stage_and_pitches_in_every_state(demo: dict[str, object]) -> None:
    assert Team.objects.count() == 8
    assert list(Round.objects.order_by("pk").values_list("state", flat=True)) == [
        "settled",
        "published",
        "deciding",
        "voting",
        "open",
    ]
    assert set(Pitch.objects.values_list("state", flat=True)) == set(PitchState.values)
    in_the_open_round = Pitch.objects.filter(round__state="open").values_list("state", flat=True)
    assert set(in_the_open_round) == {"draft", "submitted", "returned", "in_review", "withdrawn"}
    assert Recusal.objects.filter(pitch__round__state="voting", state="recused").count() == 2
    assert set(Ballot.objects.filter(pitch__round__state="voting").values_list("choice", flat=True)) == {""}
    assert set(Offer.objects.values_list("state", flat=True)) == {"open", "accepted", "declined", "expired"}


def test_one_round_is_published_with_every_kind_of_result_and_answer(demo: dict[str, object]) -> None:
    round_ = Round.objects.get(state="published")
    results = Result.objects.filter(pitch__round=round_).values_list("outcome", "option__code", "pitch__state")
    assert sorted(results) == [
        ("decline", "stretch", "declined"),
        ("defer", "cheaper", "deferred"),
        ("fund", "partial", "offered"),
        ("fund", "stretch", "declined"),
        ("fund", "stretch", "funded"),
        ("fund", "stretch", "offered"),
        ("waitlist", "stretch", "offered"),
        ("waitlist", "stretch", "waitlisted"),
    ]
    assert [counter.offer.pitch.submitted.title for counter in Counter.objects.filter(state="open")] == [
        "Answers from the handbook"
    ]
    moved_up = Pitch.objects.get(round=round_, state="offered", decision__outcome="waitlist")
    assert moved_up.offers.get().state == "open"


def test_one_round_is_being_decided(demo: dict[str, object]) -> None:
    round_ = Round.objects.get(state="deciding")
    assert Pitch.objects.filter(round=round_, state="shortlisted").count() == 12
    recused = Recusal.objects.filter(pitch__round=round_, state="recused").order_by("kind")
    assert list(recused.values_list("kind", "member__name")) == [("declared", "Jonas Weber"), ("rule", "Lena Fischer")]
    assert not Ballot.objects.filter(pitch__round=round_, revealed_at=None).exists()
    choice = Selection.objects.get(round=round_)
    outcomes = Counted(row["reason"] for row in json.loads(choice.result_text)["pitches"])
    assert outcomes == {"selected": 7, "displaced": 2, "requires": 1, "below_hurdle": 1, "no_quorum": 1}
    override = Override.objects.get(round=round_)
    assert (override.pitch.submitted.title, override.signed_at) == ("Proof of income checked", None)
    assert BoardMove.objects.filter(round=round_).count() == 4


def test_two_weeks_of_calls_agree_with_quotas_and_ledger(
    demo: dict[str, object], module_database: FreshDatabase
) -> None:
    assert Allocation.objects.count() == 4
    charged = sum(UsageRecord.objects.values_list("charged", flat=True), Decimal(0))
    assert charged > 500
    lines, keys = Quota.objects.exclude(line=None), Quota.objects.exclude(key=None)
    assert sum(quota.spent for quota in lines) == charged
    assert sum(quota.spent for quota in keys) == charged
    days = {moment.date() for moment in UsageRecord.objects.values_list("settled_at", flat=True)}
    assert len(days) >= 9

    done = manage(module_database, "verify", "--json")

    assert (done.returncode, json.loads(done.stdout)["breaches"]) == (0, [])


def test_it_loads_into_an_empty_database_only(demo: dict[str, object], module_database: FreshDatabase) -> None:
    before = (User.objects.count(), Pitch.objects.count(), UsageRecord.objects.count())

    again = manage(module_database, *LOADING)

    assert again.returncode == 1
    assert again.stderr.strip().endswith("the demo loads into an empty one only.")
    assert (User.objects.count(), Pitch.objects.count(), UsageRecord.objects.count()) == before
    assert json.loads((module_database.data / "demo.json").read_text()) == demo


def test_one_that_breaks_off_leaves_nothing(fresh_database: FreshDatabase) -> None:
    # The last thing that loading does is to write this file; here it cannot.
    (fresh_database.data / "demo.json").mkdir(parents=True)

    done = manage(fresh_database, *LOADING)

    assert done.returncode != 0
    assert "demo.json" in done.stderr

    assert User.objects.count() == 1
    assert (Team.objects.count(), Pitch.objects.count()) == (0, 0)
