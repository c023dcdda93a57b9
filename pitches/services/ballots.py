"""Ballots: cast into an envelope while voting, opened all at once when it has closed.

The public half of the round's key is all that casting needs. The private half is taken out of the database by a
function that gives it to nobody before the vote has closed (`pitches/sql/doors.sql`).
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from pitches import sealing
from pitches.access import require_member
from pitches.models import Ballot, BallotKey, BallotReceipt, Choice, Pitch, Round
from pitches.selectors.conflicts import has_declared
from pitches.selectors.receipts import receipts_counted
from pitches.services.locks import pitch_locked
from pitches.transitions import PitchState, RoundState
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record

LOWEST, HIGHEST = 1, 9


@dataclass(frozen=True, slots=True)
class Reveal:
    """What opening the ballots of a round came to: how many, and the SHA-256 of the list of their receipts."""

    ballots: int
    receipts_sha256: str


@transaction.atomic
def ballot_cast(*, actor: User, pitch: Pitch, choice: Choice, score: int | None) -> Ballot:
    """Cast a vote, or put another one into its envelope; what it says is not kept anywhere readable.

    The ballot's newest receipt is the voter's proof. Raises NotAllowed, WrongState, Refused (score_missing,
    score_of_abstention, not_declared).
    """
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.vote_pitch", pitch, message="Only members without a conflict vote on a pitch.")
    if pitch.round.state != RoundState.VOTING or pitch.state != PitchState.SHORTLISTED:
        raise WrongState("There is no vote on this pitch now.")
    _require_sense(choice, score)
    if not has_declared(actor, pitch):
        raise Refused("First declare whether you have a conflict of interest about it.", code="not_declared")
    place = sealing.Place(pitch.round_id, pitch.pk, actor.pk)
    key = ballot_key_make(pitch.round)
    sealed = sealing.ballot_seal(sealing.Vote(choice.value, score), public=bytes(key.public), place=place)
    ballot, made = Ballot.objects.update_or_create(
        pitch=pitch,
        member=actor,
        defaults={"sealed": sealed, "cast_at": Now(), "times_cast": F("times_cast") + 1},
        create_defaults={"sealed": sealed},
    )
    verb = "ballot.cast" if made else "ballot.change"
    details = {"pitch": pitch.pk, "receipt": sealing.receipt_of(sealed)}
    audit_record(actor=actor, verb=verb, target=ballot, details=details)
    return ballot


def _require_sense(choice: Choice, score: int | None) -> None:
    if choice == Choice.ABSTAIN and score is not None:
        raise Refused("An abstention carries no score.", code="score_of_abstention", field="score")
    if choice != Choice.ABSTAIN and (score is None or not LOWEST <= score <= HIGHEST):
        raise Refused("Give a score from 1 to 9 with a yes or a no.", code="score_missing", field="score")


def ballot_key_make(round_: Round) -> BallotKey:
    """Return the key that a round's ballots are sealed to, made on first use; call it with the round locked."""
    key = BallotKey.objects.filter(round=round_).first()
    if key is not None:
        return key
    pair = sealing.key_make(round_.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO pitches_ballot_secret (round_id, sealed) VALUES (%s, %s)", [round_.pk, pair.private_sealed]
        )
    return BallotKey.objects.create(round=round_, public=pair.public)


def ballot_key_take(round_: Round) -> bytes:
    """Return the private half of a round's ballot key; empty for a round without one.

    Raises DatabaseError (TK022) before the vote has closed, and `sealing.BrokenSeal`.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pitches_ballot_secret_take(%s)", [round_.pk])
        [sealed] = cursor.fetchone() or [None]
    return sealing.key_open(bytes(sealed), round_id=round_.pk) if sealed else b""


def ballots_reveal(round_: Round) -> Reveal:
    """Open every envelope of a round whose vote has just closed. Raises `sealing.BrokenSeal`."""
    ballots = list(Ballot.objects.select_for_update().filter(pitch__round=round_, revealed_at=None).order_by("pk"))
    private = ballot_key_take(round_)
    now = datetime.now(UTC)
    for ballot in ballots:
        place = sealing.Place(round_.pk, ballot.pitch_id, ballot.member_id)
        vote = sealing.ballot_open(bytes(ballot.sealed), private=private, place=place)
        ballot.choice, ballot.score, ballot.revealed_at = vote.choice, vote.score, now
    Ballot.objects.bulk_update(ballots, ["choice", "score", "revealed_at"])
    return Reveal(len(ballots), receipts_digest(receipts_counted(round_)))


def receipts_digest(receipts: list[BallotReceipt]) -> str:
    """Return the SHA-256 of a list of receipts: one "pitch id, space, receipt" a line, sorted."""
    lines = sorted(f"{receipt.pitch_id} {receipt.sha256}\n" for receipt in receipts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
