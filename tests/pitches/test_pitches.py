"""Pitches: drafts keep what was typed, revisions are for ever, and the calendar decides what is still possible."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection, transaction

from ledger.models import AiModel, Tier
from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.models import Pitch, PitchRevision, QuoteLine, Round
from pitches.questions import Basis, Case
from pitches.services import DraftConflict
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification
from tests.cast import Company
from tests.pitches.stage import ITEM, Stage, calendar, content

pytestmark = pytest.mark.django_db


def now(pitch: Pitch) -> Pitch:
    return Pitch.objects.get(pk=pitch.pk)


def past_deadline(stage: Stage) -> None:
    Round.objects.filter(pk=stage.round.pk).update(submissions_close_at=datetime.now(UTC) - timedelta(minutes=1))


def test_a_member_begins_a_draft_for_the_team_and_owns_it(stage: Stage, company: Company) -> None:
    pitch = stage.pitch("Letters", lead=company.bo)

    assert (pitch.state, pitch.owner, pitch.title, pitch.draft) == (
        "draft",
        company.bo,
        "Letters",
        {"title": "Letters"},
    )


@pytest.mark.parametrize("name", ["cy", "dee", "gil", "hana", "ivo", "jo", "kim"])
def test_nobody_else_pitches_for_a_team(stage: Stage, company: Company, name: str) -> None:
    with pytest.raises(NotAllowed):
        stage.pitch("Letters", lead=company.person(name))


def test_a_draft_keeps_what_was_typed_valid_or_not(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    typed = {"title": " Letters ", "value_p50": "about 40k", "items-0-calls_target": "1,00", "problem": "<b>'\"; --"}

    services.draft_save(actor=company.bo, pitch=pitch, typed=typed, version=0)

    assert (now(pitch).draft, now(pitch).title, now(pitch).draft_version) == (typed, "Letters", 1)


def test_a_draft_loses_nothing_but_what_no_database_keeps(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()

    services.draft_save(actor=company.ana, pitch=pitch, typed={"title": "A\x00B", "problem": "☃ \u202e"}, version=0)

    assert now(pitch).draft == {"title": "AB", "problem": "☃ \u202e"}


def test_two_people_who_type_at_once_notice_each_other(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    services.draft_save(actor=company.ana, pitch=pitch, typed={"title": "Hers"}, version=0)

    with pytest.raises(DraftConflict, match="Somebody else saved this draft"):
        services.draft_save(actor=company.bo, pitch=pitch, typed={"title": "His"}, version=0)

    assert now(pitch).title == "Hers"


def test_saving_the_same_again_is_no_new_version(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    services.draft_save(actor=company.ana, pitch=pitch, typed={"title": "Letters"}, version=0)

    services.draft_save(actor=company.ana, pitch=pitch, typed={"title": "Letters"}, version=1)

    assert now(pitch).draft_version == 1


def test_a_draft_has_an_end(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()

    with pytest.raises(Refused, match="at most 200,000 characters"):
        services.draft_save(actor=company.ana, pitch=pitch, typed={"problem": "x" * 200_000}, version=0)


def test_a_revision_keeps_the_whole_pitch_with_its_quote(stage: Stage, company: Company) -> None:
    revision = stage.submitted().submitted

    assert (revision.number, revision.submitted_by, revision.months) == (1, company.ana, 6)
    assert [(item.workflow, item.calls_target) for item in revision.line_items.all()] == [("Triage", 100_000)]
    assert [row.title for row in revision.milestones.all()] == ["Pilot with one desk"]
    asked = QuoteLine.objects.filter(revision=revision, basis=Basis.ASKED)
    assert {line.case: line.expected for line in asked} == {Case.MIN: 1200, Case.TARGET: 2400, Case.STRETCH: 4800}
    whole = QuoteLine.objects.filter(revision=revision, basis=Basis.WHOLE, case=Case.TARGET)
    assert {line.tier: line.expected for line in whole} == {
        Tier.FRONTIER: 12_000,
        Tier.STANDARD: 2400,
        Tier.ECONOMY: 540,
        Tier.BATCH: 1200,
    }


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pitches_pitchrevision SET title = 'Another'",
        "DELETE FROM pitches_pitchrevision",
        "UPDATE pitches_lineitem SET calls_target = 1",
        "DELETE FROM pitches_quoteline",
        "UPDATE pitches_milestone SET title = 'Another'",
        "TRUNCATE pitches_lineitem",
    ],
)
def test_a_revision_never_changes(stage: Stage, change: str) -> None:
    stage.submitted()

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_a_price_that_changes_later_does_not_touch_what_was_submitted(stage: Stage, company: Company) -> None:
    first = stage.submitted().submitted
    AiModel.objects.filter(tier=Tier.STANDARD).update(is_enabled=False)

    kept = QuoteLine.objects.get(revision=first, basis=Basis.ASKED, case=Case.TARGET)

    assert kept.expected == 2400


@pytest.mark.parametrize("name", ["bo", "cy", "dee", "gil", "hana", "jo", "kim"])
def test_only_a_lead_submits(stage: Stage, company: Company, name: str) -> None:
    pitch = stage.pitch()

    with pytest.raises(NotAllowed):
        services.pitch_submit(actor=company.person(name), pitch=pitch, content=content(company.jo))

    assert now(pitch).state == "draft"


def test_a_submission_tells_the_chair_and_nobody_who_has_a_conflict(stage: Stage, company: Company) -> None:
    pitch = stage.submitted("Letters")

    told = Notification.objects.filter(title=f"Q1: {pitch.number} was submitted, sealed")
    assert [notice.user for notice in told] == [company.gil]
    assert not Notification.objects.filter(title__contains="Letters").exists()


def test_somebody_else_signs_off_the_value(stage: Stage, company: Company) -> None:
    with pytest.raises(Refused, match="Somebody else than owner and submitter") as refused:
        services.pitch_submit(actor=company.ana, pitch=stage.pitch(), content=content(company.ana))

    assert refused.value.field == "sign_off"


def test_work_on_a_tier_without_models_is_refused(stage: Stage, company: Company) -> None:
    AiModel.objects.filter(tier=Tier.STANDARD).update(is_enabled=False)

    with pytest.raises(Refused, match="No model with a price is offered on the Standard tier"):
        services.pitch_submit(actor=company.ana, pitch=stage.pitch(), content=content(company.kim))

    assert PitchRevision.objects.count() == 0


def test_an_ask_of_nothing_is_refused(stage: Stage, company: Company) -> None:
    nothing = content(company.kim, items=(type(ITEM)("Nothing", Tier.STANDARD, 0, 0, 0, 0, 0, 0, 0),))

    with pytest.raises(Refused, match="the ask is zero"):
        services.pitch_submit(actor=company.ana, pitch=stage.pitch(), content=nothing)


def test_after_the_last_day_nothing_new_is_begun_or_submitted(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    past_deadline(stage)

    with pytest.raises(WrongState, match="does not take pitches now"):
        services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    with pytest.raises(WrongState, match="does not take pitches now"):
        stage.pitch("Another")


def test_a_returned_pitch_comes_back_while_the_others_are_reviewed(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    services.pitch_return(actor=company.eli, pitch=pitch, note="Which cases were measured?")
    past_deadline(stage)

    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim, problem="Two people read."))

    assert (now(pitch).state, now(pitch).submitted.number) == ("submitted", 2)
    with pytest.raises(Refused, match="take it into review or return it first"):
        services.voting_open(actor=company.gil, round_=stage.round)
    services.pitch_take_in(actor=company.fay, pitch=pitch)
    assert now(pitch).state == "in_review"


def test_a_pitch_is_returned_with_words(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()

    with pytest.raises(Refused, match="Say what the team should change"):
        services.pitch_return(actor=company.dee, pitch=pitch, note="  no  ")


def test_a_submitted_pitch_cannot_be_typed_into(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()

    with pytest.raises(WrongState, match="cannot be edited"):
        services.draft_save(actor=company.ana, pitch=pitch, typed={"title": "x"}, version=0)
    with pytest.raises(WrongState, match="cannot be edited"):
        services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))


def test_a_lead_withdraws_with_a_reason_until_the_committee_decides(stage: Stage, company: Company) -> None:
    first, second = stage.submitted("First"), stage.submitted("Second")
    with pytest.raises(Refused, match="Give a reason"):
        services.pitch_withdraw(actor=company.ana, pitch=first, reason=" ")
    with pytest.raises(NotAllowed):
        services.pitch_withdraw(actor=company.bo, pitch=first, reason="Not mine")

    services.pitch_withdraw(actor=company.ana, pitch=first, reason="Bought instead")

    assert now(first).state == "withdrawn"
    assert AuditEvent.objects.get(verb="pitch.withdraw").reason == "Bought instead"
    stage.to_decide(second)
    with pytest.raises(WrongState, match="The committee is deciding"):
        services.pitch_withdraw(actor=company.ana, pitch=second, reason="Too late")


def test_a_draft_that_missed_its_round_is_carried_over(stage: Stage, company: Company) -> None:
    pitch = stage.pitch("Late")
    later = next_round(stage)
    with pytest.raises(WrongState, match="Its own round still takes it"):
        services.pitch_carry_over(actor=company.bo, pitch=pitch, round_=later)
    past_deadline(stage)

    onward = services.pitch_carry_over(actor=company.bo, pitch=pitch, round_=later)

    assert (onward.pk, now(pitch).round) == (pitch.pk, later)


def test_a_returned_pitch_goes_on_in_another_round_as_a_new_draft(stage: Stage, company: Company) -> None:
    pitch = stage.submitted("Returned")
    stage.peek(company.dee, pitch)
    services.pitch_return(actor=company.dee, pitch=pitch, note="Please measure it first.")
    stage.submitted("Another")
    stage.to_vote()
    later = next_round(stage)

    onward = services.pitch_carry_over(actor=company.ana, pitch=pitch, round_=later)

    assert (onward.state, onward.round, onward.title) == ("draft", later, "Returned")
    assert now(pitch).state == "withdrawn"
    assert AuditEvent.objects.get(verb="pitch.withdraw").reason == f"Continued as {onward.number} in Q2."


def next_round(stage: Stage) -> Round:
    gil = stage.company.gil
    round_ = services.round_create(
        actor=gil, name="Q2", cap=usd("5000"), calendar=calendar(), starts_on=today(), months=3
    )
    for member in stage.members:
        services.seat_set(actor=gil, round_=round_, user=member, is_chair=member == gil)
    return services.round_open(actor=gil, round_=round_, reason="The second quarter")
