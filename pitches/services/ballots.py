"""Ballots: cast into an envelope while voting, opened all at once when it has closed."""

from datetime import UTC, datetime

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from pitches import sealing
from pitches.access import require_member
from pitches.models import Ballot, Choice, Pitch, Round
from pitches.services.locks import pitch_locked
from pitches.transitions import PitchState, RoundState
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record

LOWEST, HIGHEST = 1, 9


@transaction.atomic
def ballot_cast(*, actor: User, pitch: Pitch, choice: Choice, score: int | None) -> Ballot:
    """Cast a vote, or put another one into its envelope; what it says is not kept anywhere readable.

    Raises NotAllowed, WrongState, Refused (score_missing, score_of_abstention).
    """
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.vote_pitch", pitch, message="Only members without a conflict vote on a pitch.")
    if pitch.round.state != RoundState.VOTING or pitch.state != PitchState.SHORTLISTED:
        raise WrongState("There is no vote on this pitch now.")
    if choice == Choice.ABSTAIN and score is not None:
        raise Refused("An abstention carries no score.", code="score_of_abstention", field="score")
    if choice != Choice.ABSTAIN and (score is None or not LOWEST <= score <= HIGHEST):
        raise Refused("Give a score from 1 to 9 with a yes or a no.", code="score_missing", field="score")
    vote = sealing.Vote(choice.value, score)
    sealed = sealing.ballot_seal(vote, pitch_id=pitch.pk, member_id=actor.pk)
    ballot, made = Ballot.objects.update_or_create(
        pitch=pitch,
        member=actor,
        defaults={"sealed": sealed, "cast_at": Now(), "times_cast": F("times_cast") + 1},
        create_defaults={"sealed": sealed},
    )
    verb = "ballot.cast" if made else "ballot.change"
    audit_record(actor=actor, verb=verb, target=ballot, details={"pitch": pitch.pk})
    return ballot


def ballots_reveal(round_: Round) -> int:
    """Open every envelope of a round whose vote has just closed; returns how many. Raises `sealing.BrokenSeal`."""
    ballots = list(Ballot.objects.select_for_update().filter(pitch__round=round_, revealed_at=None).order_by("pk"))
    now = datetime.now(UTC)
    for ballot in ballots:
        vote = sealing.ballot_open(bytes(ballot.sealed), pitch_id=ballot.pitch_id, member_id=ballot.member_id)
        ballot.choice, ballot.score, ballot.revealed_at = vote.choice, vote.score, now
    Ballot.objects.bulk_update(ballots, ["choice", "score", "revealed_at"])
    return len(ballots)
