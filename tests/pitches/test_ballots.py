"""Ballots: in an envelope until voting closes, for everybody and everywhere; then all open at once."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from pitches import sealing, services
from pitches.models import Ballot, BallotKey, BallotReceipt, Choice
from pitches.selectors.receipts import receipts_listed
from pitches.selectors.scores import scores_of_round
from teams.encryption import fernet
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent
from tests.cast import Company
from tests.pages import page_of
from tests.pitches.stage import Stage

pytestmark = pytest.mark.django_db
KEY = sealing.key_make(3)
PRIVATE = sealing.key_open(KEY.private_sealed, round_id=3)
HERE = sealing.Place(round=3, pitch=1, member=7)


def sealed_ballot(vote: sealing.Vote, place: sealing.Place = HERE) -> bytes:
    return sealing.ballot_seal(vote, public=KEY.public, place=place)


def test_what_a_ballot_says_stands_nowhere_in_the_database(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch, Choice.NO, 2)
    stage.vote(company.eli, pitch, Choice.YES, 9)

    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(b)::text, encode(sealed, 'escape') FROM pitches_ballot b ORDER BY id")
        rows = cursor.fetchall()
        cursor.execute("SELECT details::text, reason FROM teams_auditevent WHERE verb LIKE 'ballot.%' ORDER BY id")
        history = cursor.fetchall()

    assert [(ballot.choice, ballot.score, ballot.revealed_at) for ballot in Ballot.objects.all()] == [
        ("", None, None)
    ] * 2
    for whole, sealed in rows:
        assert "yes" not in sealed
        assert '"choice":""' in whole
        assert '"score":null' in whole
    receipts = [sealing.receipt_of(bytes(ballot.sealed)) for ballot in Ballot.objects.order_by("pk")]
    assert history == [(f'{{"pitch": {pitch.pk}, "receipt": "{receipt}"}}', "") for receipt in receipts]


def test_envelopes_look_alike_whatever_is_in_them() -> None:
    votes = [sealing.Vote("yes", 9), sealing.Vote("no", 1), sealing.Vote("abstain", None)]

    lengths = {len(sealed_ballot(vote, replace(HERE, pitch=pitch))) for vote in votes for pitch in (1, 10**12)}

    assert lengths == {1 + 32 + sealing.BALLOT_LENGTH + 16}  # version, ephemeral key, text, tag


def test_the_same_vote_twice_is_two_different_envelopes() -> None:
    assert sealed_ballot(sealing.Vote("yes", 9)) != sealed_ballot(sealing.Vote("yes", 9))


@given(choice=st.sampled_from(["yes", "no"]), score=st.integers(1, 9))
def test_an_envelope_opens_only_where_it_was_cast_and_only_whole(choice: str, score: int) -> None:
    vote = sealing.Vote(choice, score)
    sealed = sealed_ballot(vote)

    assert sealing.ballot_open(sealed, private=PRIVATE, place=HERE) == vote
    elsewhere = [replace(HERE, round=4), replace(HERE, pitch=2), replace(HERE, member=8)]
    for place in elsewhere:
        with pytest.raises(sealing.BrokenSeal):
            sealing.ballot_open(sealed, private=PRIVATE, place=place)
    for broken in (sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:-1], b"\x02" + sealed[1:], b""):
        with pytest.raises(sealing.BrokenSeal):
            sealing.ballot_open(broken, private=PRIVATE, place=HERE)


def test_another_rounds_key_opens_nothing() -> None:
    other = sealing.key_make(4)

    with pytest.raises(sealing.BrokenSeal):
        sealing.key_open(other.private_sealed, round_id=3)
    private = sealing.key_open(other.private_sealed, round_id=4)
    with pytest.raises(sealing.BrokenSeal):
        sealing.ballot_open(sealed_ballot(sealing.Vote("yes", 9)), private=private, place=HERE)


def test_what_is_kept_for_another_purpose_opens_no_key() -> None:
    with pytest.raises(sealing.BrokenSeal):
        sealing.seed_open(KEY.private_sealed)
    with pytest.raises(sealing.BrokenSeal):
        sealing.key_open(sealing.seed_seal("seed"), round_id=3)


def test_a_ballot_from_before_rounds_had_keys_opens_still() -> None:
    inside = json.dumps({"pitch": 1, "member": 7, "choice": "no", "score": 2})
    sealed = fernet("ballot").encrypt(inside.encode())

    assert sealing.ballot_open(sealed, private=b"", place=HERE) == sealing.Vote("no", 2)
    with pytest.raises(sealing.BrokenSeal):
        sealing.ballot_open(sealed, private=b"", place=replace(HERE, member=8))


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
    sealed = sealed_ballot(sealing.Vote("yes", 9))

    with pytest.raises(DatabaseError, match="cast while the round is voting; it is open"), transaction.atomic():
        Ballot.objects.create(pitch=pitch, member=company.dee, sealed=sealed)


def test_nobody_gets_the_key_before_the_vote_has_closed(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch)

    with connection.cursor() as cursor:
        with pytest.raises(DatabaseError, match="open when voting has closed; it is voting"), transaction.atomic():
            cursor.execute("SELECT pitches_ballot_secret_take(%s)", [stage.round.pk])
        for statement in (
            "SELECT * FROM pitches_ballot_secret",
            "UPDATE pitches_ballot_secret SET sealed = ''",
            "DELETE FROM pitches_ballot_secret",
        ):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
                cursor.execute(statement)


def test_the_key_in_the_open_opens_nothing(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch)
    place = sealing.Place(stage.round.pk, pitch.pk, company.dee.pk)

    public = bytes(BallotKey.objects.get(round=stage.round).public)

    with pytest.raises(sealing.BrokenSeal):
        sealing.ballot_open(bytes(Ballot.objects.get().sealed), private=public, place=place)


def test_every_envelope_has_a_receipt_that_nobody_can_write_or_take_away(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch, Choice.NO, 2)
    first = sealing.receipt_of(bytes(Ballot.objects.get().sealed))
    stage.vote(company.dee, pitch, Choice.YES, 9)
    second = sealing.receipt_of(bytes(Ballot.objects.get().sealed))

    rows = BallotReceipt.objects.order_by("number")
    assert list(rows.values_list("number", "sha256")) == [(1, first), (2, second)]
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        BallotReceipt.objects.update(sha256="0" * 64)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        BallotReceipt.objects.all().delete()
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        BallotReceipt.objects.create(
            ballot=Ballot.objects.get(), pitch=pitch, member=company.dee, number=3, sha256="0" * 64
        )


def test_the_list_of_receipts_is_published_with_the_result_and_without_names(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    for member in (company.gil, company.dee, company.eli):
        stage.vote(member, pitch)
    stage.vote(company.dee, pitch, Choice.NO, 3)
    own = BallotReceipt.objects.filter(member=company.dee).order_by("number").values_list("sha256", flat=True)
    replaced, counted = own
    path = f"/rounds/{stage.round.pk}/receipts/"
    assert company.client(company.dee).get(path).status_code == 404
    services.voting_close(actor=company.gil, round_=stage.round)

    [listed] = receipts_listed(company.dee, stage.now())
    assert (counted in listed.receipts, replaced in listed.receipts, len(listed.receipts)) == (True, False, 3)
    dee = company.client(company.dee)
    assert "It was counted , for Claims triage" in page_of(dee.get(path, {"receipt": counted})).text
    assert "It is not in the list" in page_of(dee.get(path, {"receipt": replaced})).text
    assert company.client(company.ana).get(path).status_code == 404  # not public yet
    stage.fund(pitch)
    services.round_publish(actor=company.gil, round_=stage.round)
    assert counted in company.client(company.ana).get(path).content.decode()


def test_the_page_of_the_vote_shows_a_voter_their_receipt_and_nobody_elses(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    stage.vote(company.dee, pitch)
    stage.vote(company.eli, pitch)
    hers, his = BallotReceipt.objects.order_by("pk").values_list("sha256", flat=True)

    said = company.client(company.dee).get(f"/admin/pitches/round/{stage.round.pk}/ballot/").content.decode()

    assert (hers in said, his in said) == (True, False)


def proof(stage: Stage) -> list[str]:
    """Return what the command says is wrong; it has to agree with the service."""
    wrong = services.ballots_verify(stage.now())
    out, error = StringIO(), StringIO()
    if wrong:
        with pytest.raises(CommandError, match=f"{len(wrong)} found"):
            call_command("verify_ballots", stage.round.name, stdout=out, stderr=error)
        assert error.getvalue().split("\n")[:-1] == wrong
    else:
        call_command("verify_ballots", str(stage.round.pk), stdout=out, stderr=error)
        assert "are the envelopes that were cast and say what was counted" in out.getvalue()
    return wrong


def test_an_honest_vote_is_proved(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    with pytest.raises(CommandError, match="has not closed"):
        call_command("verify_ballots", stage.round.name)
    for member in (company.gil, company.dee, company.eli):
        stage.vote(member, pitch)
    stage.vote(company.dee, pitch, Choice.ABSTAIN)
    services.voting_close(actor=company.gil, round_=stage.round)

    assert proof(stage) == []
    with pytest.raises(CommandError, match="no round"):
        call_command("verify_ballots", "Q9")


TAMPERING = {
    "a vote that is counted otherwise": (
        "UPDATE pitches_ballot SET choice = 'no', score = 1 WHERE id = %s",
        ["was counted as no and says yes"],
    ),
    "an envelope that is swapped": (
        "UPDATE pitches_ballot SET sealed = '\\x0142' WHERE id = %s",
        ["is not the envelope of its receipt", "does not open"],
    ),
    "a ballot that is dropped": (
        "DELETE FROM pitches_ballot WHERE id = %s",
        ["is not there any more", "The list of receipts was"],
    ),
    "a ballot dropped with its receipts": (
        "WITH gone AS (DELETE FROM pitches_ballotreceipt WHERE ballot_id = %s RETURNING ballot_id) "
        "DELETE FROM pitches_ballot WHERE id IN (SELECT ballot_id FROM gone)",
        ["The list of receipts was"],
    ),
}


@pytest.mark.parametrize("way", TAMPERING)
def test_what_even_the_owner_of_the_database_does_is_found(stage: Stage, company: Company, way: str) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)
    ballot = Ballot.objects.get(member=company.dee)
    statement, found = TAMPERING[way]

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET ROLE NONE")
        cursor.execute(
            "SELECT conname FROM pg_constraint"
            " WHERE conrelid = 'pitches_ballotreceipt'::regclass AND confrelid = 'pitches_ballot'::regclass"
        )
        [(foreign_key,)] = cursor.fetchall()
        cursor.execute(f"ALTER TABLE pitches_ballotreceipt DROP CONSTRAINT {foreign_key}")
        for table in ("pitches_ballot", "pitches_ballotreceipt"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(statement, [ballot.pk])
        cursor.execute("SET ROLE tank_app")

    wrong = proof(stage)
    assert len(wrong) == len(found)
    for sentence, words in zip(wrong, found, strict=True):
        assert words in sentence


def test_a_member_declares_before_voting(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    services.review_start(actor=company.gil, round_=stage.round)
    stage.screened()
    services.voting_open(actor=company.gil, round_=stage.round)

    with pytest.raises(Refused, match="First declare"):
        services.ballot_cast(actor=company.dee, pitch=pitch, choice=Choice.YES, score=8)
