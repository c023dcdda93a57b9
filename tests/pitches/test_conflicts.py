"""Nobody decides on their own pitch: every conflict, every door, by service and by the database itself."""

from collections.abc import Callable

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from pitches import services
from pitches.models import Choice, Expertise, Outcome, Pitch, Recusal, Review
from pitches.selectors.conflicts import conflicted_ids, eligible_members, is_conflicted
from pitches.selectors.desk import desk_of
from pitches.selectors.scores import reviews_shown_to, scores_of_round
from pitches.services import Mark
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import Notification, Role, TeamRole, User
from teams.selectors import standing_forget
from teams.services import business_unit_head_set, membership_set, role_grant
from tests.cast import Company
from tests.pitches.stage import Stage, content

pytestmark = pytest.mark.django_db


def recused(pitch: Pitch) -> list[tuple[str, str, str]]:
    rows = Recusal.objects.filter(pitch=pitch).order_by("pk")
    return [(row.member.email.partition("@")[0], row.kind, row.reason) for row in rows]


def joins(stage: Stage, member: User) -> None:
    membership_set(actor=stage.company.system, user=member, team=stage.company.claims, role=TeamRole.MEMBER)


def owns(stage: Stage, member: User) -> None:
    Pitch.objects.update(owner=member)


def heads(stage: Stage, member: User) -> None:
    business_unit_head_set(actor=stage.company.system, unit=stage.company.insurance, head=member)


def declares(stage: Stage, member: User) -> None:
    services.recusal_declare(actor=member, pitch=Pitch.objects.get(), reason="I built its pilot.")


CONFLICTS = [joins, owns, heads, declares]
Way = Callable[[Stage, User], None]


def test_a_conflict_is_noted_when_the_pitch_is_submitted(stage: Stage, company: Company) -> None:
    joins(stage, company.dee)

    pitch = stage.submitted()

    assert recused(pitch) == [("dee", "rule", "Dee Example belongs to the team Claims.")]


def test_a_conflict_is_noted_when_somebody_gets_a_seat(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    role_grant(actor=company.system, user=company.kim, role=Role.COMMITTEE)

    services.seat_set(actor=company.gil, round_=stage.round, user=company.kim)

    assert recused(pitch) == [("kim", "rule", "Kim Example heads the business unit Insurance.")]


def test_one_members_conflict_is_nobody_elses(stage: Stage, company: Company) -> None:
    first, second = stage.submitted("First"), stage.submitted("Second")
    services.recusal_declare(actor=company.dee, pitch=first, reason="I built its pilot.")

    stage.to_review()

    assert (recused(first), recused(second)) == ([("dee", "declared", "I built its pilot.")], [])
    everybody = {member.pk for member in stage.members}
    assert eligible_members(stage.round) == {first.pk: everybody - {company.dee.pk}, second.pk: everybody}
    assert conflicted_ids(company.dee, stage.round) == {first.pk}


@pytest.mark.parametrize("arises", CONFLICTS)
def test_a_member_with_a_conflict_finds_every_door_closed(stage: Stage, company: Company, arises: Way) -> None:
    pitch, dee = stage.submitted(), company.dee
    stage.to_review()
    stage.review(company.eli, pitch)
    arises(stage, dee)
    standing_forget(dee)

    assert is_conflicted(dee, pitch)
    assert not dee.has_perm("pitches.view_review", pitch)
    with pytest.raises(NotAllowed):
        stage.review(dee, pitch)
    with pytest.raises(NotAllowed):
        services.pitch_return(actor=dee, pitch=pitch, note="Please change everything.")
    stage.to_vote()
    with pytest.raises(NotAllowed):
        stage.vote(dee, pitch)
    for member in (company.gil, company.eli, company.fay):
        stage.vote(member, pitch)
    services.voting_close(actor=company.gil, round_=stage.round)
    with pytest.raises(NotAllowed):
        services.decision_set(actor=dee, pitch=pitch, outcome=Outcome.DECLINE, reason="Because I say so.")

    [row] = desk_of(dee, stage.now()).rows
    assert row.recused
    assert (row.scores, row.decision, row.reviews) == (None, None, None)


@pytest.mark.parametrize("arises", CONFLICTS)
def test_the_database_closes_the_doors_too(stage: Stage, company: Company, arises: Way) -> None:
    pitch, dee = stage.submitted(), company.dee
    stage.to_review()
    arises(stage, dee)
    revision = pitch.submitted.pk
    doors = {
        "voting": (
            "INSERT INTO pitches_ballot (pitch_id, member_id, sealed, times_cast, choice) VALUES (%s, %s, '', 1, '')",
            [pitch.pk, dee.pk],
        ),
        "reviewing": (
            "INSERT INTO pitches_review (revision_id, reviewer_id, expertise, comment) VALUES (%s, %s, 1, '')",
            [revision, dee.pk],
        ),
        "deciding": (
            "INSERT INTO pitches_decision (pitch_id, revision_id, outcome, reason, decided_by_id) "
            "VALUES (%s, %s, 'decline', 'No', %s)",
            [pitch.pk, revision, dee.pk],
        ),
    }

    for state, (statement, values) in doors.items():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE pitches_round SET state = %s", [state])
            with pytest.raises(DatabaseError, match="has a conflict of interest"), transaction.atomic():
                cursor.execute(statement, values)


def test_somebody_without_a_seat_finds_them_closed_as_well(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()

    for stranger in (company.hana, company.ivo, company.jo, company.ana):
        with pytest.raises(NotAllowed):
            stage.review(stranger, pitch)
    with pytest.raises(DatabaseError, match="has no seat"), transaction.atomic():
        Review.objects.create(revision=pitch.submitted, reviewer=company.hana, expertise=1)


def test_a_superuser_has_no_vote_by_being_one(stage: Stage, company: Company) -> None:
    User.objects.filter(pk__in=[company.dee.pk, company.ivo.pk]).update(is_superuser=True, is_staff=True)
    dee, ivo = User.objects.get(pk=company.dee.pk), User.objects.get(pk=company.ivo.pk)
    pitch = stage.submitted()
    services.recusal_declare(actor=dee, pitch=pitch, reason="I built its pilot.")
    stage.to_review()
    stage.review(company.eli, pitch)

    for somebody in (dee, ivo):
        with pytest.raises(NotAllowed):
            stage.review(somebody, pitch)
        with pytest.raises(NotAllowed):
            services.pitch_return(actor=somebody, pitch=pitch, note="Please change everything.")
        page = company.client(somebody).get(f"/admin/pitches/round/pitch/{pitch.pk}/")
        assert b"7 for Value" not in page.content
    stage.to_vote()
    for somebody in (dee, ivo):
        with pytest.raises(NotAllowed):
            stage.vote(somebody, pitch)
        with pytest.raises(NotAllowed):
            services.voting_close(actor=somebody, round_=stage.round)
    assert company.client(ivo).get(f"/admin/pitches/round/{stage.round.pk}/ballot/").status_code == 404


def test_what_a_member_said_before_stepping_aside_does_not_count(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    stage.review(company.dee, pitch, 1)
    stage.review(company.eli, pitch, 9)

    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I remember now: my sister works there.")

    scores = scores_of_round(stage.round)[pitch.pk]
    assert (scores.eligible, scores.reviews, str(scores.review_score)) == (3, 1, "9.0")


def test_a_ballot_cast_before_stepping_aside_does_not_count(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    for member in stage.members:
        stage.vote(member, pitch)
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I remember now: my sister works there.")

    services.voting_close(actor=company.gil, round_=stage.round)

    scores = scores_of_round(stage.now())[pitch.pk]
    assert (scores.eligible, scores.yes, scores.scores) == (3, 3, [8, 8, 8])


def test_a_conflict_that_ends_leaves_the_recusal_that_was_noted(stage: Stage, company: Company) -> None:
    joins(stage, company.dee)
    pitch = stage.submitted()
    company.dee.memberships.all().delete()

    assert is_conflicted(company.dee, pitch)


def test_the_chair_waives_a_declared_conflict_with_a_plan(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    recusal = services.recusal_declare(actor=company.dee, pitch=pitch, reason="We were at school together.")
    assert Notification.objects.filter(user=company.gil, title__startswith="Dee Example declared a conflict").exists()
    with pytest.raises(Refused, match="at least 10 characters"):
        services.recusal_waive(actor=company.gil, recusal=recusal, plan="fine")

    services.recusal_waive(actor=company.gil, recusal=recusal, plan="Thirty years ago, and no contact since.")

    assert not is_conflicted(company.dee, pitch)
    stage.to_review()
    stage.review(company.dee, pitch)


def test_a_dismissed_conflict_is_none(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    recusal = services.recusal_declare(actor=company.dee, pitch=pitch, reason="I know somebody there.")

    services.recusal_dismiss(actor=company.gil, recusal=recusal, plan="Everybody knows somebody there.")

    assert not is_conflicted(company.dee, pitch)


def test_a_conflict_by_rule_cannot_be_waived_by_anybody(stage: Stage, company: Company) -> None:
    joins(stage, company.dee)
    recusal = Recusal.objects.get(pitch=stage.submitted())

    with pytest.raises(Refused, match="cannot be waived"):
        services.recusal_waive(actor=company.gil, recusal=recusal, plan="We trust her all the same.")
    with pytest.raises(IntegrityError, match="recusal_by_rule_cannot_be_waived"), transaction.atomic():
        Recusal.objects.update(state="waived", decided_by=company.gil, plan="We trust her all the same.")


def test_a_waiver_does_not_outweigh_a_rule_that_applies_later(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    recusal = services.recusal_declare(actor=company.dee, pitch=pitch, reason="I may join the team.")
    services.recusal_waive(actor=company.gil, recusal=recusal, plan="When she does, she steps aside.")

    joins(stage, company.dee)

    assert is_conflicted(company.dee, pitch)


def test_nobody_judges_their_own_conflict_or_one_that_they_share(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    own = services.recusal_declare(actor=company.gil, pitch=pitch, reason="I advised the team.")
    hers = services.recusal_declare(actor=company.dee, pitch=pitch, reason="I advised the team too.")

    for recusal in (own, hers):
        for judge in (company.gil, company.dee):
            with pytest.raises(NotAllowed):
                services.recusal_dismiss(actor=judge, recusal=recusal, plan="It was long ago.")


def test_where_the_chair_has_a_conflict_another_member_decides(stage: Stage, company: Company) -> None:
    pitch, other = stage.submitted("His"), stage.submitted("Another")
    services.recusal_declare(actor=company.gil, pitch=pitch, reason="I advised the team.")
    stage.to_vote()
    for member in (company.dee, company.eli, company.fay):
        stage.vote(member, pitch, Choice.NO, 3)
        stage.vote(member, other)
    services.voting_close(actor=company.gil, round_=stage.round)

    with pytest.raises(NotAllowed):
        services.decision_set(actor=company.gil, pitch=pitch, outcome=Outcome.DECLINE, reason="Not this time.")
    services.decision_set(actor=company.dee, pitch=pitch, outcome=Outcome.DECLINE, reason="Not this time.")
    with pytest.raises(NotAllowed):
        services.decision_set(actor=company.dee, pitch=other, outcome=Outcome.DECLINE, reason="Not mine to say.")


def test_who_decided_and_has_a_conflict_since_then_stops_the_publication(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)
    stage.fund(pitch)
    joins(stage, company.gil)

    with pytest.raises(Refused, match="another member must decide on it"):
        services.round_publish(actor=company.gil, round_=stage.round)

    assert stage.now().state == "deciding"


def test_notices_count_only_what_a_member_may_see(stage: Stage, company: Company) -> None:
    first = stage.submitted("First")
    stage.submitted("Second")
    services.recusal_declare(actor=company.dee, pitch=first, reason="I built its pilot.")

    stage.to_review()

    told = {notice.user: notice.title for notice in Notification.objects.filter(title__endswith="to review")}
    assert (told[company.dee], told[company.eli]) == ("Q1: 1 pitch to review", "Q1: 2 pitches to review")


def test_reviews_are_hidden_until_ones_own_is_in(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    stage.review(company.dee, pitch)

    assert reviews_shown_to(company.eli, pitch, stage.round) == []
    assert desk_of(company.eli, stage.round).rows[0].scores is None

    stage.review(company.eli, pitch)
    assert [review.reviewer for review in reviews_shown_to(company.eli, pitch, stage.round)] == [
        company.dee,
        company.eli,
    ]


def test_a_review_is_of_the_revision_that_was_read(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    stage.review(company.dee, pitch)
    services.pitch_return(actor=company.eli, pitch=pitch, note="How was it measured?")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))
    services.pitch_take_in(actor=company.eli, pitch=pitch)

    assert scores_of_round(stage.round)[pitch.pk].reviews == 0
    with pytest.raises(Refused, match="The team has submitted a newer revision"):
        services.review_submit(
            actor=company.dee, pitch=pitch, revision_number=1, marks=stage.marks(), expertise=Expertise.OUTSIDER
        )


@pytest.mark.parametrize(("score", "sentence"), [(0, "Fine."), (10, "Fine."), (5, "  "), (5, "x" * 401)])
def test_a_score_is_from_one_to_nine_with_a_sentence(stage: Stage, company: Company, score: int, sentence: str) -> None:
    pitch = stage.submitted()
    stage.to_review()
    marks = {**stage.marks(), stage.round.criteria.order_by("position")[1].pk: Mark(score, sentence)}

    with pytest.raises(Refused, match="Evidence"):
        services.review_submit(
            actor=company.dee, pitch=pitch, revision_number=1, marks=marks, expertise=Expertise.EXPERT
        )

    assert Review.objects.count() == 0


def test_a_seat_is_for_members_of_the_committee_and_fixed_once_the_vote_begins(stage: Stage, company: Company) -> None:
    with pytest.raises(Refused, match="does not have the role"):
        services.seat_set(actor=company.gil, round_=stage.round, user=company.hana)
    with pytest.raises(Refused, match="has a chair already"):
        services.seat_set(actor=company.gil, round_=stage.round, user=company.dee, is_chair=True)
    stage.submitted()
    stage.to_vote()

    with pytest.raises(WrongState, match="fixed once voting has begun"):
        services.seat_remove(
            actor=company.gil, seat=stage.round.seats.get(user=company.dee), reason="She votes the wrong way"
        )
