"""The committee's pages inside the admin: who gets in, what is hidden from whom, and every step of a round."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from ledger.money import usd
from pitches import services
from pitches.models import Ballot, CommitteeSeat, Decision, Pitch, Recusal, Review, Round
from pitches.selectors.desk import desk_of
from tests.cast import PEOPLE, Company
from tests.pages import Element, error_beside, page_of, rows
from tests.pages import typed as stands_in
from tests.pitches.stage import Stage, calendar, queries_of

pytestmark = pytest.mark.django_db

EVERYBODY = set(PEOPLE)
MEMBERS = {"dee", "eli", "fay", "gil"}
DESK = MEMBERS | {"jo"}
HOSTILE = '"><script>alert(1)</script>'
NEW_ROUND = {
    "name": "Q2",
    "cap": "5000",
    "reserve_percent": "20",
    "hurdle": "1.5",
    "quorum": "3",
    "starts_on": "2027-04-01",
    "months": "3",
    "time_zone": "UTC",
    "submissions_close_at": "2099-01-10T18:00",
    "reviews_close_at": "2099-01-17T18:00",
    "voting_closes_at": "2099-01-24T18:00",
    "answers_due_at": "2099-01-31T18:00",
}


def at(path: str, thing: Round | Pitch) -> str:
    prefix = "pitch/" if isinstance(thing, Pitch) else ""
    return f"/admin/pitches/round/{prefix}{thing.pk}/{path}"


def desk(answer: Any) -> Element:
    return page_of(answer).one("div", class_="tank")


def said(answer: Any) -> str:
    return page_of(answer).text


PAGES = {
    "desk/": DESK,
    "committee/": DESK,
    "ballot/": MEMBERS,
    "decide/": MEMBERS,
}


@pytest.mark.parametrize(("path", "who"), PAGES.items())
def test_a_round_is_worked_on_by_its_committee(stage: Stage, company: Company, path: str, who: set[str]) -> None:
    stage.submitted()

    answers = {name: company.client(company.person(name)).get(at(path, stage.round)).status_code for name in PEOPLE}

    assert {name for name, status in answers.items() if status == 200} == who
    # Who is not staff is asked to log in as somebody who is; the platform admin is staff and finds nothing.
    assert {name for name, status in answers.items() if status == 404} == (DESK | {"ivo"}) - who
    assert {name for name, status in answers.items() if status == 302} == EVERYBODY - DESK - {"ivo"}


def test_a_pitch_is_read_by_its_committee_and_a_draft_by_nobody(stage: Stage, company: Company) -> None:
    pitch, draft = stage.submitted(), stage.pitch("Draft")
    stage.to_review()

    for name in DESK | {"ivo"}:
        client = company.client(company.person(name))
        assert client.get(at("", pitch)).status_code == (200 if name in MEMBERS else 404)
        assert client.get(at("", draft)).status_code == 404
        assert client.get(at("decide/", pitch)).status_code == 404  # the ballots are not open yet


def test_another_rounds_committee_finds_nothing(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    CommitteeSeat.objects.filter(user=company.fay).delete()
    fay = company.client(company.fay)

    assert [fay.get(at(path, stage.round)).status_code for path in PAGES] == [404] * 4
    for path in ("", "take-in/", "return/", "recuse/"):
        assert fay.post(at(path, pitch)).status_code == 404
    assert [row[0] for row in _admin_list(fay)] == []


def _admin_list(client: Client) -> list[list[str]]:
    page = page_of(client.get("/admin/pitches/round/"))
    tables = page.all("table", id="result_list")
    return [[cell.text for cell in line.children] for line in tables[0].all("tr")[1:]] if tables else []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("step/review/", "dee"),
        ("step/cancel/", "eli"),
        ("step/open/", "jo"),
        ("committee/", "dee"),
        ("step/settle/", "jo"),
    ],
)
def test_members_and_auditors_take_no_steps(stage: Stage, company: Company, path: str, name: str) -> None:
    stage.submitted()
    seats = CommitteeSeat.objects.count()

    company.client(company.person(name)).post(
        at(path, stage.round), {"reason": "Because I can", "user": company.dee.pk, "is_chair": "on"}
    )

    assert (stage.now().state, CommitteeSeat.objects.count()) == ("open", seats)


def test_a_round_is_prepared_seated_and_opened_in_the_admin(stage: Stage, company: Company) -> None:
    gil = company.client(company.gil)
    assert gil.get("/admin/pitches/round/add/")["Location"] == "/admin/pitches/round/new/"
    form = {**NEW_ROUND, "cap": "$5,000", "time_zone": "Europe/Berlin"}

    made = gil.post("/admin/pitches/round/new/", form)

    round_ = Round.objects.get(name="Q2")
    assert made["Location"] == at("committee/", round_)
    assert (round_.awardable, round_.submissions_close_at.isoformat()) == (Decimal(4000), "2099-01-10T17:00:00+00:00")
    for member in stage.members:
        seat = {"user": member.pk, **({"is_chair": "on"} if member == company.gil else {})}
        gil.post(at("committee/", round_), seat)
    refused = gil.post(at("step/open/", round_), {"reason": ""})
    assert refused.status_code == 422
    assert error_beside(refused, "reason") == "Give a reason; it stays in the history."

    gil.post(at("step/open/", round_), {"reason": "The second quarter"})

    round_.refresh_from_db()
    assert (round_.state, round_.opened_pool.code) == ("open", f"pool:round-{round_.pk}")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "Q1", "Round with this Name already exists."),
        ("cap", "lots", "Write dollars such as"),
        ("cap", "0", "The cap must be more than zero."),
        ("time_zone", "Mars/Olympus", "No such time zone."),
        ("reviews_close_at", "2099-01-01T00:00", "This comes after the deadline above it."),
        ("months", "0", "Between 1 and 36."),
    ],
)
def test_what_is_wrong_with_a_round_is_said_and_nothing_typed_is_lost(
    stage: Stage, company: Company, field: str, value: str, message: str
) -> None:
    answer = company.client(company.gil).post("/admin/pitches/round/new/", {**NEW_ROUND, field: value})

    assert answer.status_code == 422
    assert message in desk(answer).text
    assert (stands_in(answer, field), stands_in(answer, "hurdle")) == (value, "1.5")
    assert Round.objects.count() == 1


def test_a_round_that_the_reserve_cannot_pay_for_stays_closed(stage: Stage, company: Company) -> None:
    gil = company.gil  # the reserve has 40,000 left
    big = services.round_create(
        actor=gil, name="Q2", cap=usd("40000.01"), calendar=calendar(), starts_on=stage.round.starts_on, months=3
    )
    for member in stage.members:
        services.seat_set(actor=gil, round_=big, user=member, is_chair=member == gil)

    answer = company.client(gil).post(at("step/open/", big), {"reason": "Too big"}, follow=True)

    assert "$40,000.00; $40,000.01 is needed" in said(answer)
    big.refresh_from_db()
    assert (big.state, big.pool) == ("draft", None)


def test_the_queue_says_what_waits_for_whom(stage: Stage, company: Company) -> None:
    first, second = stage.submitted("First"), stage.submitted("Second")
    services.recusal_declare(actor=company.dee, pitch=second, reason="I built its pilot.")
    stage.to_review()
    stage.review(company.dee, first)

    dee = rows(company.client(company.dee).get(at("desk/", stage.round)), "Pitches, table")
    eli = rows(company.client(company.eli).get(at("desk/", stage.round)), "Pitches, table")

    # The second one has three members left, so that the first one takes Dee before it takes two of them.
    mine = "assigned to you reviewed"
    assert dee == [
        [f"First {first.number} · Claims · revision 1", "In review", "$2,400.00", "20.8", "1 of 4", "7.0", mine],
        [
            f"Second {second.number} · Claims",
            "Hidden from you",
            "recused I built its pilot.",
        ],
    ]
    # Eli has not reviewed the first one yet: its score is hidden from him.
    assert {row[0].split()[0]: row[4:6] for row in eli} == {"First": ["1 of 4", "—"], "Second": ["0 of 3", "—"]}
    assert all(row[6].endswith("review it") for row in eli)


def review_form(stage: Stage, score: str = "7", sentence: str = "Fine.") -> dict[str, str]:
    criteria = stage.round.criteria.values_list("pk", flat=True)
    fields = {f"score-{pk}": score for pk in criteria} | {f"sentence-{pk}": sentence for pk in criteria}
    return fields | {"expertise": "2", "revision": "1"}


def test_a_review_goes_in_and_then_the_others_show(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    stage.review(company.eli, pitch, 3)
    dee = company.client(company.dee)
    before = desk(dee.get(at("", pitch))).text
    assert "Hidden until your own is in" in before
    assert "Eli Example" not in before

    answer = dee.post(at("", pitch), review_form(stage), follow=True)

    assert "Your review is in." in said(answer)
    assert "Eli Example" in desk(answer).text
    assert Review.objects.get(reviewer=company.dee).scores.count() == 4


@pytest.mark.parametrize(("score", "sentence"), [("0", "Fine."), ("ten", "Fine."), ("", "Fine."), ("5", "")])
def test_a_review_that_is_not_complete_comes_back_as_it_was(
    stage: Stage, company: Company, score: str, sentence: str
) -> None:
    pitch = stage.submitted()
    stage.to_review()
    first = stage.round.criteria.order_by("position")[0].pk
    form = {**review_form(stage), f"score-{first}": score, f"sentence-{first}": sentence, "comment": HOSTILE}

    answer = company.client(company.dee).post(at("", pitch), form)

    assert answer.status_code == 422
    assert error_beside(answer, f"score-{first}" if score != "5" else f"sentence-{first}")
    assert (stands_in(answer, f"score-{first}"), stands_in(answer, "comment")) == (score, HOSTILE)
    assert Review.objects.count() == 0


def test_a_member_with_a_conflict_finds_no_page_of_the_pitch(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    stage.review(company.eli, pitch)
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I built its pilot.")
    dee = company.client(company.dee)

    assert dee.get(at("", pitch)).status_code == 404
    assert dee.post(at("", pitch), review_form(stage)).status_code == 404
    dee.post(at("return/", pitch), {"note": "Please change everything."})
    pitch.refresh_from_db()
    assert (pitch.state, Review.objects.count()) == ("in_review", 1)


def test_stepping_aside_and_being_let_back_in(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    dee, gil = company.client(company.dee), company.client(company.gil)
    short = dee.post(at("recuse/", pitch), {"conflict_type": "other", "reason": "short"})
    assert (short.status_code, error_beside(short, "reason")) == (422, "Say it in at least 10 characters.")

    dee.post(at("recuse/", pitch), {"conflict_type": "close_relation", "reason": "I built its pilot."})

    recusal = Recusal.objects.get()
    assert recusal.type == "close_relation"
    place = f"/admin/pitches/round/{stage.round.pk}/conflicts/{recusal.pk}/"
    assert "I built its pilot." in desk(gil.get(at("committee/", stage.round))).text
    assert dee.post(place, {"judgement": "waive", "plan": "I promise to be fair."}).status_code == 404
    gil.post(place, {"judgement": "waive", "plan": "Two years ago, and she left the project."})
    recusal.refresh_from_db()
    assert (recusal.state, recusal.decided_by) == ("waived", company.gil)


def test_a_return_needs_a_note(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    dee = company.client(company.dee)

    answer = dee.post(at("return/", pitch), {"note": ""})
    assert (answer.status_code, error_beside(answer, "note")) == (422, "This field is required.")

    dee.post(at("return/", pitch), {"note": "How was the metric measured?"})
    pitch.refresh_from_db()
    assert (pitch.state, pitch.return_note) == ("returned", "How was the metric measured?")


def cast(client: Client, stage: Stage, pitch: Pitch, **fields: str) -> Any:
    data = {"pitch": str(pitch.pk)} | {f"{pitch.pk}-{name}": value for name, value in fields.items()}
    return client.post(at("ballot/", stage.round), data)


def test_a_ballot_is_sealed_and_no_page_can_say_what_is_in_it(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    dee, gil = company.client(company.dee), company.client(company.gil)

    cast(dee, stage, pitch, choice="no", score="2")

    assert Ballot.objects.get().choice == ""
    own = page_of(dee.get(at("ballot/", stage.round)))
    assert own.one("span", class_="chip ok").text == "sealed"
    assert [radio for radio in own.all("input", type="radio") if "checked" in radio.attrs] == []
    assert [option for option in own.all("option") if "selected" in option.attrs and option.attrs["value"]] == []
    for path in ("desk/", "decide/", "committee/"):
        assert "1 no" not in desk(gil.get(at(path, stage.round))).text
    assert "Ballots are sealed" in desk(gil.get(at("decide/", stage.round))).text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"choice": "yes", "score": ""}, "Give a score from 1 to 9 with a yes or a no."),
        ({"choice": "abstain", "score": "5"}, "An abstention carries no score."),
        ({"choice": "", "score": "5"}, "This field is required."),
        ({"choice": "maybe", "score": "5"}, "Select a valid choice."),
        ({"choice": "yes", "score": "10"}, "Select a valid choice."),
    ],
)
def test_a_ballot_that_is_not_clear_comes_back(
    stage: Stage, company: Company, fields: dict[str, str], message: str
) -> None:
    pitch = stage.submitted()
    stage.to_vote()

    answer = cast(company.client(company.dee), stage, pitch, **fields)

    assert answer.status_code == 422
    assert message in desk(answer).text
    assert Ballot.objects.count() == 0


def test_there_is_no_ballot_for_a_pitch_that_a_member_is_recused_from(stage: Stage, company: Company) -> None:
    pitch, other = stage.submitted("Own"), stage.submitted("Other")
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I built its pilot.")
    stage.to_vote()
    dee = company.client(company.dee)

    page = desk(dee.get(at("ballot/", stage.round)))

    assert [one.attrs["value"] for one in page.all("input", name="pitch")] == [str(other.pk)]
    assert "Own : you are recused. I built its pilot." in page.text
    cast(dee, stage, pitch, choice="yes", score="9")
    assert Ballot.objects.count() == 0


@pytest.mark.parametrize("number", ["0", "999999", "x", "' OR 1=1", ""])
def test_a_ballot_on_no_pitch_of_the_round_is_not_there(stage: Stage, company: Company, number: str) -> None:
    stage.submitted()
    stage.to_vote()

    answer = company.client(company.dee).post(at("ballot/", stage.round), {"pitch": number})

    assert answer.status_code == 404


def test_the_whole_round_in_the_admin(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    gil = company.client(company.gil)
    for step in ("review", "vote"):
        gil.post(at(f"step/{step}/", stage.round))
        stage.screened()
    stage.everybody_declares()
    for member in (company.gil, company.dee, company.eli):
        cast(company.client(member), stage, pitch, choice="yes", score="8")
    early = gil.post(at("step/publish/", stage.round), follow=True)
    assert "The round is voting: there is nothing to publish." in said(early)
    gil.post(at("step/close/", stage.round))

    form = {"outcome": "fund", "reason": "Worth many times what it costs.", "amount-standard": "2,400"}
    over = gil.post(at("decide/", pitch), {**form, "amount-standard": "9000.01"})
    assert (over.status_code, stands_in(over, "amount-standard")) == (422, "9000.01")
    assert "$9,000.01 does not fit: $9,000.00 of the cap can still be awarded." in desk(over).text
    gil.post(at("decide/", pitch), form)

    board = gil.get(at("decide/", stage.round))
    assert rows(board, "Decisions, table") == [
        [
            "Fund",
            "Claims triage Claims",
            "8.0 3 yes, 0 no",
            "—",
            "",
            "$2,400.00 20.8 claimed per $",
            "$2,400.00",
            "$2,400.00",
            "Decide Claims triage",
        ]
    ]
    assert "$6,600.00 left to award" in desk(board).text
    assert "1 offer of $2,400.00 together go out, 0 pitches are waitlisted, 0 declined" in desk(board).text
    gil.post(at("step/publish/", stage.round))
    assert stage.now().state == "published"


def test_the_board_hides_what_a_member_is_recused_from(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="I built its pilot.")
    stage.to_decide(pitch)
    stage.fund(pitch)
    fay = company.client(company.fay)

    board = fay.get(at("decide/", stage.round))

    assert rows(board, "Decisions, table") == [
        ["recused", "Claims triage Claims", "Hidden from you. I built its pilot."]
    ]
    for secret in ("3 yes", "2,400"):
        assert secret not in desk(board).text
    assert fay.get(at("decide/", pitch)).status_code == 404
    assert fay.post(at("decide/", pitch), {"outcome": "decline", "reason": "Because I say so."}).status_code == 404
    assert Decision.objects.get().outcome == "fund"


def test_a_member_who_does_not_decide_reads_the_decision(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)
    dee = company.client(company.dee)

    assert "The chair decides" in desk(dee.get(at("decide/", pitch))).text
    answer = dee.post(at("decide/", pitch), {"outcome": "waitlist", "reason": "Because I say so."})

    assert answer.status_code == 422
    assert Decision.objects.count() == 0


def test_an_auditor_looks_at_the_desk_and_sees_no_opinion(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    stage.review(company.dee, pitch)

    table = rows(company.client(company.jo).get(at("desk/", stage.round)), "Pitches, table")

    assert [row[4:] for row in table] == [["1 of 4", "—", "—"]]
    stage.to_decide(pitch)
    stage.fund(pitch)
    assert [row.scores for row in desk_of(company.jo, stage.round).rows] == [None]
    services.round_publish(actor=company.gil, round_=stage.round)
    assert [row.awarded for row in desk_of(company.jo, stage.now()).rows] == [2400]


@pytest.mark.parametrize("path", ["desk/", "decide/", "ballot/", "committee/"])
def test_a_page_asks_as_often_for_three_pitches_as_for_one(stage: Stage, company: Company, path: str) -> None:
    client = company.client(company.dee)
    pitches = [stage.submitted(title) for title in ("One", "Two", "Three")]
    stage.to_vote()
    for pitch in pitches:
        for member in stage.members[:3]:
            stage.vote(member, pitch)
    if path == "decide/":
        services.voting_close(actor=company.gil, round_=stage.round)
        for pitch in pitches:
            stage.fund(pitch, "100")
    three = queries_of(client, at(path, stage.round))

    Pitch.objects.exclude(pk=pitches[0].pk).update(state="withdrawn")
    services_round = Round.objects.create(
        name="Elsewhere",
        cap=1,
        submissions_close_at=stage.round.submissions_close_at,
        reviews_close_at=stage.round.reviews_close_at,
        voting_closes_at=stage.round.voting_closes_at,
        answers_due_at=stage.round.answers_due_at,
        starts_on=stage.round.starts_on,
        created_by=company.gil,
    )
    Pitch.objects.exclude(pk=pitches[0].pk).update(round=services_round)

    assert queries_of(client, at(path, stage.round)) == three


@pytest.mark.parametrize("path", ["desk/", "committee/", "ballot/", "decide/"])
def test_hostile_titles_do_nothing_in_the_admin(stage: Stage, company: Company, path: str) -> None:
    stage.to_decide(stage.submitted(HOSTILE))

    answer = company.client(company.gil).get(at(path, stage.round))

    assert answer.status_code == 200
    assert b"<script>alert" not in answer.content


def test_nothing_of_a_round_is_edited_or_deleted_past_the_services(stage: Stage, company: Company) -> None:
    gil = company.client(company.gil)

    assert gil.get(f"/admin/pitches/round/{stage.round.pk}/change/")["Location"] == at("desk/", stage.round)
    assert gil.post(f"/admin/pitches/round/{stage.round.pk}/delete/", {"post": "yes"}).status_code == 403
    assert [row[0] for row in _admin_list(gil)] == ["Q1"]
