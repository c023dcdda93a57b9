"""What auditors see of a fast lane: every decision, and the sample that is looked at a second time.

A pitch is in the sample when the first eight hexadecimal digits of SHA-256 over "SEED:sample:PITCH", read as a number,
divide by five without a remainder: one in five. The seed was committed to when the lane opened, so that nobody who
decides can know or choose the sample; once the lane is closed the seed is shown, and everybody can check it.
"""

import hashlib
from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Prefetch

from pitches import sealing
from pitches.models import Decision, DecisionLine, Pitch, Round
from pitches.transitions import PitchState, RoundState

ONE_IN = 5


def in_sample(seed: str, pitch_id: int) -> bool:
    """Say whether a decision of a fast lane is looked at a second time."""
    digest = hashlib.sha256(f"{seed}:sample:{pitch_id}".encode()).hexdigest()
    return int(digest[:8], 16) % ONE_IN == 0


def lane_takes(pitch: Pitch) -> bool:
    """Say whether one member can decide on a pitch now."""
    round_ = pitch.round
    return round_.is_fast_lane and round_.state == RoundState.OPEN and pitch.state == PitchState.SUBMITTED


@dataclass(frozen=True, slots=True)
class LaneDecision:
    """One decision of a fast lane, in USD, and whether it is in the sample."""

    decision: Decision
    awarded: Decimal
    is_sampled: bool


def lane_decisions(round_: Round) -> list[LaneDecision]:
    """Return the decisions of a fast lane, newest first; for auditors only: the sample is not for who decides."""
    if not round_.seed_sealed:
        return []
    seed = round_.seed or sealing.seed_open(bytes(round_.seed_sealed))
    rows = Decision.objects.filter(pitch__round=round_).exclude(published_at=None)
    rows = rows.select_related("pitch__team", "revision", "decided_by").prefetch_related(
        Prefetch("lines", DecisionLine.objects.order_by("pk"))
    )
    return [
        LaneDecision(
            decision=row,
            awarded=sum((line.amount for line in row.lines.all()), Decimal(0)),
            is_sampled=in_sample(seed, row.pitch_id),
        )
        for row in rows.order_by("-published_at", "-pk")
    ]
