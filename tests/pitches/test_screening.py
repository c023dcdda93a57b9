"""Screening: the platform checks the estimate, compliance the use of data; what is infeasible goes on no ballot."""

import pytest
from django.db import DatabaseError, connection, transaction

from pitches import services
from pitches.models import Aspect, Finding, Pitch, Screening
from pitches.selectors.minutes import minutes_of
from pitches.selectors.screening import findings_of, screening_queue
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification, User
from teams.selectors import standing_forget
from teams.services import membership_set
from teams.withheld import events_open_to
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, page_of
from tests.pages import typed as stands_in
from tests.pitches.stage import Stage, content, of, queries_of

pytestmark = pytest.mark.django_db

WHY = "Checked against last month's calls."


def screen(
    actor: User, pitch: Pitch, aspect: Aspect = Aspect.ESTIMATE, finding: Finding = Finding.FEASIBLE, reason: str = WHY
) -> Screening:
    pitch.refresh_from_db()
    return services.screening_record(
        actor=actor,
        pitch=pitch,
        revision_number=pitch.submitted.number,
        aspect=aspect,
        finding=finding,
        reason=reason,
    )


def note(person: User, pitch: Pitch) -> None:
    """Write a screening past the service."""
    Screening.objects.create(
        revision=pitch.submitted, aspect="estimate", finding="feasible", reason="Unseen", by=person
    )


@pytest.fixture
def pitch(stage: Stage) -> Pitch:
    pitch = stage.submitted()
    stage.to_review()
    return pitch


def test_each_aspect_is_for_its_own_role(company: Company, pitch: Pitch) -> None:
    for aspect, one in ((Aspect.ESTIMATE, "ivo"), (Aspect.COMPLIANCE, "mia")):
        for name in {*PEOPLE, "mia"} - {one}:
            with pytest.raises(NotAllowed):
                screen(company.person(name), pitch, aspect)
        screen(company.person(one), pitch, aspect)

    found = findings_of([pitch])[pitch.pk]
    assert {aspect: (row.finding, row.by) for aspect, row in found.items()} == {
        Aspect.ESTIMATE: ("feasible", company.ivo),
        Aspect.COMPLIANCE: ("feasible", company.mia),
    }


def test_nobody_screens_a_pitch_that_they_have_a_conflict_about(company: Company, pitch: Pitch) -> None:
    membership_set(actor=company.system, user=company.ivo, team=company.claims, role="member")
    standing_forget(company.ivo)

    with pytest.raises(NotAllowed):
        screen(company.ivo, pitch)
    assert screening_queue(company.ivo) == []
    with pytest.raises(DatabaseError, match="conflict of interest"), transaction.atomic():
        Screening.objects.create(
            revision=pitch.submitted, aspect="estimate", finding="feasible", reason="x", by=company.ivo
        )


def test_what_is_sealed_is_not_screened(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()

    with pytest.raises(NotAllowed):
        screen(company.ivo, pitch)
    assert screening_queue(company.ivo) == []
    with pytest.raises(DatabaseError, match="is sealed"), transaction.atomic():
        Screening.objects.create(
            revision=pitch.submitted, aspect="estimate", finding="feasible", reason="x", by=company.ivo
        )


def test_what_is_infeasible_keeps_the_vote_closed(stage: Stage, company: Company, pitch: Pitch) -> None:
    screen(company.mia, pitch, Aspect.COMPLIANCE, Finding.INFEASIBLE, "Health data may not leave the country.")

    with pytest.raises(
        Refused, match="Found infeasible, so to be returned or declined first: Claims triage"
    ) as refused:
        services.voting_open(actor=company.gil, round_=stage.round)

    assert refused.value.code == "infeasible"
    assert Notification.objects.filter(user=company.gil, title="Claims triage: compliance infeasible").exists()
    with pytest.raises(DatabaseError, match="found infeasible"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE pitches_pitch SET state = 'shortlisted'")


def test_the_chair_declines_it_with_the_reason_and_the_vote_goes_on(
    stage: Stage, company: Company, pitch: Pitch
) -> None:
    screen(company.mia, pitch, Aspect.COMPLIANCE, Finding.INFEASIBLE)
    with pytest.raises(NotAllowed):
        services.pitch_rule_out(actor=company.dee, pitch=pitch, reason="Health data may not leave the country.")
    with pytest.raises(Refused, match="Give the reason"):
        services.pitch_rule_out(actor=company.gil, pitch=pitch, reason="No.")

    services.pitch_rule_out(actor=company.gil, pitch=pitch, reason="Health data may not leave the country.")

    pitch.refresh_from_db()
    assert pitch.state == "declined"
    told = Notification.objects.get(user=company.ana, title="Claims triage was declined: it is not feasible")
    assert told.body == "Health data may not leave the country."


def test_only_what_is_infeasible_is_declined_without_a_vote(company: Company, pitch: Pitch) -> None:
    screen(company.ivo, pitch, finding=Finding.PROBLEM)

    with pytest.raises(WrongState, match="Only what a screening found infeasible"):
        services.pitch_rule_out(actor=company.gil, pitch=pitch, reason="We do not like it at all.")


def test_a_new_revision_is_screened_anew(stage: Stage, company: Company, pitch: Pitch) -> None:
    screen(company.ivo, pitch, finding=Finding.INFEASIBLE)
    services.pitch_return(actor=company.gil, pitch=pitch, note="The estimate forgets the retries.")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    services.pitch_take_in(actor=company.gil, pitch=pitch)

    assert findings_of([pitch]) == {pitch.pk: {}}
    screen(company.ivo, pitch)
    screen(company.mia, pitch, Aspect.COMPLIANCE)
    services.voting_open(actor=company.gil, round_=stage.round)
    assert stage.now().state == "voting"


def test_what_was_not_screened_keeps_the_vote_closed_unless_the_chair_says_why(
    stage: Stage, company: Company, pitch: Pitch
) -> None:
    screen(company.ivo, pitch)
    gil, step = company.client(company.gil), f"/admin/pitches/round/{stage.round.pk}/step/vote/"
    asked = page_of(gil.get(f"/admin/pitches/round/{stage.round.pk}/desk/"))
    assert asked.one("ul", class_="unscreened").text == "Claims triage: no compliance"

    short = gil.post(step, {"reason": "No time"})

    assert (short.status_code, stands_in(short, "reason")) == (422, "No time")
    assert error_beside(short, "reason") == (
        "Not screened by both, the platform and compliance: Claims triage. Wait for that, or say in at least 10 "
        "characters why the vote opens without it."
    )
    assert stage.now().state == "reviewing"
    gil.post(step, {"reason": "Compliance is away until May, and nothing here is personal."})

    assert stage.now().state == "voting"
    event = AuditEvent.objects.get(verb="round.vote")
    assert (event.actor, event.reason, event.details["unscreened"]) == (
        company.gil,
        "Compliance is away until May, and nothing here is personal.",
        [pitch.pk],
    )
    assert AuditEvent.objects.get(verb="pitch.shortlist").reason == "The reviews ended. Not screened: compliance."
    assert minutes_of(company.gil, stage.round).entries[-1].text == (
        "ended the reviews and opened the vote without a screening by both of “Claims triage”: "
        "Compliance is away until May, and nothing here is personal."
    )


def test_what_a_member_is_recused_from_is_not_in_their_minutes_of_a_vote_without_screening(
    stage: Stage, company: Company, pitch: Pitch
) -> None:
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I built its pilot.")
    services.voting_open(actor=company.gil, round_=stage.round, reason="Both screeners are away until May.")

    assert minutes_of(company.dee, stage.round).entries[-1].text == "ended the reviews and opened the vote."
    vote = AuditEvent.objects.filter(verb="round.vote")
    seen = [events_open_to(member, vote).count() for member in (company.dee, company.eli)]
    assert seen == [0, 1]


def test_a_chair_who_is_recused_is_not_told_by_name_what_keeps_the_vote_closed(
    stage: Stage, company: Company, pitch: Pitch
) -> None:
    services.recusal_declare(actor=company.gil, pitch=pitch, reason="I built its pilot.")
    desk = page_of(company.client(company.gil).get(f"/admin/pitches/round/{stage.round.pk}/desk/"))
    assert (desk.all("ul", class_="unscreened"), len(desk.all("textarea", id="id_reason"))) == ([], 1)

    with pytest.raises(Refused, match="platform and compliance: what you are recused from\\. Wait"):
        services.voting_open(actor=company.gil, round_=stage.round)
    screen(company.mia, pitch, Aspect.COMPLIANCE, Finding.INFEASIBLE)
    with pytest.raises(Refused, match="declined first: what you are recused from\\."):
        services.voting_open(actor=company.gil, round_=stage.round)


def test_a_finding_is_replaced_by_a_newer_one_and_kept(stage: Stage, company: Company, pitch: Pitch) -> None:
    screen(company.ivo, pitch, finding=Finding.INFEASIBLE)
    screen(company.ivo, pitch, finding=Finding.FEASIBLE)
    screen(company.mia, pitch, Aspect.COMPLIANCE)

    services.voting_open(actor=company.gil, round_=stage.round)

    assert [row.finding for row in Screening.objects.order_by("pk")] == ["infeasible", "feasible", "feasible"]
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE pitches_screening SET finding = 'feasible'")


def test_a_finding_needs_a_reason_and_the_current_revision(company: Company, pitch: Pitch) -> None:
    with pytest.raises(Refused, match="at least 10 characters"):
        screen(company.ivo, pitch, reason=" fine ")
    with pytest.raises(Refused, match="a newer revision"):
        services.screening_record(
            actor=company.ivo,
            pitch=pitch,
            revision_number=2,
            aspect=Aspect.ESTIMATE,
            finding=Finding.FEASIBLE,
            reason=WHY,
        )


def test_reviewers_and_the_team_read_what_was_found(company: Company, pitch: Pitch) -> None:
    screen(company.ivo, pitch, finding=Finding.PROBLEM, reason="Twice the tokens of the pilot.")

    reviewer = page_of(company.client(company.dee).get(f"/admin/pitches/round/pitch/{pitch.pk}/"))
    team = page_of(company.client(company.ana).get(of("", pitch)))

    assert "Estimate: problem. Twice the tokens of the pilot." in reviewer.text
    assert "Twice the tokens of the pilot." in team.one("main").text


def test_the_queue_is_for_who_screens_and_empties(stage: Stage, company: Company, pitch: Pitch) -> None:
    seen = {
        name for name in (*PEOPLE, "mia") if company.client(company.person(name)).get("/screening/").status_code == 200
    }
    assert seen == {"ivo", "mia"}
    mia = company.client(company.mia)
    assert "Claims triage" in page_of(mia.get("/screening/")).one("main").text
    assert_readable(mia.get("/screening/"))

    page = mia.get(f"/screening/{pitch.pk}/")
    assert_readable(page)
    refused = mia.post(
        f"/screening/{pitch.pk}/", {"aspect": "compliance", "finding": "", "revision": "1", "reason": "so"}
    )
    assert refused.status_code == 422
    form = {"aspect": "compliance", "finding": "feasible", "revision": "1", "reason": WHY}
    assert mia.post(f"/screening/{pitch.pk}/", form)["Location"] == "/screening/"

    assert Screening.objects.get().by == company.mia
    assert screening_queue(company.mia)[0].waiting == []
    Pitch.objects.all().update(state="withdrawn")
    assert page_of(mia.get("/screening/")).one("main").all("div", class_="empty") != []
    assert mia.get(f"/screening/{pitch.pk}/").status_code == 404


def test_the_queue_asks_as_often_for_three_pitches_as_for_one(stage: Stage, company: Company) -> None:
    for title in ("One", "Two", "Three"):
        stage.submitted(title)
    stage.to_review()
    ivo = company.client(company.ivo)
    three = queries_of(ivo, "/screening/")

    Pitch.objects.exclude(title="One").update(state="withdrawn")

    assert queries_of(ivo, "/screening/") == three
