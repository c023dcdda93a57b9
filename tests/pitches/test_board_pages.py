"""The board as pages and programs: moves by forms, parts that follow other members, prices and curves."""

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from pitches import services
from pitches.models import MoveKind, Pitch, Round
from pitches.selectors.board import slider_of
from pitches.selectors.comparison import comparison_of, curve_of
from teams.models import AuditEvent
from tests.cast import Company
from tests.pages import page_of
from tests.pitches.boards import at, move, one_in, one_out, recuse, seen, sent, stage_of_board
from tests.pitches.crowd import deciding
from tests.pitches.stage import Stage, open_stage, queries_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(company: Company, settings: Settings) -> Stage:
    """Give a round of 20,000 dollars that deliberates over ten pitches, which ask for more than twice as much."""
    return stage_of_board(company, settings)


# --- Pages --------------------------------------------------------------------------------------------------------


def test_a_page_without_the_script_moves_by_forms(stage: Stage, company: Company) -> None:
    dee, pitch = company.client(company.dee), one_out(stage)

    answer = dee.post(at(stage.round, "move/"), {"move": f"force_in:{pitch.pk}", "version": "0", "cap": "20000.00"})

    assert answer["Location"] == at(stage.round)
    page = page_of(dee.get(at(stage.round)))
    assert "held" in page.one("tr", id=f"pitch-{pitch.pk}").attrs["class"]
    assert "Dee Example held" in page.one("p", id="board-said").text
    assert page.one("input", name="version").attrs["value"] == "1"


def test_nothing_new_is_204_for_one_query_more_than_knowing_who_asks(stage: Stage, company: Company) -> None:
    dee = company.client(company.dee)
    stamp = page_of(dee.get(at(stage.round))).one("div", id="board").attrs["data-stamp"]
    with CaptureQueriesContext(connection) as asked:
        answer = dee.get(at(stage.round, f"live/?stamp={stamp}"))

    assert answer.status_code == 204
    ours = [query for query in asked.captured_queries if "committeeseat" in query["sql"]]
    others = [query for query in asked.captured_queries if "committeeseat" not in query["sql"]]
    assert len(ours) == 1
    assert all("session" in query["sql"] or "teams_user" in query["sql"] for query in others)


def test_what_another_member_moved_comes_as_parts(stage: Stage, company: Company) -> None:
    dee = company.client(company.dee)
    stamp = page_of(dee.get(at(stage.round))).one("div", id="board").attrs["data-stamp"]
    move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(9000))

    fresh = page_of(dee.get(at(stage.round, f"live/?stamp={stamp}")))

    assert fresh.one("div", data_version="1").attrs["data-cap"] == "9000"
    assert "Gil Example tried a cap of $9,000.00" in fresh.one("p", id="board-said").text
    assert len(fresh.one("tbody", id="board-list").all("tr")) == 10


def test_the_rules_stand_side_by_side_and_none_beats_the_exact_choice(stage: Stage, company: Company) -> None:
    comparison = comparison_of(seen(stage, company.gil), seconds=60)

    assert comparison is not None
    exact, greedy, shares = comparison.rules
    assert exact.worth >= max(greedy.worth, shares.worth)
    assert comparison.more is not None
    assert comparison.more.cap == 21000
    assert comparison.more.extra == 1000
    assert comparison.more.worth >= 0


def test_the_curve_goes_up_and_meets_the_exact_choice_at_the_rounds_cap(stage: Stage, company: Company) -> None:
    board = seen(stage, company.gil)
    curve = curve_of(board)

    assert curve is not None
    worths = [point.worth for point in curve.points]
    assert worths == sorted(worths)
    assert curve.is_exact
    assert next(point.worth for point in curve.points if point.cap == 20000) == board.worth
    lines = sent(company.client(company.gil).get(at(stage.round, "curve.csv")))
    assert lines.splitlines()[0] == "cap_usd,spendable_usd,worth_usd,worth_is"
    assert len(lines.splitlines()) == 1 + len(worths)


@pytest.mark.parametrize("cap", ["20000", "12345.67", "750000", "0.50", "99999999.99"])
def test_the_rounds_own_cap_is_a_step_of_the_slider(cap: str) -> None:
    round_ = Round(cap=Decimal(cap))

    slider = slider_of(round_)

    assert (round_.cap - slider.least) % slider.step == 0
    assert slider.least > 0
    assert round_.cap < slider.most <= 2 * round_.cap


def test_a_page_asks_as_often_for_thirty_pitches_as_for_three(company: Company, settings: Settings) -> None:
    settings.BOARD_SECONDS = 60
    stage = open_stage(company, cap="20000")
    pitches = deciding(stage, 30)
    client = company.client(company.dee)
    move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(9000))
    thirty = queries_of(client, at(stage.round)), queries_of(client, at(stage.round, "live/"))

    Pitch.objects.filter(pk__in=[pitch.pk for pitch in pitches[3:]]).update(state="withdrawn")
    services.board_note(actor=company.gil, round_=stage.round, text="Three are left.")
    AuditEvent.objects.create(actor=company.gil, verb="pitch.withdraw", object_type="pitches.pitch", object_id="0")

    assert (queries_of(client, at(stage.round)), queries_of(client, at(stage.round, "live/"))) == thirty
    assert len(seen(stage, company.dee).rows) == 3


# --- REST ---------------------------------------------------------------------------------------------------------


def test_programs_read_and_move_the_board_under_the_same_rules(stage: Stage, company: Company) -> None:
    dee, pitch = company.client(company.dee), one_out(stage)
    base = f"/api/v1/rounds/{stage.round.pk}/board/"

    told = dee.get(base).json()
    made = dee.post(f"{base}moves/", {"kind": "force_in", "pitch": pitch.pk, "version": 0}, "application/json")
    late = dee.post(f"{base}moves/", {"kind": "slide", "cap": "9000", "version": 0}, "application/json")
    wrong = dee.post(f"{base}moves/", {"kind": "slide", "cap": "-1", "version": 1}, "application/json")

    assert (told["version"], told["cap"], len(told["rows"]), told["is_proved"]) == (0, "20000", 10, True)
    assert (made.status_code, made.json()["version"], made.json()["pitch"]) == (201, 1, pitch.pk)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "moved")
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (422, "cap")
    assert company.client(company.jo).get(base).status_code == 404


def test_programs_of_a_recused_member_read_no_more_than_the_page(stage: Stage, company: Company) -> None:
    pitch = one_in(stage)
    recuse(stage, company.fay, pitch)
    fay, base = company.client(company.fay), f"/api/v1/rounds/{stage.round.pk}/board/"

    told = fay.get(base).json()
    made = fay.post(f"{base}moves/", {"kind": "slide", "cap": "9000", "version": 0}, "application/json").json()

    row = told["rows"][-1]
    assert (row["id"], row["cost"], row["worth"], row["scores"], row["offers"]) == (pitch.pk, None, None, [], [])
    assert (told["left"], told["gap"]) == (None, None)
    assert {made[name] for name in ("price", "count", "cost", "worth", "is_proved")} == {None}
