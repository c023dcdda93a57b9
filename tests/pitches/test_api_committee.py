"""The committee's work for programs: the same doors and rules as its pages, and no vote in any answer."""

from typing import Any

import pytest
from django.test import Client

from pitches import services
from pitches.models import Ballot, BallotReceipt, Pitch, Recusal, Review, Round
from teams.models import AuditEvent, User
from tests.cast import Company
from tests.pitches.endpoints import COMMITTEE, LATER, OF_PITCH, answers, status_of, without_scope
from tests.pitches.stage import Stage, content, queries_of

pytestmark = pytest.mark.django_db

HONEST = "I built its pilot two years ago."


def send(client: Client, path: str, body: Any = None, method: str = "post") -> Any:
    return getattr(client, method)(f"/api/v1/{path}", body or {}, content_type="application/json")


def read(client: Client, path: str) -> Any:
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_round_goes_its_way_step_by_step(stage: Stage, company: Company) -> None:
    gil, at = company.client(company.gil), f"rounds/{stage.round.pk}"
    stage.submitted()

    assert status_of(send(gil, f"{at}/steps/vote/")) == (409, "wrong_state")
    assert send(gil, f"{at}/steps/review/").json()["state"] == "reviewing"
    assert status_of(send(company.client(company.dee), f"{at}/steps/vote/")) == (403, "not_allowed")
    assert status_of(send(gil, f"{at}/steps/vote/", {"reason": "No time"})) == (422, "not_screened")
    assert send(gil, f"{at}/steps/vote/", {"reason": "The auditor is away until May."}).json()["state"] == "voting"
    assert send(gil, f"{at}/steps/close/").json()["state"] == "deciding"
    assert status_of(send(gil, f"{at}/steps/dance/")) == (404, "not_found")
    without = send(gil, f"{at}/steps/cancel/")
    assert (without.status_code, without.json()["error"]["field"]) == (422, "reason")
    cancelled = send(gil, f"{at}/steps/cancel/", {"reason": "The budget was cut."})

    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    event = AuditEvent.objects.get(verb="round.cancel")
    assert (event.actor, event.reason) == (company.gil, "The budget was cut.")


def test_deadlines_are_moved_and_seats_are_given_and_taken(stage: Stage, company: Company) -> None:
    gil, at = company.client(company.gil), f"rounds/{stage.round.pk}"

    moved = send(gil, f"{at}/calendar/", {**LATER, "reason": "A holiday."}, "put")
    short = send(gil, f"{at}/calendar/", {"submissions_close_at": "2099-01-01T00:00:00Z", "reason": "So."}, "put")
    seats = read(gil, f"{at}/committee/")["results"]
    dee = next(seat for seat in seats if seat["member"] == "dee@acorn.example")
    removed = send(gil, f"{at}/committee/{dee['id']}/remove/", {"reason": "On leave until May."})
    stranger = send(gil, f"{at}/committee/", {"member": "cy@acorn.example"})
    again = send(gil, f"{at}/committee/", {"member": "DEE@acorn.example"})

    assert moved.json()["voting_closes_at"] == "2099-01-24T18:00:00Z"
    assert (short.status_code, set(short.json()["error"]["fields"])) == (
        400,
        {"answers_due_at"},
    )
    assert [seat["member"][:3] for seat in seats] == ["gil", "dee", "eli", "fay"]
    assert (removed.status_code, status_of(stranger)) == (204, (422, "not_committee"))
    assert (again.status_code, again.json()["member"], again.json()["is_chair"]) == (201, "dee@acorn.example", False)


def test_a_member_declares_for_the_whole_round(stage: Stage, company: Company) -> None:
    one, two = stage.submitted("One"), stage.submitted("Two")
    services.review_start(actor=company.gil, round_=stage.round)
    dee, at = company.client(company.dee), f"rounds/{stage.round.pk}/declaration/"

    assert [(row["pitch"], row["title"], row["declared"]) for row in read(dee, at)["results"]] == [
        (one.pk, "One", False),
        (two.pk, "Two", False),
    ]
    assert status_of(send(dee, at, {"answers": [{"pitch": one.pk}]})) == (422, "answer_missing")
    assert status_of(send(dee, at, {"answers": [{"pitch": one.pk}, {"pitch": one.pk}]})) == (400, "invalid")
    conflict = {"pitch": two.pk, "conflict_type": "close_relation", "reason": HONEST}
    made = send(dee, at, {"answers": [{"pitch": one.pk}, conflict]})

    assert (made.status_code, made.json()["answers"]) == (201, 2)
    assert [(row["pitch"], row["declared"]) for row in read(dee, at)["results"]] == [(one.pk, True)]
    recusal = Recusal.objects.get(pitch=two)
    assert (recusal.member, recusal.type, recusal.reason) == (company.dee, "close_relation", HONEST)


def test_conflicts_are_read_and_judged_by_those_without_one(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    at = f"rounds/{stage.round.pk}/conflicts/"
    for member in (company.dee, company.fay):
        body = {"conflict_type": "financial", "reason": HONEST}
        assert send(company.client(member), f"pitches/{pitch.pk}/conflicts/", body).status_code == 201

    def listed(member: User) -> list[tuple[str, bool]]:
        return [(row["member"][:3], row["may_judge"]) for row in read(company.client(member), at)["results"]]

    assert listed(company.gil) == [("dee", True), ("fay", True)]
    assert listed(company.eli) == [("dee", False), ("fay", False)]
    # Who is recused reads of their own conflict, and of nobody else's.
    assert listed(company.dee) == [("dee", False)]
    recusal = Recusal.objects.get(member=company.dee)
    judge = {"judgement": "waive", "plan": "A second reader checks what she writes."}
    path = f"{at}{recusal.pk}/judge/"
    assert status_of(send(company.client(company.fay), path, judge)) == (404, "not_found")
    assert status_of(send(company.client(company.eli), path, judge)) == (403, "not_allowed")

    waived = send(company.client(company.gil), path, judge).json()

    assert (waived["state"], waived["decided_by"]) == ("waived", "gil@acorn.example")
    assert listed(company.dee) == [("dee", False), ("fay", False)]


def test_a_pitch_is_taken_in_and_given_back(stage: Stage, company: Company) -> None:
    pitch, dee = stage.submitted(), company.client(company.dee)
    assert status_of(send(dee, f"pitches/{pitch.pk}/take-in/")) == (404, "not_found")
    stage.peek(company.dee, pitch)

    assert send(dee, f"pitches/{pitch.pk}/take-in/").json() == {"id": pitch.pk, "state": "in_review"}
    short = send(dee, f"pitches/{pitch.pk}/return/", {"note": "No."})
    back = send(dee, f"pitches/{pitch.pk}/return/", {"note": "Say who reads the results."})

    assert status_of(short) == (422, "note_missing")
    assert back.json() == {"id": pitch.pk, "state": "returned"}
    pitch.refresh_from_db()
    assert pitch.return_note == "Say who reads the results."


def test_reviews_are_blind_until_the_own_one_is_in(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    stage.declared(company.dee)
    stage.review(company.eli, pitch, 3)
    dee, at = company.client(company.dee), f"pitches/{pitch.pk}/reviews/"

    before = read(dee, at)
    assert (before["revision"], before["own_is_in"], before["results"]) == (1, False, [])
    marks = [{"criterion": row["id"], "score": 8, "sentence": f"8 for {row['name']}"} for row in before["criteria"]]
    body = {"revision": 1, "marks": marks, "expertise": 3, "comment": "Well measured."}
    short = send(dee, at, {**body, "marks": marks[1:]})
    assert (status_of(short), short.json()["error"]["field"]) == (
        (422, "score_missing"),
        f"score-{marks[0]['criterion']}",
    )
    assert status_of(send(dee, at, {**body, "revision": 2})) == (422, "another_revision")
    made = send(dee, at, body)

    assert (made.status_code, made.json()["marks"]) == (201, marks)
    assert [(row["reviewer"], row["expertise"]) for row in read(dee, at)["results"]] == [
        ("eli@acorn.example", 2),
        ("dee@acorn.example", 3),
    ]
    assert Review.objects.get(reviewer=company.dee).comment == "Well measured."
    first = read(dee, f"{at}?limit=1")
    assert (first["count"], first["previous"], [row["reviewer"] for row in first["results"]]) == (
        2,
        None,
        ["eli@acorn.example"],
    )
    following = dee.get(first["next"]).json()
    assert (following["next"], [row["reviewer"] for row in following["results"]]) == (None, ["dee@acorn.example"])


def test_a_review_begins_from_the_own_one_of_the_earlier_revision(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    stage.screened()
    stage.review(company.dee, pitch, 4)
    services.pitch_return(actor=company.eli, pitch=pitch, note="How was the value measured?")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim, value_method="Measured twice."))
    dee, at = company.client(company.dee), f"pitches/{pitch.pk}/reviews/"

    found = read(dee, at)

    assert (found["revision"], found["own_is_in"], found["own_before"]["revision"]) == (2, False, 1)
    body = {"revision": 2, **{name: found["own_before"][name] for name in ("marks", "expertise", "comment")}}
    assert send(dee, at, body).status_code == 201
    after = read(dee, at)
    assert (after["own_is_in"], after["own_before"], [row["marks"] for row in after["results"]]) == (
        True,
        None,
        [found["own_before"]["marks"]],
    )


def test_a_ballot_is_answered_with_its_receipt_and_never_with_the_vote(stage: Stage, company: Company) -> None:
    pitch, other = stage.submitted("One"), stage.submitted("Two")
    stage.to_vote()
    dee, at = company.client(company.dee), f"pitches/{pitch.pk}/ballot/"

    assert status_of(send(dee, at, {"choice": "yes"})) == (422, "score_missing")
    first = send(dee, at, {"choice": "yes", "score": 9})
    second = send(dee, at, {"choice": "no", "score": 2})

    newest = BallotReceipt.objects.get(member=company.dee, number=2)
    ballot = Ballot.objects.get()
    assert (first.status_code, second.json()) == (
        201,
        {
            "pitch": pitch.pk,
            "receipt": newest.sha256,
            "times_cast": 2,
            "cast_at": ballot.cast_at.isoformat().replace("+00:00", "Z"),
        },
    )
    own = read(dee, f"rounds/{stage.round.pk}/ballots/")["results"]
    assert [(row["pitch"], row["is_cast"], row["receipt"]) for row in own] == [
        (pitch.pk, True, newest.sha256),
        (other.pk, False, None),
    ]
    assert [
        row["is_cast"] for row in read(company.client(company.eli), f"rounds/{stage.round.pk}/ballots/")["results"]
    ] == [
        False,
        False,
    ]


def test_receipts_are_listed_once_the_ballots_are_open(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch)
    at = f"rounds/{stage.round.pk}/receipts/"
    assert status_of(company.client(company.dee).get(f"/api/v1/{at}")) == (404, "not_found")

    services.voting_close(actor=company.gil, round_=stage.round)

    receipt = BallotReceipt.objects.get().sha256
    assert read(company.client(company.eli), at)["results"] == [
        {"pitch": pitch.pk, "number": pitch.number, "title": "Claims triage", "receipts": [receipt]}
    ]
    # Before the decisions are published the list is the committee's.
    assert status_of(company.client(company.cy).get(f"/api/v1/{at}")) == (404, "not_found")


# --- Who is kept out ------------------------------------------------------------------------------


def kept_out(stage: Stage) -> tuple[Pitch, dict[str, int]]:
    """Return a pitch in review from which Dee is recused, and the ids that addresses need."""
    pitch = stage.submitted("Nightjar")
    stage.submitted("Lapwing")
    stage.to_review()
    recusal = services.recusal_declare(actor=stage.company.dee, pitch=pitch, reason=HONEST)
    services.recusal_declare(actor=stage.company.fay, pitch=pitch, reason=HONEST)
    seat = stage.round.seats.get(user=stage.company.eli)
    place = {"round": stage.round.pk, "pitch": pitch.pk, "recusal": recusal.pk + 1, "seat": seat.pk}
    return pitch, place


def superuser(company: Company) -> User:
    User.objects.filter(pk=company.bo.pk).update(is_superuser=True, is_staff=True)
    return User.objects.get(pk=company.bo.pk)


def test_strangers_and_superusers_find_no_endpoint_of_the_committee(stage: Stage, company: Company) -> None:
    _, place = kept_out(stage)
    before = AuditEvent.objects.count()

    for person in (company.cy, company.hana, company.ivo, superuser(company)):
        told = answers(company.client(person), place, [*COMMITTEE, *OF_PITCH])
        assert {name: said for name, said in told.items() if said != (404, "not_found")} == {}

    assert (AuditEvent.objects.count(), Round.objects.get().state) == (before, "reviewing")


def test_a_recused_member_finds_nothing_of_the_pitch(stage: Stage, company: Company) -> None:
    pitch, place = kept_out(stage)
    dee, before = company.client(company.dee), AuditEvent.objects.count()

    told = answers(dee, place, OF_PITCH)

    assert set(told.values()) == {(404, "not_found")}
    judged = next(one for one in COMMITTEE if one.name == "api_conflict_judge")
    assert status_of(judged.call(dee, place)) == (404, "not_found")
    assert AuditEvent.objects.count() == before
    for path in ("declaration", "ballots"):
        rows = read(dee, f"rounds/{stage.round.pk}/{path}/")["results"]
        assert pitch.pk not in {row["pitch"] for row in rows}


def test_a_token_needs_the_scope_of_the_committee(stage: Stage, company: Company) -> None:
    _, place = kept_out(stage)

    assert without_scope(company.gil, place, [*COMMITTEE, *OF_PITCH]) == {(403, "scope_missing")}


@pytest.mark.parametrize("path", ["committee", "declaration", "conflicts", "ballots", "receipts"])
def test_a_list_of_the_committee_asks_as_often_for_three_rows_as_for_one(
    stage: Stage, company: Company, path: str
) -> None:
    for title in ("One", "Two", "Three"):
        stage.submitted(title)
    stage.to_vote()
    client, at = company.client(company.gil), f"/api/v1/rounds/{stage.round.pk}/{path}/"
    pitches = list(Pitch.objects.order_by("pk"))
    for pitch in pitches[:1]:
        services.recusal_declare(actor=company.dee, pitch=pitch, reason=HONEST)
        stage.vote(company.gil, pitch)
    if path == "receipts":
        for pitch in pitches[1:]:
            stage.vote(company.gil, pitch)
        services.voting_close(actor=company.gil, round_=stage.round)
        one, whole = f"{at}?limit=1", at
    else:
        one, whole = at, at
    before = queries_of(client, one)
    if path != "receipts":
        for pitch in pitches[1:]:
            services.recusal_declare(actor=company.dee, pitch=pitch, reason=HONEST)
            stage.vote(company.gil, pitch)

    assert queries_of(client, whole) == before
