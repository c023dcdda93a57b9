"""Rounds and pitches for programs: the pages' rules, one shape of error, amounts as text."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from pitches import services
from pitches.models import Pitch
from tests.cast import PEOPLE, Company
from tests.pitches.stage import Stage, calendar, queries_of, typed

pytestmark = pytest.mark.django_db

TEAM, COMMITTEE, READERS = {"ana", "bo", "kim"}, {"dee", "eli", "fay", "gil"}, {"hana", "jo"}


def api(path: str, pitch: Pitch | None = None) -> str:
    return f"/api/v1/pitches/{pitch.pk}/{path}" if pitch else f"/api/v1/{path}"


def test_a_round_is_told_with_amounts_as_plain_text(stage: Stage, company: Company) -> None:
    answer = company.client(company.cy).get(api("rounds/")).json()

    assert answer["count"] == 1
    [round_] = answer["results"]
    assert {name: round_[name] for name in ("name", "state", "currency", "cap", "awardable", "quorum", "seed")} == {
        "name": "Q1",
        "state": "open",
        "currency": "USD",
        "cap": "10000",
        "awardable": "9000",
        "quorum": 3,
        "seed": "",
    }
    assert company.client(company.cy).get(api(f"rounds/{stage.round.pk}/")).json() == round_


def test_a_pitch_is_told_whole_to_those_who_may_see_it(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()

    answer = company.client(company.jo).get(api("", pitch)).json()

    assert (answer["number"], answer["team"], answer["state"], answer["ask"], answer["revision"]) == (
        pitch.number,
        "claims",
        "in_review",
        "2400",
        1,
    )
    content = answer["content"]
    assert (content["value_p50"], content["sign_off"]) == ("50000", "kim@acorn.example")
    assert content["line_items"][0]["calls_target"] == 100_000
    asked = [line["expected"] for line in content["quote"] if (line["basis"], line["case"]) == ("asked", "target")]
    assert asked == ["2400"]


@pytest.mark.parametrize("state", ["draft", "submitted", "in_review"])
def test_others_pitches_are_not_there(stage: Stage, company: Company, state: str) -> None:
    pitch = stage.pitch() if state == "draft" else stage.submitted()
    if state == "in_review":
        stage.to_review()
    shown = TEAM | COMMITTEE | READERS if state == "in_review" else TEAM

    for name in PEOPLE:
        client = company.client(company.person(name))
        one, many = client.get(api("", pitch)), client.get(api("pitches/"))
        assert (name, one.status_code) == (name, 200 if name in shown else 404)
        assert (name, many.json()["count"]) == (name, 1 if name in shown else 0)
        if name not in shown:
            assert one.json() == {"error": {"code": "not_found", "message": "There is nothing here."}}


def test_a_draft_round_is_for_those_who_prepare_it(stage: Stage, company: Company) -> None:
    draft = services.round_create(
        actor=company.gil,
        name="Q2",
        cap=stage.round.cap_money,
        calendar=calendar(),
        starts_on=stage.round.starts_on,
        months=3,
    )

    seen = {name for name in PEOPLE if _status(company, name, api(f"rounds/{draft.pk}/")) == 200}

    assert seen == {"gil", "hana", "jo"}


def _status(company: Company, name: str, path: str) -> int:
    return company.client(company.person(name)).get(path).status_code


@pytest.mark.parametrize("path", ["rounds/", "rounds/1/", "pitches/", "pitches/1/"])
def test_a_stranger_is_told_to_log_in(stage: Stage, path: str) -> None:
    answer = Client().get(api(path))

    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="Tank"')
    assert answer.json()["error"]["code"] == "not_authenticated"


def submit(client: Client, pitch: Pitch, **headers: str) -> Any:
    return client.post(api("submit/", pitch), content_type="application/json", headers=headers)


def test_a_lead_submits_the_draft_as_it_stands(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    services.draft_save(actor=company.bo, pitch=pitch, typed=typed(company.kim), version=0)

    answer = submit(company.client(company.ana), pitch)

    assert (answer.status_code, answer.json()["number"]) == (201, 1)
    pitch.refresh_from_db()
    assert (pitch.state, pitch.submitted.value_p50) == ("submitted", Decimal(50_000))


def test_what_is_wrong_with_a_draft_is_told_by_field(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    draft = typed(company.kim, value_p50="about 40k", problem="", **{"items-0-calls_target": "1,00"})
    services.draft_save(actor=company.ana, pitch=pitch, typed=draft, version=0)

    answer = submit(company.client(company.ana), pitch)

    assert answer.status_code == 422
    assert answer.json() == {
        "error": {
            "code": "invalid",
            "message": "The draft is not complete.",
            "field": "problem",
            "fields": {
                "problem": ["This field is required."],
                "value_p50": ["Write dollars such as 1200000, 1,200,000 or 49.50."],
                "items-0-calls_target": ["Write a whole number such as 20000 or 20,000."],
            },
        }
    }


def test_a_member_may_not_submit_and_others_do_not_find_the_pitch(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    services.draft_save(actor=company.bo, pitch=pitch, typed=typed(company.kim), version=0)

    refused = submit(company.client(company.bo), pitch)

    assert refused.status_code == 403
    assert refused.json() == {
        "error": {"code": "not_allowed", "message": "Only a lead of the team submits its pitches."}
    }
    for name in ("cy", "dee", "gil", "hana", "jo", "kim"):
        assert submit(company.client(company.person(name)), pitch).status_code == 404


def test_a_pitch_that_is_submitted_cannot_be_submitted_again(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    services.draft_save(actor=company.bo, pitch=pitch, typed=typed(company.kim), version=0)
    ana = company.client(company.ana)
    submit(ana, pitch)

    answer = submit(ana, pitch)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "wrong_state")


def test_a_submission_needs_the_token_that_a_page_gave(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()

    answer = submit(company.client(company.ana, csrf=True), pitch)

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "permission_denied"


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_what_an_endpoint_does_not_do_it_says(stage: Stage, company: Company, method: str) -> None:
    answer = getattr(company.client(company.ana), method)(api("rounds/"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")


def test_pages_are_bounded(stage: Stage, company: Company) -> None:
    for title in ("One", "Two", "Three"):
        stage.submitted(title)
    stage.to_review()
    jo = company.client(company.jo)

    page = jo.get(api("pitches/?limit=2")).json()

    assert (page["count"], [row["title"] for row in page["results"]]) == (3, ["Three", "Two"])
    assert [row["title"] for row in jo.get(page["next"]).json()["results"]] == ["One"]
    assert len(jo.get(api("pitches/?limit=100000&offset=-3")).json()["results"]) == 3


@pytest.mark.parametrize("path", ["pitches/", "rounds/"])
def test_a_list_asks_as_often_for_three_rows_as_for_one(stage: Stage, company: Company, path: str) -> None:
    client = company.client(company.hana)
    stage.submitted("One")
    before = queries_of(client, api(path))

    stage.submitted("Two")
    stage.submitted("Three")

    assert queries_of(client, api(path)) == before
