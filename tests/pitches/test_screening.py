"""Screening: the platform checks the estimate, compliance the use of data; what is infeasible goes on no ballot."""

import pytest
from django.db import DatabaseError, connection, transaction

from pitches import services
from pitches.models import Aspect, Finding, Pitch, Screening
from pitches.selectors.screening import findings_of, screening_queue
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import Notification, User
from teams.selectors import standing_forget
from teams.services import membership_set
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, page_of
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
    services.voting_open(actor=company.gil, round_=stage.round)
    assert stage.now().state == "voting"


def test_a_finding_is_replaced_by_a_newer_one_and_kept(stage: Stage, company: Company, pitch: Pitch) -> None:
    screen(company.ivo, pitch, finding=Finding.INFEASIBLE)
    screen(company.ivo, pitch, finding=Finding.FEASIBLE)

    services.voting_open(actor=company.gil, round_=stage.round)

    assert list(Screening.objects.order_by("pk").values_list("finding", flat=True)) == ["infeasible", "feasible"]
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
