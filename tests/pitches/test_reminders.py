"""Reminders: seven days and one day before a deadline, once each, to those for whom something still waits."""

from datetime import datetime, timedelta

import pytest

from pitches import services
from pitches.services import reminders_send
from teams.models import Notification, User
from teams.services import inbox_read
from tests.cast import Company
from tests.pitches.stage import Stage, calendar, content

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def far(stage: Stage) -> None:
    """Put the deadlines a month apart, so that each has windows of its own."""
    services.round_reschedule(
        actor=stage.company.gil, round_=stage.round, calendar=calendar(days=30), reason="More time for everybody"
    )
    stage.now()


def reminded(since: int = 0) -> set[tuple[str, str]]:
    """Return who was reminded of what, by first name."""
    rows = Notification.objects.filter(key__startswith="remind:", pk__gt=since).select_related("user")
    return {(row.user.name.split()[0], row.title) for row in rows}


def newest() -> int:
    return Notification.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def test_who_still_has_to_review_is_reminded_a_week_and_a_day_before(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.submitted("Second")
    stage.to_review()
    stage.review(company.dee, pitch)
    due = stage.round.reviews_close_at

    assert reminders_send(at=due - 8 * DAY) == 0
    assert reminders_send(at=due - 7 * DAY + HOUR) == 4
    assert reminded() == {
        ("Gil", "7 days left: 2 reviews to write"),
        ("Dee", "7 days left: 1 review to write"),
        ("Eli", "7 days left: 2 reviews to write"),
        ("Fay", "7 days left: 2 reviews to write"),
    }
    assert reminders_send(at=due - 7 * DAY + 2 * HOUR) == 0
    assert reminders_send(at=due - 4 * DAY) == 0

    before = newest()
    for each in (pitch, stage.round.pitches.get(title="Second")):
        stage.review(company.eli, each)
    assert reminders_send(at=due - DAY + HOUR) == 3
    assert {name for name, _ in reminded(before)} == {"Gil", "Dee", "Fay"}
    assert reminders_send(at=due) == 0


def test_a_reminder_that_was_read_is_not_sent_again(stage: Stage, company: Company) -> None:
    stage.submitted()
    stage.to_review()
    at = stage.round.reviews_close_at - HOUR
    reminders_send(at=at)
    inbox_read(actor=company.dee)

    assert reminders_send(at=at) == 0


def test_a_deadline_that_moves_is_reminded_of_anew(stage: Stage, company: Company) -> None:
    stage.submitted()
    stage.to_review()
    assert reminders_send(at=stage.round.reviews_close_at - HOUR) == 4
    services.round_reschedule(
        actor=company.gil, round_=stage.round, calendar=calendar(days=40), reason="More time for everybody"
    )

    assert reminders_send(at=stage.now().reviews_close_at - HOUR) == 4


@pytest.mark.parametrize("late", [6 * DAY - HOUR, 3 * DAY])
def test_a_run_that_comes_between_the_windows_sends_nothing(stage: Stage, company: Company, late: timedelta) -> None:
    stage.submitted()
    stage.to_review()

    assert reminders_send(at=stage.round.reviews_close_at - late) == 0


def told(person: User, at: datetime) -> list[str]:
    reminders_send(at=at)
    rows = Notification.objects.filter(user=person, key__startswith="remind:").order_by("pk")
    return list(rows.values_list("title", flat=True))


def test_the_team_is_reminded_of_its_draft(stage: Stage, company: Company) -> None:
    stage.pitch("Half a draft")

    assert told(company.ana, stage.round.submissions_close_at - HOUR) == ["One day left: Half a draft"]
    assert told(company.cy, stage.round.submissions_close_at - HOUR) == []


def test_the_team_is_reminded_to_answer_a_question(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    services.pitch_return(actor=company.eli, pitch=pitch, note="How was it measured?")

    assert told(company.ana, stage.round.reviews_close_at - HOUR) == ["One day left: Claims triage"]


def test_members_are_reminded_to_declare_and_the_chair_to_screen(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    # While it is sealed nobody can do anything about it.
    assert told(company.gil, stage.round.submissions_close_at - HOUR) == []
    assert told(company.gil, stage.round.reviews_close_at - HOUR) == []
    services.review_start(actor=company.gil, round_=stage.round)
    services.pitch_return(actor=company.eli, pitch=pitch, note="How was it measured?")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    stage.now()

    at = stage.round.reviews_close_at - HOUR
    assert told(company.gil, at) == [
        "One day left: Declare your conflicts about 1 pitch",
        "One day left: 1 pitch to screen",
    ]
    assert told(company.dee, at) == ["One day left: Declare your conflicts about 1 pitch"]


def test_members_are_reminded_to_vote_and_those_who_did_are_not(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch)

    at = stage.round.voting_closes_at - HOUR
    assert (told(company.eli, at), told(company.dee, at)) == (["One day left: 1 ballot to cast"], [])


def test_the_chair_is_reminded_to_decide_and_where_recused_another_member(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    services.recusal_declare(actor=company.gil, pitch=pitch, reason="I advised the team.")
    other = stage.submitted("Another")
    stage.to_vote()
    services.voting_close(actor=company.gil, round_=stage.round)

    at = stage.round.answers_due_at - HOUR
    assert told(company.gil, at) == ["One day left: 1 pitch to decide"]
    assert told(company.eli, at) == ["One day left: 1 pitch to decide"]
    for member, theirs in ((company.gil, other), (company.eli, pitch)):
        line = Notification.objects.get(user=member, key__startswith="remind:")
        assert theirs.title not in line.title + line.body


def test_the_lead_is_reminded_to_answer_an_offer(stage: Stage, company: Company) -> None:
    [offer] = stage.offered()

    assert told(company.ana, offer.expires_at - HOUR) == ["One day left: Answer the offer for Claims triage"]
    assert told(company.bo, offer.expires_at - HOUR) == []
    stage.accepted(offer)
    assert len(told(company.ana, offer.expires_at - HOUR)) == 1


def test_nobody_is_reminded_of_what_they_are_recused_from(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I built its pilot.")

    assert told(company.dee, stage.round.reviews_close_at - HOUR) == []


def test_who_left_the_company_is_not_reminded(stage: Stage, company: Company) -> None:
    stage.submitted()
    stage.to_review()
    User.objects.filter(pk=company.dee.pk).update(is_active=False)

    assert told(company.dee, stage.round.reviews_close_at - HOUR) == []


def test_a_reminder_says_until_when_in_the_companys_time(stage: Stage, company: Company, settings: object) -> None:
    settings.TIME_ZONE_LOCAL = "Asia/Tokyo"  # type: ignore[attr-defined]
    stage.submitted()
    stage.to_review()
    reminders_send(at=stage.round.reviews_close_at - HOUR)

    body = Notification.objects.filter(key__startswith="remind:").values_list("body", flat=True)[0]
    assert body.startswith("Q1. Until ")
    assert body.endswith(" Asia/Tokyo.")
