"""The committee's discussion: for members without a conflict, once their own review is in, and for ever."""

import pytest
from django.db import DatabaseError, connection, transaction

from pitches import services
from pitches.models import Pitch, Remark
from pitches.selectors.discussion import remarks_shown_to
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent
from tests.cast import Company
from tests.pages import page_of, typed
from tests.pitches.stage import Stage, content

pytestmark = pytest.mark.django_db

SAID = "The pilot ran on one desk only."


def path(pitch: Pitch, more: str = "") -> str:
    return f"/admin/pitches/round/pitch/{pitch.pk}/{more}"


@pytest.fixture
def pitch(stage: Stage) -> Pitch:
    pitch = stage.submitted()
    stage.to_review()
    stage.review(stage.company.dee, pitch)
    return Pitch.objects.select_related("round").get(pk=pitch.pk)


def test_a_member_whose_review_is_in_talks_and_reads(stage: Stage, company: Company, pitch: Pitch) -> None:
    services.remark_add(actor=company.dee, pitch=pitch, body=f"  {SAID} ")
    assert remarks_shown_to(company.eli, pitch) == []
    with pytest.raises(NotAllowed, match="Hand in your own review first"):
        services.remark_add(actor=company.eli, pitch=pitch, body="I disagree.")

    stage.review(company.eli, pitch)

    [remark] = remarks_shown_to(company.eli, pitch)
    assert (remark.author, remark.body, remark.revision) == (company.dee, SAID, pitch.current)
    event = AuditEvent.objects.get(verb="remark.add")
    assert (event.actor, SAID in str(event.details)) == (company.dee, False)


def test_a_remark_stays_with_the_revision_that_it_was_about(stage: Stage, company: Company, pitch: Pitch) -> None:
    services.remark_add(actor=company.dee, pitch=pitch, body=SAID)
    services.pitch_return(actor=company.gil, pitch=pitch, note="Please measure on two desks.")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    services.pitch_take_in(actor=company.gil, pitch=pitch)
    pitch = Pitch.objects.get(pk=pitch.pk)

    # The review was of the first revision, so the discussion is closed again until one of the second is in.
    assert remarks_shown_to(company.dee, pitch) == []
    stage.review(company.dee, pitch)
    assert [remark.revision.number for remark in remarks_shown_to(company.dee, pitch)] == [1]


def test_who_is_recused_or_outside_sees_and_says_nothing(stage: Stage, company: Company, pitch: Pitch) -> None:
    services.remark_add(actor=company.dee, pitch=pitch, body=SAID)
    stage.review(company.fay, pitch)
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="My sister works there.")

    for name in ("fay", "ana", "hana", "ivo", "jo", "mia"):
        person = company.person(name)
        with pytest.raises(NotAllowed):
            services.remark_add(actor=person, pitch=pitch, body="Let me in.")
        assert SAID.encode() not in company.client(person).get(path(pitch)).content
    with pytest.raises(DatabaseError, match="conflict of interest"), transaction.atomic():
        Remark.objects.create(pitch=pitch, revision=pitch.submitted, author=company.fay, body="Let me in.")


def test_once_the_reviews_are_over_every_member_without_a_conflict_takes_part(
    stage: Stage, company: Company, pitch: Pitch
) -> None:
    services.remark_add(actor=company.dee, pitch=pitch, body=SAID)
    stage.to_vote()
    pitch = Pitch.objects.get(pk=pitch.pk)

    services.remark_add(actor=company.fay, pitch=pitch, body="Then let us fund half.")

    assert [remark.author for remark in remarks_shown_to(company.gil, pitch)] == [company.dee, company.fay]


def test_when_the_round_is_published_the_discussion_is_over(stage: Stage, company: Company) -> None:
    [offer] = stage.offered()

    with pytest.raises(WrongState, match="has finished with this round"):
        services.remark_add(actor=company.dee, pitch=offer.pitch, body=SAID)


@pytest.mark.parametrize("body", ["  ", "x" * 4001])
def test_a_remark_says_something_and_has_an_end(company: Company, pitch: Pitch, body: str) -> None:
    with pytest.raises(Refused, match="1 to 4,000 characters"):
        services.remark_add(actor=company.dee, pitch=pitch, body=body)


@pytest.mark.parametrize("change", ["UPDATE pitches_remark SET body = 'x'", "DELETE FROM pitches_remark"])
def test_a_remark_never_changes(company: Company, pitch: Pitch, change: str) -> None:
    services.remark_add(actor=company.dee, pitch=pitch, body=SAID)

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_it_is_led_on_the_pitchs_page(company: Company, pitch: Pitch) -> None:
    dee, eli = company.client(company.dee), company.client(company.eli)
    assert dee.post(path(pitch, "remark/"), {"body": ""}).status_code == 422

    dee.post(path(pitch, "remark/"), {"body": SAID})

    assert SAID in page_of(dee.get(path(pitch))).text
    page = page_of(eli.get(path(pitch))).text
    assert (SAID in page, "Hidden until your own review is in" in page) == (False, True)
    assert eli.post(path(pitch, "remark/"), {"body": "I disagree."}).status_code == 422
    assert Remark.objects.count() == 1


def test_an_empty_remark_leaves_the_members_own_review_in_its_form(company: Company, pitch: Pitch) -> None:
    answer = company.client(company.dee).post(path(pitch, "remark/"), {"body": ""})

    first = pitch.round.criteria.order_by("position")[0].pk
    assert (answer.status_code, typed(answer, f"score-{first}")) == (422, "7")
