"""Prove the vote of a round after it was opened: no ballot was changed, dropped or added since it was cast."""

from collections.abc import Iterator, Mapping

from pitches import sealing
from pitches.models import Ballot, BallotReceipt, Round
from pitches.selectors.receipts import receipts_counted
from pitches.services.ballots import ballot_key_take, receipts_digest
from pitches.transitions import BALLOTS_REVEALED
from teams.errors import WrongState
from teams.models import AuditEvent
from teams.selectors import history_of


def ballots_verify(round_: Round) -> list[str]:
    """Return what is wrong with the ballots of a round, one sentence each; empty when they are as they were cast.

    Reads everything and changes nothing. Raises WrongState before the vote has closed.
    """
    if round_.state not in BALLOTS_REVEALED:
        raise WrongState(f"The vote of {round_.name} has not closed: nothing opens its ballots.")
    ballots = list(Ballot.objects.filter(pitch__round=round_).order_by("pk"))
    receipts = list(BallotReceipt.objects.filter(pitch__round=round_).order_by("ballot_id", "number"))
    last = {receipt.ballot_id: receipt for receipt in receipts}
    private = ballot_key_take(round_)
    wrong = [said for ballot in ballots for said in _ballot(ballot, last, private, round_)]
    return [*wrong, *_dropped(ballots, last), *_digest(round_)]


def _ballot(ballot: Ballot, last: Mapping[int, BallotReceipt], private: bytes, round_: Round) -> Iterator[str]:
    name = f"Ballot {ballot.pk} on pitch {ballot.pitch_id}"
    receipt = last.get(ballot.pk)
    if receipt is None:
        yield f"{name} has no receipt: it was not cast."
    elif receipt.sha256 != sealing.receipt_of(bytes(ballot.sealed)):
        yield f"{name} is not the envelope of its receipt {receipt.sha256}."
    elif receipt.number != ballot.times_cast:
        yield f"{name} was cast {ballot.times_cast} times and has {receipt.number} receipts."
    place = sealing.Place(round_.pk, ballot.pitch_id, ballot.member_id)
    try:
        vote = sealing.ballot_open(bytes(ballot.sealed), private=private, place=place)
    except sealing.BrokenSeal as broken:
        yield f"{name} does not open: {broken}"
        return
    if (vote.choice, vote.score) != (ballot.choice, ballot.score):
        yield f"{name} was counted as {ballot.choice or 'nothing'} and says {vote.choice}."


def _dropped(ballots: list[Ballot], last: Mapping[int, BallotReceipt]) -> Iterator[str]:
    there = {ballot.pk for ballot in ballots}
    for ballot_id, receipt in last.items():
        if ballot_id not in there:
            yield f"The ballot of receipt {receipt.sha256} on pitch {receipt.pitch_id} is not there any more."


def _digest(round_: Round) -> Iterator[str]:
    opened = _opening(round_)
    said = opened.details.get("receipts_sha256") if opened else None
    found = receipts_digest(receipts_counted(round_))
    if opened is None:
        yield "The history does not say when the ballots were opened."
    elif said is not None and said != found:
        yield f"The list of receipts was {said} when the ballots were opened and is {found} now."


def _opening(round_: Round) -> AuditEvent | None:
    events = history_of("pitches.round", round_.pk, limit=500)
    return next((event for event in events if event.verb == "round.reveal"), None)
