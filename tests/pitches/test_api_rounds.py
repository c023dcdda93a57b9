"""The life of rounds for programs: the same rules as the pages, told in one shape."""

from typing import Any

import pytest
from django.test import Client

from pitches import services
from pitches.models import Peek, Remark, Round, Screening
from tests.cast import PEOPLE, Company
from tests.pitches.stage import Stage

pytestmark = pytest.mark.django_db

ROUND = {
    "name": "Q2",
    "cap": "5000",
    "submissions_close_at": "2099-01-10T18:00:00+01:00",
    "reviews_close_at": "2099-01-17T18:00:00+01:00",
    "voting_closes_at": "2099-01-24T18:00:00+01:00",
    "answers_due_at": "2099-01-31T18:00:00+01:00",
    "starts_on": "2099-03-01",
    "months": 3,
    "time_zone": "Europe/Berlin",
    "team_cap": "0.4",
    "criteria": [{"name": "Value", "question": "How much?", "weight": 100}],
}


def send(client: Client, path: str, body: dict[str, Any], method: str = "post") -> Any:
    return getattr(client, method)(f"/api/v1/{path}", body, content_type="application/json")


def test_a_round_is_prepared_edited_and_cloned(stage: Stage, company: Company) -> None:
    gil = company.client(company.gil)

    made = send(gil, "rounds/", ROUND)
    assert (made.status_code, made.json()["team_cap"], made.json()["kind"]) == (201, "0.4000", "regular")
    pk = made.json()["id"]
    changed = send(gil, f"rounds/{pk}/", {**ROUND, "name": "Q2, revised", "reviews_per_pitch": 5}, "put")
    assert (changed.status_code, changed.json()["name"], changed.json()["reviews_per_pitch"]) == (200, "Q2, revised", 5)
    clone = send(gil, f"rounds/{pk}/clone/", {"name": "Q3", "months": 3})

    assert (clone.status_code, clone.json()["submissions_close_at"]) == (201, "2099-04-10T16:00:00Z")
    assert list(Round.objects.get(name="Q3").criteria.values_list("name", "weight")) == [("Value", 100)]


def test_what_is_wrong_with_a_round_is_told_by_field(stage: Stage, company: Company) -> None:
    gil = company.client(company.gil)

    late = send(gil, "rounds/", {**ROUND, "reviews_close_at": ROUND["submissions_close_at"]})
    without = send(gil, "rounds/", {name: value for name, value in ROUND.items() if name != "voting_closes_at"})
    fixed = send(gil, f"rounds/{stage.round.pk}/", ROUND, "put")
    ana = send(company.client(company.ana), "rounds/", ROUND)

    assert (late.status_code, late.json()["error"]["field"]) == (422, "reviews_close_at")
    assert (without.status_code, without.json()["error"]["field"]) == (400, "voting_closes_at")
    assert (fixed.status_code, fixed.json()["error"]["code"]) == (409, "wrong_state")
    assert (ana.status_code, ana.json()["error"]["code"]) == (403, "not_allowed")
    assert Round.objects.count() == 1


def test_sealed_pitches_are_counted_and_peeked_at(stage: Stage, company: Company) -> None:
    pitch, dee = stage.submitted("Unheard-of"), company.client(company.dee)

    listed = dee.get(f"/api/v1/rounds/{stage.round.pk}/sealed/")
    assert listed.json() == {
        "is_sealed": True,
        "results": [{"id": pitch.pk, "number": pitch.number, "state": "Submitted", "is_opened": False}],
    }
    assert company.client(company.ana).get(f"/api/v1/rounds/{stage.round.pk}/sealed/").status_code == 404
    assert dee.get(f"/api/v1/pitches/{pitch.pk}/").status_code == 404
    assert send(dee, f"pitches/{pitch.pk}/peek/", {"reason": "so"}).status_code == 422
    assert send(company.client(company.cy), f"pitches/{pitch.pk}/peek/", {"reason": "I am curious."}).status_code == 404

    opened = send(dee, f"pitches/{pitch.pk}/peek/", {"reason": "The team asked for a word."})

    assert (opened.status_code, Peek.objects.get().person) == (201, company.dee)
    assert dee.get(f"/api/v1/pitches/{pitch.pk}/").json()["title"] == "Unheard-of"


def test_a_pitch_is_screened_and_ruled_out(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    mia, gil = company.client(company.mia), company.client(company.gil)
    found = {"revision": 1, "aspect": "compliance", "finding": "infeasible", "reason": "Health data stays here."}

    queue = mia.get("/api/v1/screening/").json()["results"]
    assert [(row["id"], row["waiting"]) for row in queue] == [(pitch.pk, ["compliance"])]
    assert gil.get("/api/v1/screening/").status_code == 404
    assert send(gil, f"pitches/{pitch.pk}/screenings/", found).status_code == 404
    wrong = send(mia, f"pitches/{pitch.pk}/screenings/", {**found, "aspect": "estimate"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (403, "not_allowed")
    assert send(mia, f"pitches/{pitch.pk}/screenings/", found).status_code == 201

    declined = send(gil, f"pitches/{pitch.pk}/rule-out/", {"reason": "Health data stays here."})

    assert declined.json() == {"id": pitch.pk, "state": "declined"}
    assert Screening.objects.get().by == company.mia


def test_assignments_and_remarks_keep_conflicts_out(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="My sister works there.")
    stage.to_review()
    dee, fay = company.client(company.dee), company.client(company.fay)
    path = f"/api/v1/rounds/{stage.round.pk}/assignments/"

    [row] = dee.get(path).json()["results"]
    assert {one["member"] for one in row["members"]} == {f"{name}@acorn.example" for name in ("dee", "eli", "gil")}
    assert fay.get(path).json()["results"] == []
    early = send(dee, f"pitches/{pitch.pk}/remarks/", {"body": "It ran on one desk."})
    assert (early.status_code, early.json()["error"]["code"]) == (403, "not_allowed")
    stage.review(company.dee, pitch)
    assert send(dee, f"pitches/{pitch.pk}/remarks/", {"body": "It ran on one desk."}).status_code == 201

    assert [row["body"] for row in dee.get(f"/api/v1/pitches/{pitch.pk}/remarks/").json()["results"]] == [
        "It ran on one desk."
    ]
    for name in set(PEOPLE) - {"dee", "eli", "gil"}:
        client = company.client(company.person(name))
        assert client.get(f"/api/v1/pitches/{pitch.pk}/remarks/").status_code == 404
    assert Remark.objects.count() == 1


def test_the_fast_lane_is_decided_closed_and_audited(stage: Stage, company: Company) -> None:
    gil, dee, jo = (company.client(person) for person in (company.gil, company.dee, company.jo))
    lane = {name: value for name, value in ROUND.items() if name not in {"reviews_close_at", "voting_closes_at"}}
    pk = send(gil, "rounds/", {**lane, "months": 6, "fast_lane_limit": "2500", "reserve_share": "0"}).json()["id"]
    round_ = Round.objects.get(pk=pk)
    for member in stage.members:
        services.seat_set(actor=company.gil, round_=round_, user=member, is_chair=member == company.gil)
    services.round_open(actor=company.gil, round_=round_, reason="For small things")
    pitch = Stage(company, Round.objects.get(pk=pk), stage.models, stage.members).submitted("Letters")
    decision = {"outcome": "fund", "reason": "Small and easy to measure.", "lines": {"standard": "2000"}}

    unknown = send(dee, f"pitches/{pitch.pk}/lane-decision/", {**decision, "lines": {"golden": "1"}})
    assert (unknown.status_code, unknown.json()["error"]["field"]) == (400, "lines")
    # One team gets at most two fifths of the 5,000.
    above = send(dee, f"pitches/{pitch.pk}/lane-decision/", {**decision, "lines": {"standard": "2000.01"}})
    assert (above.status_code, above.json()["error"]["code"]) == (422, "over_team_cap")
    made = send(dee, f"pitches/{pitch.pk}/lane-decision/", decision)
    closed = send(gil, f"rounds/{pk}/close-lane/", {"reason": "The year is over"})

    assert (made.status_code, made.json()) == (201, {"pitch": pitch.pk, "outcome": "fund"})
    assert closed.json()["state"] == "published"
    [row] = jo.get(f"/api/v1/rounds/{pk}/lane-decisions/").json()["results"]
    assert (row["title"], row["awarded"], row["decided_by"]) == ("Letters", "2000", "dee@acorn.example")
    assert gil.get(f"/api/v1/rounds/{pk}/lane-decisions/").status_code == 404


def test_the_calendar_is_a_file(stage: Stage, company: Company) -> None:
    answer = company.client(company.cy).get("/api/v1/rounds/calendar.ics")

    assert (answer.status_code, answer["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    assert answer.content.count(b"BEGIN:VEVENT") == 4
    assert Client().get("/api/v1/rounds/calendar.ics").status_code == 401
