"""Cloned rounds, and drafts that missed theirs: nothing that was written is lost."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.asking import DEFAULT_CHECKLIST, Asked, Check, Condition, Terms
from pitches.models import Pitch, Round
from pitches.questions import QuestionKind, SectionCode
from pitches.selectors.asking import terms_of
from pitches.services import Calendar, Rules
from teams.errors import NotAllowed, Refused
from teams.models import AuditEvent, Notification, Role, RoleGrant
from tests.cast import Company
from tests.pitches.stage import Stage, calendar, of

pytestmark = pytest.mark.django_db


def berlin(company: Company) -> Round:
    """Prepare a round whose deadlines are at 17:00 in Berlin before the clocks go forward."""
    closes = datetime(2027, 1, 31, 16, 0, tzinfo=UTC)
    return services.round_create(
        actor=company.gil,
        name="Winter",
        cap=usd("5000"),
        calendar=Calendar(*(closes + timedelta(days=7 * step) for step in range(4))),
        starts_on=date(2027, 3, 31),
        months=3,
        time_zone="Europe/Berlin",
        rules=Rules(
            reserve_share=Decimal("0.2"),
            hurdle=Decimal("1.5"),
            quorum=2,
            team_cap=Decimal("0.5"),
            frontier_cap=Decimal("0.25"),
            reviews_per_pitch=2,
        ),
        criteria=[("Value", "How much?", 60), ("Delivery", "Will it run?", 40)],
        recurs_months=6,
    )


def test_a_clone_has_the_same_rules_criteria_and_committee(company: Company) -> None:
    source = berlin(company)
    services.seat_set(actor=company.gil, round_=source, user=company.gil, is_chair=True)
    services.seat_set(actor=company.gil, round_=source, user=company.dee)

    clone = services.round_clone(actor=company.gil, round_=source, name="Spring", months=3)

    clone.refresh_from_db()
    same = ("cap", "reserve_share", "hurdle", "quorum", "team_cap", "frontier_cap", "reviews_per_pitch", "months")
    assert {name: getattr(clone, name) for name in same} == {name: getattr(source, name) for name in same}
    assert (clone.state, clone.cloned_from, clone.repeats, clone.recurs_months) == ("draft", source, None, 6)
    assert list(clone.criteria.order_by("position").values_list("name", "weight")) == [("Value", 60), ("Delivery", 40)]
    assert {(seat.user, seat.is_chair) for seat in clone.seats.all()} == {(company.gil, True), (company.dee, False)}
    assert AuditEvent.objects.get(verb="round.clone").details == {"from": "Winter"}


def test_dates_move_by_months_and_the_local_hour_stays(company: Company) -> None:
    clone = services.round_clone(actor=company.gil, round_=berlin(company), name="Spring", months=3)

    clone.refresh_from_db()
    # 31 January 17:00 in Berlin, one hour ahead; three months later is the last of April, two hours ahead.
    assert clone.submissions_close_at == datetime(2027, 4, 30, 15, 0, tzinfo=UTC)
    assert clone.starts_on == date(2027, 6, 30)


def test_who_lost_the_role_gets_no_seat_in_the_clone(company: Company) -> None:
    source = berlin(company)
    for person in (company.gil, company.dee):
        services.seat_set(actor=company.gil, round_=source, user=person, is_chair=person == company.gil)
    RoleGrant.objects.filter(user=company.dee, role=Role.COMMITTEE).delete()

    clone = services.round_clone(actor=company.gil, round_=source, name="Spring", months=3)

    assert [seat.user for seat in clone.seats.all()] == [company.gil]


def test_a_clone_asks_the_same_questions_and_has_the_same_checklist(company: Company) -> None:
    source, opinion = berlin(company), Condition("data_class", ("personal",))
    questions = (
        Asked("people", SectionCode.CASE, "How many do it today?", QuestionKind.NUMBER, "Full-time.", required=False),
        Asked(
            "basis",
            SectionCode.DATA,
            "On what legal basis?",
            QuestionKind.CHOICE,
            choices=("Contract", "Consent"),
            shown_when=opinion,
        ),
    )
    said = Terms((*DEFAULT_CHECKLIST, Check("no_printing", "Nothing is printed.", explain_no=False)), questions)
    services.terms_set(actor=company.gil, round_=source, terms=said)

    clone = services.round_clone(actor=company.gil, round_=source, name="Spring", months=3)

    assert terms_of(clone) == terms_of(source) == said


def test_a_question_that_is_changed_in_the_clone_stays_as_it_was_in_the_round(company: Company) -> None:
    source = berlin(company)
    asked = Asked("people", SectionCode.CASE, "How many do it today?", QuestionKind.NUMBER)
    services.questions_set(actor=company.gil, round_=source, questions=[asked])
    clone = services.round_clone(actor=company.gil, round_=source, name="Spring", months=3)

    services.questions_set(actor=company.gil, round_=clone, questions=[])

    assert [question.code for question in terms_of(source).questions] == ["people"]
    assert terms_of(clone).questions == ()


def test_a_name_is_given_once_and_only_by_who_prepares_rounds(company: Company) -> None:
    source = berlin(company)

    with pytest.raises(Refused, match="already exists"):
        services.round_clone(actor=company.gil, round_=source, name="Winter", months=3)
    for name in ("dee", "ana", "jo", "ivo"):
        with pytest.raises(NotAllowed):
            services.round_clone(actor=company.person(name), round_=source, name="Spring", months=3)
    assert Round.objects.count() == 1


def test_a_round_is_cloned_on_a_page(stage: Stage, company: Company) -> None:
    gil, path = company.client(company.gil), f"/admin/pitches/round/{stage.round.pk}/clone/"
    assert gil.post(path, {"name": "Q1", "months": "3"}).status_code == 422

    answer = gil.post(path, {"name": "Q2", "months": "3"})

    clone = Round.objects.get(name="Q2")
    assert answer["Location"] == f"/admin/pitches/round/{clone.pk}/edit/"
    assert gil.get(answer["Location"]).status_code == 200
    assert company.client(company.dee).get(path).status_code == 404


# --- Drafts that missed their round ------------------------------------------------------------------


def next_round(stage: Stage, name: str = "Q2", days: int = 9) -> Round:
    gil = stage.company.gil
    round_ = services.round_create(
        actor=gil, name=name, cap=usd("5000"), calendar=calendar(days), starts_on=today(), months=3
    )
    for member in stage.members:
        services.seat_set(actor=gil, round_=round_, user=member, is_chair=member == gil)
    return round_


def test_drafts_go_on_to_the_open_round_that_closes_next(stage: Stage, company: Company) -> None:
    draft, submitted = stage.pitch("Late"), stage.submitted("In time")
    services.draft_save(actor=company.bo, pitch=draft, typed={"title": "Late", "problem": "Half a"}, version=0)
    for name, days in (("Q3", 12), ("Q2", 9)):
        services.round_open(actor=company.gil, round_=next_round(stage, name, days), reason="As planned")

    stage.to_review()

    draft.refresh_from_db()
    submitted.refresh_from_db()
    assert (draft.round.name, draft.state, draft.draft["problem"]) == ("Q2", "draft", "Half a")
    assert submitted.round == stage.round
    event = AuditEvent.objects.get(verb="pitch.carry_over")
    assert (event.reason, event.details) == ("Q1 closed without it; it goes on in Q2.", {"from": "Q1", "to": "Q2"})
    assert Notification.objects.filter(user=company.ana, title="The draft Late was carried over to Q2").exists()
    assert b"it goes on in Q2" in company.client(company.ana).get(of("", draft)).content


def test_where_no_round_is_open_drafts_wait_and_the_next_one_takes_them(stage: Stage, company: Company) -> None:
    draft = stage.pitch("Late")
    stage.to_review()
    draft.refresh_from_db()
    assert draft.round == stage.round
    assert Notification.objects.filter(user=company.ana, title="The draft Late waits for the next round").count() == 1

    services.round_open(actor=company.gil, round_=next_round(stage), reason="As planned")

    draft.refresh_from_db()
    assert draft.round.name == "Q2"
    assert b"Waits for the next round" in company.client(company.ana).get(of("", draft)).content


def test_drafts_of_a_cancelled_round_are_not_lost(stage: Stage, company: Company) -> None:
    draft = stage.pitch("Late")
    services.round_open(actor=company.gil, round_=next_round(stage), reason="As planned")

    services.round_cancel(actor=company.hana, round_=stage.round, reason="The budget was cut")

    draft.refresh_from_db()
    assert draft.round.name == "Q2"


def test_drafts_of_other_open_rounds_stay_where_they_are(stage: Stage, company: Company) -> None:
    other = services.round_open(actor=company.gil, round_=next_round(stage), reason="As planned")
    draft = services.pitch_create(actor=company.cy, round_=other, team=company.fraud, title="Graph")

    stage.to_review()

    assert Pitch.objects.get(pk=draft.pk).round == other
    assert not AuditEvent.objects.filter(verb="pitch.carry_over").exists()
