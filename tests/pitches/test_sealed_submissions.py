"""Until a round closes for pitches nobody outside a team reads what it submitted, except by a peek that it is told."""

import pytest
from django.db import DatabaseError, connection, transaction

from pitches import services
from pitches.models import Peek, Pitch
from pitches.selectors.desk import desk_of
from pitches.selectors.pitches import pitches_visible_to
from pitches.selectors.seals import sealed_pitches
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification, User
from teams.services import team_create
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, page_of
from tests.pitches.stage import Stage, content, of, queries_of

pytestmark = pytest.mark.django_db

SECRET = "Unheard-of use case"
WHY = "The team asked for an early word."
OUTSIDE = ("gil", "hana", "ivo")


def test_what_was_submitted_is_in_no_page_of_others_while_the_round_is_open(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(SECRET)
    pages = (
        "/",
        "/inbox/",
        "/pitches/?all",
        of("", pitch),
        of("revisions/1/", pitch),
        f"/rounds/{stage.round.pk}/",
        f"/rounds/{stage.round.pk}/sealed/",
        f"/admin/pitches/round/{stage.round.pk}/desk/",
        f"/admin/pitches/round/{stage.round.pk}/committee/",
        f"/admin/pitches/round/{stage.round.pk}/ballot/",
        f"/admin/pitches/round/{stage.round.pk}/decide/",
        f"/admin/pitches/round/pitch/{pitch.pk}/",
        "/api/v1/pitches/",
        f"/api/v1/pitches/{pitch.pk}/",
    )

    for name in OUTSIDE:
        client = company.client(company.person(name))
        for path in pages:
            assert SECRET.encode() not in client.get(path).content, (name, path)
    assert SECRET.encode() in company.client(company.bo).get(of("", pitch)).content


def test_the_seal_opens_for_the_committee_when_the_round_closes_for_pitches(stage: Stage, company: Company) -> None:
    stage.submitted(SECRET)
    before = {name for name in PEOPLE if pitches_visible_to(company.person(name)).exists()}

    stage.to_review()

    after = {name for name in PEOPLE if pitches_visible_to(company.person(name)).exists()}
    assert before == {"ana", "bo", "kim"}
    assert after - before == {"dee", "eli", "fay", "gil", "hana", "jo"}
    assert [row.pitch.title for row in desk_of(company.dee, stage.round).rows] == [SECRET]


def test_others_learn_how_many_there_are_and_nothing_else(stage: Stage, company: Company) -> None:
    first, second = stage.submitted(SECRET), stage.submitted("Another")

    desk = desk_of(company.dee, stage.round)

    assert (desk.rows, desk.sealed) == ([], 2)
    assert [(row.number, row.state) for row in sealed_pitches(company.dee, stage.round)] == [
        (first.number, "Submitted"),
        (second.number, "Submitted"),
    ]
    page = page_of(company.client(company.dee).get(f"/admin/pitches/round/{stage.round.pk}/desk/"))
    assert "2 sealed pitches" in page.text


def test_a_superuser_breaks_no_seal(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(SECRET)
    User.objects.filter(pk__in=[company.dee.pk, company.ivo.pk]).update(is_superuser=True, is_staff=True)

    for name in ("dee", "ivo"):
        client = company.client(User.objects.get(pk=company.person(name).pk))
        for path in (of("", pitch), f"/admin/pitches/round/pitch/{pitch.pk}/", f"/api/v1/pitches/{pitch.pk}/"):
            assert client.get(path).status_code == 404


def test_a_peek_opens_one_revision_to_one_person_and_the_team_and_the_chair_are_told(
    stage: Stage, company: Company
) -> None:
    pitch, other = stage.submitted(SECRET), stage.submitted("Another")

    services.pitch_peek(actor=company.dee, pitch=pitch, reason=WHY)

    assert list(pitches_visible_to(company.dee)) == [pitch]
    assert not pitches_visible_to(company.eli).exists()
    told = {notice.user: notice.title for notice in Notification.objects.filter(body=WHY)}
    assert told == {
        company.ana: f"Dee Example looked at {SECRET} before the deadline",
        company.gil: f"Dee Example looked at {pitch.number}, which is sealed",
    }
    event = AuditEvent.objects.get(verb="pitch.peek")
    assert (event.actor, event.reason, event.object_id) == (company.dee, WHY, str(pitch.pk))
    page = page_of(company.client(company.ana).get(of("", pitch)))
    assert "Looked at before the deadline" in page.one("main").text
    assert other.number in page_of(company.client(company.dee).get(f"/rounds/{stage.round.pk}/sealed/")).text


def test_a_newer_revision_is_sealed_again(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(SECRET)
    stage.peek(company.dee, pitch)
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was the metric measured?")

    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim, title="Measured now"))

    assert not pitches_visible_to(company.dee).exists()
    stage.peek(company.dee, pitch)
    assert [peek.revision.number for peek in Peek.objects.order_by("pk")] == [1, 2]


@pytest.mark.parametrize("name", ["ana", "bo", "cy", "ivo", "kim", "mia"])
def test_only_members_without_a_conflict_finance_and_auditors_peek(stage: Stage, company: Company, name: str) -> None:
    pitch = stage.submitted(SECRET)

    with pytest.raises(NotAllowed):
        services.pitch_peek(actor=company.person(name), pitch=pitch, reason=WHY)
    assert company.client(company.person(name)).post(of("peek/", pitch), {"reason": WHY}).status_code == 404
    assert not Peek.objects.exists()


def test_a_member_with_a_conflict_does_not_peek(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(SECRET)
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I built its pilot.")

    with pytest.raises(NotAllowed):
        stage.peek(company.dee, pitch)
    told = Notification.objects.get(user=company.gil, title__startswith="Dee Example declared")
    assert told.title == f"Dee Example declared a conflict about {pitch.number}"


def test_a_peek_needs_words_and_a_seal(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(SECRET)
    with pytest.raises(Refused, match="at least 10 characters"):
        services.pitch_peek(actor=company.dee, pitch=pitch, reason=" so   ")
    stage.peek(company.dee, pitch)
    with pytest.raises(Refused, match="looked at this revision already"):
        stage.peek(company.dee, pitch)
    draft = stage.pitch("Draft")
    with pytest.raises(NotAllowed):
        stage.peek(company.dee, draft)

    stage.to_review()

    with pytest.raises(WrongState, match="The seal of this round is open"):
        stage.peek(company.eli, pitch)


def test_nobody_returns_or_takes_in_what_they_have_not_opened(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(SECRET)

    with pytest.raises(NotAllowed):
        services.pitch_return(actor=company.dee, pitch=pitch, note="Please measure it first.")
    with pytest.raises(NotAllowed):
        services.pitch_take_in(actor=company.gil, pitch=pitch)
    stage.peek(company.dee, pitch)
    services.pitch_take_in(actor=company.dee, pitch=pitch)

    pitch.refresh_from_db()
    assert pitch.state == "in_review"


@pytest.mark.parametrize("change", ["UPDATE pitches_peek SET reason = 'x'", "DELETE FROM pitches_peek"])
def test_a_peek_is_for_ever(stage: Stage, company: Company, change: str) -> None:
    stage.peek(company.dee, stage.submitted(SECRET))

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_a_seal_that_was_opened_is_not_closed_again(stage: Stage, company: Company) -> None:
    stage.submitted(SECRET)
    stage.to_review()
    opened = stage.now().unsealed_at

    with connection.cursor() as cursor:
        cursor.execute("UPDATE pitches_round SET unsealed_at = NULL, state = 'open'")

    assert opened is not None
    assert stage.now().unsealed_at == opened


def test_the_seal_of_a_round_that_was_cancelled_while_it_was_open_stays(stage: Stage, company: Company) -> None:
    stage.submitted(SECRET)

    services.round_cancel(actor=company.hana, round_=stage.round, reason="The budget was cut")

    assert stage.now().unsealed_at is None
    assert not pitches_visible_to(company.gil).exists()


def test_the_page_of_sealed_pitches_opens_one_with_a_reason(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(SECRET)
    hana, path = company.client(company.hana), f"/rounds/{stage.round.pk}/sealed/"
    assert_readable(hana.get(path))

    refused = hana.post(of("peek/", pitch), {"reason": "so"})
    assert refused.status_code == 422
    assert "at least 10 characters" in page_of(refused).one("main").text
    opened = hana.post(of("peek/", pitch), {"reason": WHY})

    assert opened["Location"] == of("", pitch)
    assert SECRET in page_of(hana.get(opened["Location"])).text


def test_the_page_of_sealed_pitches_is_for_those_who_may_peek(stage: Stage, company: Company) -> None:
    path = f"/rounds/{stage.round.pk}/sealed/"
    seen = {name for name in PEOPLE if company.client(company.person(name)).get(path).status_code == 200}

    assert seen == {"dee", "eli", "fay", "gil", "hana", "jo"}
    assert page_of(company.client(company.dee).get(path)).one("main").all("div", class_="empty") != []


def test_the_page_of_sealed_pitches_asks_as_often_for_three_as_for_one(stage: Stage, company: Company) -> None:
    client, path = company.client(company.jo), f"/rounds/{stage.round.pk}/sealed/"
    stage.submitted("One")
    before = queries_of(client, path)
    stage.submitted("Two")
    stage.submitted("Three")

    assert queries_of(client, path) == before


def test_a_unit_head_reads_the_pitches_of_the_unit_and_no_others(stage: Stage, company: Company) -> None:
    own = stage.submitted(SECRET)
    stage.submitted("Of Fraud", team=company.fraud, lead=company.cy)
    team_create(actor=company.system, name="Another", cost_centre="CC-300", business_unit=company.security)

    assert list(pitches_visible_to(company.kim)) == [own]
    assert Pitch.objects.count() == 2
