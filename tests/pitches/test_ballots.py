"""Ballots: in an envelope until voting closes, for everybody and everywhere; then all open at once."""

from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from pitches import sealing, services
from pitches.models import Ballot, Choice
from pitches.selectors.scores import scores_of_round
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent
from tests.cast import Company
from tests.pitches.stage import Stage

pytestmark = pytest.mark.django_db


def test_what_a_ballot_says_stands_nowhere_in_the_database(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch, Choice.NO, 2)
    stage.vote(company.eli, pitch, Choice.YES, 9)

    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(b)::text, encode(sealed, 'escape') FROM pitches_ballot b ORDER BY id")
        rows = cursor.fetchall()
        cursor.execute("SELECT details::text, reason FROM teams_auditevent WHERE verb LIKE 'ballot.%'")
        history = cursor.fetchall()

    assert [(ballot.choice, ballot.score, ballot.revealed_at) for ballot in Ballot.objects.all()] == [
        ("", None, None)
    ] * 2
    for whole, sealed in rows:
        assert sealed.startswith("gAAAA")  # an encrypted token
        assert '"choice":""' in whole
        assert '"score":null' in whole
    assert history == [(f'{{"pitch": {pitch.pk}}}', "")] * 2


def test_envelopes_look_alike_whatever_is_in_them() -> None:
    votes = [sealing.Vote("yes", 9), sealing.Vote("no", 1), sealing.Vote("abstain", None)]

    lengths = {len(sealing.ballot_seal(vote, pitch_id=pitch, member_id=7)) for vote in votes for pitch in (1, 10**12)}

    assert len(lengths) == 1


def test_the_same_vote_twice_is_two_different_envelopes() -> None:
    vote = sealing.Vote("yes", 9)

    assert sealing.ballot_seal(vote, pitch_id=1, member_id=7) != sealing.ballot_seal(vote, pitch_id=1, member_id=7)


def test_an_envelope_opens_only_where_it_was_cast() -> None:
    sealed = sealing.ballot_seal(sealing.Vote("yes", 9), pitch_id=1, member_id=7)

    assert sealing.ballot_open(sealed, pitch_id=1, member_id=7) == sealing.Vote("yes", 9)
    for place in ({"pitch_id": 2, "member_id": 7}, {"pitch_id": 1, "member_id": 8}):
        with pytest.raises(sealing.BrokenSeal):
            sealing.ballot_open(sealed, **place)
    with pytest.raises(sealing.BrokenSeal):
        sealing.ballot_open(sealed[:-4] + b"AAAA", pitch_id=1, member_id=7)


def test_what_opens_a_seed_does_not_open_a_ballot() -> None:
    with pytest.raises(sealing.BrokenSeal):
        sealing.seed_open(sealing.ballot_seal(sealing.Vote("yes", 9), pitch_id=1, member_id=7))


def test_a_vote_can_be_changed_until_voting_closes_and_the_last_one_counts(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch, Choice.NO, 2)
    stage.vote(company.dee, pitch, Choice.YES, 9)

    services.voting_close(actor=company.gil, round_=stage.round)

    ballot = Ballot.objects.get()
    assert (ballot.choice, ballot.score, ballot.times_cast) == ("yes", 9, 2)
    assert list(AuditEvent.objects.filter(verb__startswith="ballot").values_list("verb", flat=True).order_by("pk")) == [
        "ballot.cast",
        "ballot.change",
    ]


def test_abstaining_is_a_vote_and_not_voting_is_none(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    for member in (company.gil, company.dee):
        stage.vote(member, pitch)
    stage.vote(company.eli, pitch, Choice.ABSTAIN)
    services.voting_close(actor=company.gil, round_=stage.round)

    scores = scores_of_round(stage.now())[pitch.pk]

    assert (scores.eligible, scores.cast, scores.yes, scores.abstained) == (4, 3, 2, 1)
    assert scores.scores == [8, 8]  # an abstention carries no score
    assert (scores.has_quorum(2), scores.has_quorum(3)) == (True, False)


def test_more_than_half_of_the_eligible_must_vote(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    for member in (company.gil, company.dee):
        stage.vote(member, pitch)
    services.voting_close(actor=company.gil, round_=stage.round)

    assert not scores_of_round(stage.now())[pitch.pk].has_quorum(2)  # two of four are not more than half


@pytest.mark.parametrize(
    ("choice", "score", "message"),
    [
        (Choice.YES, None, "Give a score from 1 to 9"),
        (Choice.NO, 0, "Give a score from 1 to 9"),
        (Choice.YES, 10, "Give a score from 1 to 9"),
        (Choice.ABSTAIN, 5, "An abstention carries no score"),
    ],
)
def test_a_ballot_that_says_nothing_clear_is_refused(
    stage: Stage, company: Company, choice: Choice, score: int | None, message: str
) -> None:
    pitch = stage.submitted()
    stage.to_vote()

    with pytest.raises(Refused, match=message):
        services.ballot_cast(actor=company.dee, pitch=pitch, choice=choice, score=score)

    assert Ballot.objects.count() == 0


def test_there_is_no_vote_before_it_opens_or_after_it_closed(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    with pytest.raises(WrongState, match="no vote on this pitch now"):
        stage.vote(company.dee, pitch)
    stage.to_vote()
    services.voting_close(actor=company.gil, round_=stage.round)

    with pytest.raises(WrongState, match="no vote on this pitch now"):
        stage.vote(company.dee, pitch)


@pytest.mark.parametrize("name", ["dee", "hana", "ivo", "jo", "ana"])
def test_only_the_chair_opens_and_closes_the_vote(stage: Stage, company: Company, name: str) -> None:
    stage.submitted()
    stage.to_review()
    somebody = company.person(name)

    with pytest.raises(NotAllowed):
        services.voting_open(actor=somebody, round_=stage.round)
    stage.to_vote()
    with pytest.raises(NotAllowed):
        services.voting_close(actor=somebody, round_=stage.round)


def test_the_database_opens_no_ballot_while_the_round_is_voting(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch)

    with pytest.raises(DatabaseError, match="opened when voting has closed"), transaction.atomic():
        Ballot.objects.update(choice="yes", score=9, revealed_at=datetime.now(UTC))
    with pytest.raises(IntegrityError, match="ballot_sealed_or_revealed"), transaction.atomic():
        Ballot.objects.update(choice="yes", score=9)


def test_the_database_keeps_an_open_ballot_as_it_was_cast(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)

    for change in ({"choice": "no"}, {"score": 1}, {"sealed": b"x"}, {"revealed_at": None}):
        with pytest.raises(DatabaseError), transaction.atomic():
            Ballot.objects.update(**change)
    with pytest.raises(DatabaseError), transaction.atomic():
        Ballot.objects.all().delete()


def test_the_database_takes_no_ballot_outside_the_vote(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    sealed = sealing.ballot_seal(sealing.Vote("yes", 9), pitch_id=pitch.pk, member_id=company.dee.pk)

    with pytest.raises(DatabaseError, match="cast while the round is voting; it is open"), transaction.atomic():
        Ballot.objects.create(pitch=pitch, member=company.dee, sealed=sealed)
