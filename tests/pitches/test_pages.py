"""The pages of teams: who sees which, what they say, and that nothing typed is ever lost."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from pitches import services
from pitches.models import Offer, Pitch, Round
from pitches.selectors.pitches import pitches_visible_to
from teams.models import TeamRole
from teams.services import membership_set
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, heading, page_of, rows
from tests.pitches.stage import Stage, calendar, content, of, queries_of

pytestmark = pytest.mark.django_db

EVERYBODY = set(PEOPLE)
COMMITTEE = {"dee", "eli", "fay", "gil"}
TEAM = {"ana", "bo", "kim"}
READERS = {"hana", "jo"}
MINUS = "\N{MINUS SIGN}"


def see(company: Company, path: str) -> dict[str, int]:
    """Return how each person's visit ends."""
    return {name: company.client(company.person(name)).get(path).status_code for name in PEOPLE}


@pytest.mark.parametrize("path", ["/rounds/", "/pitches/", "/pitches/?all", "/pitches/new/"])
def test_the_lists_are_for_everybody(stage: Stage, company: Company, path: str) -> None:
    stage.submitted()

    for name in PEOPLE:
        answer = company.client(company.person(name)).get(path)
        assert answer.status_code == 200
        assert_readable(answer)


def test_a_round_is_for_everybody_once_it_is_open(stage: Stage, company: Company) -> None:
    draft = services.round_create(
        actor=company.gil,
        name="Q2",
        cap=stage.round.cap_money,
        calendar=calendar(),
        starts_on=stage.round.starts_on,
        months=6,
    )

    assert set(see(company, f"/rounds/{stage.round.pk}/").values()) == {200}
    assert {name for name, status in see(company, f"/rounds/{draft.pk}/").items() if status == 200} == {
        "gil",
        "hana",
        "jo",
    }
    listed = {name: len(rows(company.client(company.person(name)).get("/rounds/"))) for name in ("ana", "gil")}
    assert listed == {"ana": 1, "gil": 2}


PAGES = {
    # state: who sees its page, its form, its revision, its offer
    "draft": (TEAM, {"ana", "bo"}, set(), set()),
    # Sealed until the round closes for pitches.
    "submitted": (TEAM, {"ana", "bo"}, TEAM, set()),
    "in_review": (TEAM | COMMITTEE | READERS, {"ana", "bo"}, TEAM | COMMITTEE | READERS, set()),
    "offered": (TEAM | COMMITTEE | READERS, {"ana", "bo"}, TEAM | COMMITTEE | READERS, TEAM | READERS),
}


@pytest.mark.parametrize("state", PAGES)
def test_a_pitch_exists_for_those_who_may_see_it_and_for_nobody_else(
    stage: Stage, company: Company, state: str
) -> None:
    make = {"draft": stage.pitch, "offered": lambda: stage.offered()[0].pitch}
    pitch = make.get(state, stage.submitted)()
    if state == "in_review":
        stage.to_review()

    for path, who in zip(("", "edit/", "revisions/1/", "offer/"), PAGES[state], strict=True):
        answers = see(company, of(path, pitch))
        opened = {name for name, status in answers.items() if status in {200, 302}}
        assert (path, opened) == (path, who)
        assert {status for name, status in answers.items() if name not in opened} <= {404}


@pytest.mark.parametrize("state", ["draft", "submitted", "in_review", "returned", "withdrawn"])
def test_the_list_and_the_page_agree_about_who_sees_a_pitch(stage: Stage, company: Company, state: str) -> None:
    pitch = stage.pitch() if state == "draft" else stage.submitted()
    if state == "returned":
        stage.peek(company.dee, pitch)
        services.pitch_return(actor=company.dee, pitch=pitch, note="How was it measured?")
    if state == "in_review":
        stage.to_review()
    if state == "withdrawn":
        services.pitch_withdraw(actor=company.ana, pitch=pitch, reason="Bought instead")
    pitch.refresh_from_db()

    listed = {name for name in PEOPLE if pitches_visible_to(company.person(name)).exists()}

    assert listed == {name for name in PEOPLE if company.person(name).has_perm("pitches.view_pitch", pitch)}


def test_a_draft_that_was_withdrawn_was_never_shown(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    services.pitch_withdraw(actor=company.ana, pitch=pitch, reason="A bad idea")

    assert {name for name, status in see(company, of("", pitch)).items() if status == 200} == TEAM


@pytest.mark.parametrize("path", ["edit/", "draft/", "withdraw/", "carry-over/", "offer/accept/", "offer/decline/"])
def test_nobody_changes_what_does_not_exist_for_them(stage: Stage, company: Company, path: str) -> None:
    pitch = stage.offered()[0].pitch

    answers = {
        name: company.client(company.person(name)).post(of(path, pitch)).status_code for name in EVERYBODY - TEAM
    }

    # The committee, finance and auditors see the pitch, so its withdrawal answers them; it does nothing.
    may_read = READERS | COMMITTEE if path == "withdraw/" else READERS if path.startswith("offer") else set()
    assert {name for name, status in answers.items() if status != 404} == may_read
    pitch.refresh_from_db()
    assert (pitch.state, Offer.objects.get().state) == ("offered", "open")


@pytest.mark.parametrize(
    "path",
    ["/rounds/", "/rounds/1/", "/pitches/", "/pitches/new/", "/pitches/1/", "/pitches/1/edit/", "/pitches/1/offer/"],
)
def test_a_stranger_logs_in_first(stage: Stage, path: str) -> None:
    assert Client().get(path)["Location"] == f"/account/login/?next={path}"


@pytest.mark.parametrize("path", ["edit/", "draft/", "withdraw/", "offer/accept/"])
def test_a_request_from_another_site_is_refused(stage: Stage, company: Company, path: str) -> None:
    pitch = stage.offered()[0].pitch

    assert company.client(company.ana, csrf=True).post(of(path, pitch)).status_code == 403


@pytest.mark.parametrize(
    "path", ["/pitches/999999/", "/rounds/999999/", "/pitches/1/revisions/99/", "/pitches/1/offer/"]
)
def test_what_was_never_made_is_not_there(stage: Stage, company: Company, path: str) -> None:
    stage.submitted()

    assert company.client(company.ana).get(path.replace("/1/", f"/{Pitch.objects.get().pk}/")).status_code == 404


# --- Reading ------------------------------------------------------------------------------------


def test_the_team_reads_what_the_committee_asks_and_what_changed_since(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.peek(company.dee, pitch)
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was the metric measured?")
    ana = company.client(company.ana)
    assert "The committee asks: How was the metric measured?" in page_of(ana.get(of("", pitch))).one("main").text

    services.pitch_submit(
        actor=company.ana, pitch=pitch, content=content(company.kim, problem="Three people read every claim.")
    )

    answer = ana.get(of("revisions/2/", pitch))
    changes = page_of(answer).one("dl", class_="changes")
    assert [term.text for term in changes.all("dt")] == ["The problem"]
    assert changes.one("dd").text == "Two Three people read every claim first ."
    assert [gone.text for gone in changes.all("del")] == ["Two", "first"]
    assert [new.text for new in changes.all("ins")] == ["Three"]


def test_the_history_tells_the_team_nothing_that_is_sealed(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="I built its pilot.")
    stage.to_decide(pitch)
    stage.fund(pitch)

    for name in ("ana", "bo", "kim", "hana"):
        text = page_of(company.client(company.person(name)).get(of("", pitch))).one("main").text
        for secret in ("I built its pilot", "Fay Example", "tentative", "Worth many times", "recuse"):
            assert secret not in text
        assert "On the ballot" in text


def test_a_published_decision_is_told_with_its_reason(stage: Stage, company: Company) -> None:
    pitch = stage.offered()[0].pitch

    text = page_of(company.client(company.ana).get(of("", pitch))).one("main").text
    round_page = company.client(company.cy).get(f"/rounds/{stage.round.pk}/")

    assert "The decision: fund" in text
    assert "Worth many times what it costs." in text
    assert rows(round_page, "Decisions, table") == [
        [
            "Claims triage Claims",
            "Waiting for an answer",
            "$2,400.00",
            "—",
            "3 yes, 0 no",
            "Worth many times what it costs.",
        ]
    ]
    # Cy reads the decision and cannot open the pitch.
    assert page_of(round_page).all("a", href=of("", pitch)) == []


def test_a_round_shows_no_pitch_before_it_is_published(stage: Stage, company: Company) -> None:
    stage.to_decide(stage.submitted("Secret plan"))

    text = page_of(company.client(company.cy).get(f"/rounds/{stage.round.pk}/")).one("main").text

    assert "1 pitch so far." in text
    assert "Secret plan" not in text


def test_a_returned_pitch_whose_round_is_over_offers_the_next_one(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.peek(company.dee, pitch)
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was the metric measured?")
    Round.objects.update(submissions_close_at=datetime.now(UTC) - timedelta(minutes=1), state="voting")
    ana = company.client(company.ana)
    assert ana.post(of("carry-over/", pitch), {"round": stage.round.pk}).status_code == 404

    gil = company.gil
    later = services.round_create(
        actor=gil,
        name="Q2",
        cap=stage.round.cap_money,
        calendar=calendar(),
        starts_on=stage.round.starts_on,
        months=3,
    )
    for member in stage.members:
        services.seat_set(actor=gil, round_=later, user=member, is_chair=member == gil)
    services.round_open(actor=gil, round_=later, reason="The second quarter")

    assert "Continue in Q2" in page_of(ana.get(of("", pitch))).one("main").text
    answer = ana.post(of("carry-over/", pitch), {"round": later.pk})
    onward = Pitch.objects.get(round=later)
    assert (answer["Location"], onward.state) == (of("edit/", onward), "draft")


def test_the_offer_says_in_numbers_what_accepting_does(stage: Stage, company: Company) -> None:
    [offer] = stage.offered(amount="2000")
    ana = company.client(company.ana)

    page = ana.get(of("offer/", offer.pitch))

    assert heading(page) == "$2,000.00 for Claims triage"
    assert rows(page, "Asked and awarded, table") == [
        ["Standard", "$2,400.00", "$2,000.00", f"{MINUS}$400.00"],
        ["Together", "$2,400.00", "$2,000.00", f"{MINUS}$400.00"],
    ]
    assert "$10,000.00 now, $8,000.00 afterwards" in page_of(page).one("main").text
    assert_readable(page)

    accepted = ana.post(of("offer/accept/", offer.pitch), follow=True)
    number = Offer.objects.get().allocation.number  # type: ignore[union-attr]
    assert f"Accepted: {number} is yours. Issue a key to begin." in page_of(accepted).text
    again = ana.post(of("offer/accept/", offer.pitch), follow=True)
    assert "This offer is answered already: accepted." in page_of(again).text


def test_a_decline_without_a_reason_is_asked_for_one(stage: Stage, company: Company) -> None:
    [offer] = stage.offered()
    ana = company.client(company.ana)

    answer = ana.post(of("offer/decline/", offer.pitch), {"reason": " "})

    assert answer.status_code == 422
    assert error_beside(answer, "reason") == "This field is required."
    assert_readable(answer)
    ana.post(of("offer/decline/", offer.pitch), {"reason": "We found another way."})
    assert Offer.objects.get().state == "declined"


@pytest.mark.parametrize("name", ["bo", "kim", "hana", "jo"])
def test_readers_of_an_offer_find_no_button(stage: Stage, company: Company, name: str) -> None:
    [offer] = stage.offered()
    reader = company.client(company.person(name))

    page = page_of(reader.get(of("offer/", offer.pitch))).one("main")
    assert [button.text for button in page.all("button")] == []
    reader.post(of("offer/accept/", offer.pitch))

    assert Offer.objects.get().state == "open"


def test_who_is_in_no_team_sees_what_there_is_to_oversee(stage: Stage, company: Company) -> None:
    stage.submitted()
    stage.pitch("Draft")
    stage.to_review()

    for name, count in {"kim": 2, "hana": 1, "jo": 1, "gil": 1, "ivo": 0, "cy": 0}.items():
        answer = company.client(company.person(name)).get("/pitches/")
        assert (name, len(rows(answer))) == (name, count)


def test_a_form_that_came_too_late_says_where_to_go(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    stage.to_review()

    answer = company.client(company.ana).get(of("edit/", pitch))

    assert "Q1 takes no pitches any more." in page_of(answer).one("main").text
    assert_readable(answer)


def test_empty_lists_say_what_comes(company: Company) -> None:
    for path in ("/rounds/", "/pitches/", "/pitches/new/"):
        for person in (company.ana, company.jo):
            page = company.client(person).get(path)
            assert page.status_code == 200
            assert page_of(page).one("main").all("div", class_="empty") != []
            assert_readable(page)


# --- As many queries for three rows as for one ------------------------------------------------------


@pytest.mark.parametrize("name", ["ana", "hana", "dee", "kim"])
@pytest.mark.parametrize("path", ["/pitches/", "/pitches/?all", "/rounds/"])
def test_a_list_asks_as_often_for_three_rows_as_for_one(stage: Stage, company: Company, name: str, path: str) -> None:
    client = company.client(company.person(name))
    stage.submitted("One")
    before = queries_of(client, path)

    stage.submitted("Two")
    membership_set(actor=company.system, user=company.ana, team=company.fraud, role=TeamRole.LEAD)
    stage.submitted("Three", team=company.fraud)

    assert queries_of(client, path) == before


def test_a_published_round_asks_as_often_for_three_decisions_as_for_one(stage: Stage, company: Company) -> None:
    client, path = company.client(company.jo), f"/rounds/{stage.round.pk}/"
    pitches = [stage.submitted(title) for title in ("One", "Two", "Three")]
    stage.to_decide(*pitches)
    for pitch in pitches:
        stage.fund(pitch, "100")
    services.round_publish(actor=company.gil, round_=stage.round)
    three = queries_of(client, path)

    Pitch.objects.exclude(pk=pitches[0].pk).update(round=_empty_round(stage))

    assert queries_of(client, path) == three


def _empty_round(stage: Stage) -> Round:
    return services.round_create(
        actor=stage.company.gil,
        name="Elsewhere",
        cap=stage.round.cap_money,
        calendar=calendar(),
        starts_on=stage.round.starts_on,
        months=6,
    )
