"""Receipts of ballots: which envelopes were counted, and whether what was counted is what was cast."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import F

from pitches.models import BallotReceipt, Pitch, Round
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.rounds import seat_of
from pitches.transitions import BALLOTS_REVEALED, DECISIONS_PUBLIC
from teams.models import Role
from teams.selectors import Person, has_role


@dataclass(frozen=True, slots=True)
class Listed:
    """The receipts that were counted for one pitch, in the order of the alphabet: they tell no name and no vote."""

    pitch: Pitch
    receipts: list[str]


def receipts_counted(round_: Round) -> list[BallotReceipt]:
    """Return the receipt of the envelope that stands for each ballot of a round: the last that was cast."""
    rows = BallotReceipt.objects.filter(pitch__round=round_, number=F("ballot__times_cast"))
    return list(rows.order_by("pitch_id", "sha256"))


def receipts_listed(user: Person, round_: Round) -> list[Listed]:
    """Return the list of receipts as somebody may read it; empty before the ballots are open.

    Until the decisions are published it is for the committee, each member without the pitches that they have a
    conflict about, and for auditors; then for everybody who sees the round.
    """
    if round_.state not in BALLOTS_REVEALED:
        return []
    is_public = round_.state in DECISIONS_PUBLIC
    if not is_public and seat_of(user, round_) is None and not has_role(user, Role.AUDITOR):
        return []
    hidden = frozenset() if is_public else conflicted_ids(user, round_)
    found: dict[int, list[str]] = defaultdict(list)
    for receipt in receipts_counted(round_):
        found[receipt.pitch_id].append(receipt.sha256)
    pitches = Pitch.objects.filter(pk__in=found.keys() - hidden).select_related("team", "current").order_by("pk")
    return [Listed(pitch, found[pitch.pk]) for pitch in pitches]


def own_receipts(user: Person, round_: Round) -> Mapping[int, BallotReceipt]:
    """Return the receipts of somebody's own ballots in a round as they stand, by pitch id."""
    rows = BallotReceipt.objects.filter(pitch__round=round_, member_id=user.pk, number=F("ballot__times_cast"))
    return {receipt.pitch_id: receipt for receipt in rows}


def receipt_found(listed: Iterable[Listed], receipt: str) -> Pitch | None:
    """Return the pitch for which a receipt was counted; None when it is not in the list."""
    wanted = "".join(receipt.split()).lower()
    return next((one.pitch for one in listed if wanted in one.receipts), None)
