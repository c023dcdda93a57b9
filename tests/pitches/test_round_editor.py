"""The round editor: everything while it is a draft, nothing that decisions rest on once it is open."""

from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.models import Round
from pitches.services import Rules
from teams.errors import NotAllowed, Refused, WrongState
from tests.cast import Company
from tests.pages import page_of
from tests.pages import typed as stands_in
from tests.pitches.stage import Stage, calendar

pytestmark = pytest.mark.django_db

CRITERIA = [("Value", "How much?", 70), ("Delivery", "Will it run?", 30)]
FORM = {
    "name": "Q2, revised",
    "cap": "$8,000",
    "reserve_percent": "20",
    "hurdle": "1.5",
    "quorum": "2",
    "starts_on": "2027-04-01",
    "months": "3",
    "reviews_per_pitch": "2",
    "team_cap_percent": "40",
    "frontier_cap_percent": "0",
    "recurs_months": "6",
    "fast_lane_limit": "",
    "time_zone": "Europe/Berlin",
    "submissions_close_at": "2099-01-10T18:00",
    "reviews_close_at": "2099-01-17T18:00",
    "voting_closes_at": "2099-01-24T18:00",
    "answers_due_at": "2099-01-31T18:00",
    "criterion-TOTAL": "3",
    "criterion-0-name": "Delivery",
    "criterion-0-question": "Will it run?",
    "criterion-0-weight": "30",
    "criterion-0-order": "2",
    "criterion-1-name": "Value",
    "criterion-1-question": "How much?",
    "criterion-1-weight": "70",
    "criterion-1-order": "1",
    "criterion-2-name": "Frugality",
    "criterion-2-question": "How few calls?",
    "criterion-2-weight": "10",
    "criterion-2-remove": "on",
}


@pytest.fixture
def draft(company: Company) -> Round:
    return services.round_create(
        actor=company.gil, name="Q2", cap=usd("5000"), calendar=calendar(), starts_on=today(), months=3
    )


def edit(actor: object, round_: Round, **changes: object) -> Round:
    said = {
        "name": "Q2",
        "cap": usd("5000"),
        "calendar": calendar(),
        "starts_on": today(),
        "months": 3,
        "time_zone": "UTC",
        "rules": Rules(),
        "criteria": CRITERIA,
    }
    return services.round_edit(actor=actor, round_=round_, **{**said, **changes})  # type: ignore[arg-type]


def path(round_: Round) -> str:
    return f"/admin/pitches/round/{round_.pk}/edit/"


def test_a_draft_is_changed_whole_on_one_page(draft: Round, company: Company) -> None:
    gil = company.client(company.gil)
    assert stands_in(gil.get(path(draft)), "cap") == "5000"
    assert stands_in(gil.get(path(draft)), "criterion-0-weight") == "40"

    answer = gil.post(path(draft), FORM)

    assert answer["Location"] == f"/admin/pitches/round/{draft.pk}/desk/"
    draft.refresh_from_db()
    assert (draft.name, draft.cap, draft.reserve_share, draft.hurdle, draft.quorum) == (
        "Q2, revised",
        Decimal(8000),
        Decimal("0.2"),
        Decimal("1.5"),
        2,
    )
    assert (draft.team_cap, draft.frontier_cap, draft.reviews_per_pitch, draft.recurs_months) == (
        Decimal("0.4"),
        Decimal(0),
        2,
        6,
    )
    assert draft.submissions_close_at.isoformat() == "2099-01-10T17:00:00+00:00"
    assert list(draft.criteria.order_by("position").values_list("name", "question", "weight")) == CRITERIA
    assert stands_in(gil.get(path(draft)), "team_cap_percent") == "40"


def test_another_row_is_added_and_nothing_typed_is_lost_or_saved(draft: Round, company: Company) -> None:
    answer = company.client(company.gil).post(path(draft), {**FORM, "months": "many", "more": "1"})

    assert answer.status_code == 200
    assert (stands_in(answer, "months"), stands_in(answer, "criterion-TOTAL")) == ("many", "4")
    assert (stands_in(answer, "criterion-1-name"), stands_in(answer, "criterion-3-name")) == ("Value", "")
    assert "weights sum to 110" in page_of(answer).text
    draft.refresh_from_db()
    assert draft.name == "Q2"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("criterion-0-weight", "101", "Between 1 and 100."),
        ("criterion-0-weight", "", "This field is required."),
        ("criterion-0-name", "Value", "Another criterion has this name."),
        ("team_cap_percent", "0", "Between 1 and 100."),
        ("reviews_close_at", "", "This field is required."),
        ("fast_lane_limit", "9000", "More than zero, and not more than the cap."),
        ("months", "37", "Between 1 and 36."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_changed(
    draft: Round, company: Company, field: str, value: str, message: str
) -> None:
    answer = company.client(company.gil).post(path(draft), {**FORM, field: value})

    assert answer.status_code == 422
    assert message in page_of(answer).text
    assert (stands_in(answer, field), stands_in(answer, "hurdle")) == (value, "1.5")
    draft.refresh_from_db()
    assert (draft.name, draft.criteria.count()) == ("Q2", 4)


def test_a_limit_per_pitch_makes_it_a_fast_lane(draft: Round, company: Company) -> None:
    form = {**FORM, "fast_lane_limit": "500", "reviews_close_at": "", "voting_closes_at": ""}

    company.client(company.gil).post(path(draft), form)

    draft.refresh_from_db()
    assert (draft.kind, draft.fast_lane_limit) == ("fast_lane", Decimal(500))
    assert draft.reviews_close_at == draft.voting_closes_at == draft.submissions_close_at


@pytest.mark.parametrize("name", ["dee", "ana", "jo", "ivo", "mia"])
def test_only_the_chair_and_finance_edit(draft: Round, company: Company, name: str) -> None:
    with pytest.raises(NotAllowed):
        edit(company.person(name), draft, name="Mine")
    assert company.client(company.person(name)).get(path(draft)).status_code in {302, 404}


def test_a_round_that_is_open_is_not_edited(stage: Stage, company: Company) -> None:
    with pytest.raises(WrongState, match="fixed since the round opened"):
        edit(company.gil, stage.round, name="Another")

    answer = company.client(company.gil).get(path(stage.round), follow=True)
    assert "What decisions rest on is fixed since the round opened." in page_of(answer).text


@pytest.mark.parametrize(
    ("criteria", "code"),
    [
        ([], "criteria_missing"),
        ([("Value", "How much?", 0)], "invalid"),
        ([("Value", "How much?", 101)], "invalid"),
        ([("Value", "How much?", 50), ("Value", "Again?", 50)], "invalid"),
        ([("", "How much?", 50)], "invalid"),
    ],
)
def test_criteria_make_sense(draft: Round, company: Company, criteria: list[tuple[str, str, int]], code: str) -> None:
    with pytest.raises(Refused) as refused, transaction.atomic():
        edit(company.gil, draft, criteria=criteria)

    assert (refused.value.code, draft.criteria.count()) == (code, 4)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pitches_criterion SET weight = 1",
        "DELETE FROM pitches_criterion",
        "INSERT INTO pitches_criterion (round_id, name, question, weight, position) "
        "SELECT id, 'New', 'Why?', 1, 9 FROM pitches_round",
        "UPDATE pitches_round SET reviews_per_pitch = 1",
        "UPDATE pitches_round SET kind = 'fast_lane', fast_lane_limit = 10",
        "UPDATE pitches_round SET team_cap = 0.1",
    ],
)
def test_what_decisions_rest_on_is_fixed_in_the_database_once_the_round_is_open(stage: Stage, change: str) -> None:
    with pytest.raises(DatabaseError, match="fixed since"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_the_round_page_tells_everybody_the_caps(draft: Round, company: Company) -> None:
    edit(company.gil, draft, rules=Rules(team_cap=Decimal("0.4"), frontier_cap=Decimal("0.25")))

    text = page_of(company.client(company.hana).get(f"/rounds/{draft.pk}/")).one("main").text

    assert "at most 40 % of the cap" in text
    assert "at most 25 % of the cap" in text
