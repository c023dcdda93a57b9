"""States of rounds, pitches and offers, and which may follow which. A leaf: it imports nothing of ours but errors."""

from collections.abc import Mapping

from django.db import models

from teams.errors import WrongState


class RoundState(models.TextChoices):
    """Where a round stands."""

    DRAFT = "draft", "Draft"
    OPEN = "open", "Open for pitches"
    REVIEWING = "reviewing", "In review"
    VOTING = "voting", "Voting"
    DECIDING = "deciding", "Deciding"
    PUBLISHED = "published", "Published"
    SETTLED = "settled", "Settled"
    CANCELLED = "cancelled", "Cancelled"


class PitchState(models.TextChoices):
    """Where a pitch stands."""

    DRAFT = "draft", "Draft"
    SUBMITTED = "submitted", "Submitted"
    RETURNED = "returned", "Returned"
    IN_REVIEW = "in_review", "In review"
    SHORTLISTED = "shortlisted", "On the ballot"
    OFFERED = "offered", "Offered"
    FUNDED = "funded", "Funded"
    DECLINED = "declined", "Declined"
    WAITLISTED = "waitlisted", "Waitlisted"
    WITHDRAWN = "withdrawn", "Withdrawn"
    LAPSED = "lapsed", "Lapsed"
    DEFERRED = "deferred", "Deferred"


class OfferState(models.TextChoices):
    """Where an offer stands."""

    OPEN = "open", "Waiting for an answer"
    ACCEPTED = "accepted", "Accepted"
    DECLINED = "declined", "Declined by the team"
    EXPIRED = "expired", "Expired"
    REPLACED = "replaced", "Replaced by another offer"


class CounterState(models.TextChoices):
    """Where a counter-offer stands."""

    OPEN = "open", "Waiting for an answer"
    ACCEPTED = "accepted", "Accepted"
    REFUSED = "refused", "Refused"
    COUNTERED = "countered", "Answered with other lines"
    WITHDRAWN = "withdrawn", "Withdrawn by the team"
    LAPSED = "lapsed", "Lapsed with its offer"


Moves = Mapping[str, frozenset[str]]

ROUND_MOVES: Moves = {
    RoundState.DRAFT: frozenset({RoundState.OPEN, RoundState.CANCELLED}),
    # Only a fast lane goes from open to published: it decides as it goes.
    RoundState.OPEN: frozenset({RoundState.REVIEWING, RoundState.PUBLISHED, RoundState.CANCELLED}),
    RoundState.REVIEWING: frozenset({RoundState.VOTING, RoundState.CANCELLED}),
    RoundState.VOTING: frozenset({RoundState.DECIDING, RoundState.CANCELLED}),
    RoundState.DECIDING: frozenset({RoundState.PUBLISHED, RoundState.CANCELLED}),
    RoundState.PUBLISHED: frozenset({RoundState.SETTLED}),
    RoundState.SETTLED: frozenset(),
    RoundState.CANCELLED: frozenset(),
}

PITCH_MOVES: Moves = {
    PitchState.DRAFT: frozenset({PitchState.SUBMITTED, PitchState.WITHDRAWN}),
    # A fast lane decides on what was submitted; what is infeasible is declined without a ballot.
    PitchState.SUBMITTED: frozenset(
        {
            PitchState.RETURNED,
            PitchState.IN_REVIEW,
            PitchState.WITHDRAWN,
            PitchState.OFFERED,
            PitchState.DECLINED,
        }
    ),
    PitchState.RETURNED: frozenset({PitchState.SUBMITTED, PitchState.WITHDRAWN}),
    # A gap is often seen only while reading, so a pitch can come back out of review and off a cancelled ballot.
    PitchState.IN_REVIEW: frozenset(
        {PitchState.SHORTLISTED, PitchState.RETURNED, PitchState.WITHDRAWN, PitchState.DECLINED}
    ),
    PitchState.SHORTLISTED: frozenset(
        {
            PitchState.OFFERED,
            PitchState.DECLINED,
            PitchState.WAITLISTED,
            PitchState.DEFERRED,
            PitchState.RETURNED,
            PitchState.WITHDRAWN,
        }
    ),
    PitchState.OFFERED: frozenset({PitchState.FUNDED, PitchState.DECLINED, PitchState.LAPSED}),
    PitchState.WAITLISTED: frozenset({PitchState.OFFERED, PitchState.LAPSED, PitchState.WITHDRAWN}),
    PitchState.FUNDED: frozenset(),
    PitchState.DECLINED: frozenset(),
    PitchState.WITHDRAWN: frozenset(),
    PitchState.LAPSED: frozenset(),
    # Not judged for want of a quorum: it can go on in another round.
    PitchState.DEFERRED: frozenset({PitchState.WITHDRAWN}),
}

OFFER_MOVES: Moves = {
    OfferState.OPEN: frozenset({OfferState.ACCEPTED, OfferState.DECLINED, OfferState.EXPIRED, OfferState.REPLACED}),
    OfferState.ACCEPTED: frozenset(),
    OfferState.DECLINED: frozenset(),
    OfferState.EXPIRED: frozenset(),
    OfferState.REPLACED: frozenset(),
}

COUNTER_MOVES: Moves = {
    CounterState.OPEN: frozenset(state for state in CounterState if state != CounterState.OPEN),
    **{state: frozenset() for state in CounterState if state != CounterState.OPEN},
}

EDITABLE_PITCH = frozenset({PitchState.DRAFT, PitchState.RETURNED})
"""The team can still type."""
CONTINUABLE_PITCH = EDITABLE_PITCH | {PitchState.DEFERRED}
"""The team can take it to another round."""
PRIVATE_PITCH = frozenset({PitchState.DRAFT})
"""Nobody outside the team has been shown it."""
WITHDRAWABLE_PITCH = frozenset(state for state, after in PITCH_MOVES.items() if PitchState.WITHDRAWN in after)
COMMITTEE_AT_WORK = frozenset({RoundState.OPEN, RoundState.REVIEWING, RoundState.VOTING, RoundState.DECIDING})
"""The committee can still change what becomes of the pitches."""
BALLOTS_REVEALED = frozenset({RoundState.DECIDING, RoundState.PUBLISHED, RoundState.SETTLED})
DECISIONS_PUBLIC = frozenset({RoundState.PUBLISHED, RoundState.SETTLED})


def require_move(moves: Moves, before: str, after: str, what: str) -> None:
    """Let a state change pass when its table allows it; raises WrongState with a sentence otherwise."""
    if after not in moves[before]:
        raise WrongState(f"{what} is {_words(before)} and cannot become {_words(after)}.", code="wrong_state")


def _words(state: str) -> str:
    return state.replace("_", " ")
