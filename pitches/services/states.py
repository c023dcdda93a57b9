"""The one door through which rounds, pitches, offers and counter-offers change state: checked, stored, recorded."""

from typing import Any

from pitches.models import Counter, Offer, Pitch, Round
from pitches.transitions import (
    COUNTER_MOVES,
    OFFER_MOVES,
    PITCH_MOVES,
    ROUND_MOVES,
    CounterState,
    OfferState,
    PitchState,
    RoundState,
    require_move,
)
from teams.models import User
from teams.services import audit_record


def round_move(
    *, actor: User, round_: Round, to: RoundState, verb: str, reason: str = "", details: dict[str, Any] | None = None
) -> None:
    """Move a locked round to a state and save it whole. Raises WrongState."""
    require_move(ROUND_MOVES, round_.state, to, f"The round {round_.name}")
    _move(actor, verb, round_, to, reason, details)
    # A trigger opens the seal as the state changes.
    round_.refresh_from_db(fields=["unsealed_at"])


def pitch_move(
    *, actor: User, pitch: Pitch, to: PitchState, verb: str, reason: str = "", details: dict[str, Any] | None = None
) -> None:
    """Move a locked pitch to a state and save it whole. Raises WrongState."""
    require_move(PITCH_MOVES, pitch.state, to, f"The pitch {pitch}")
    _move(actor, verb, pitch, to, reason, details)


def offer_move(
    *, actor: User, offer: Offer, to: OfferState, verb: str, reason: str = "", details: dict[str, Any] | None = None
) -> None:
    """Move a locked offer to a state and save it whole. Raises WrongState."""
    require_move(OFFER_MOVES, offer.state, to, "The offer")
    _move(actor, verb, offer, to, reason, details)


def counter_move(
    *,
    actor: User,
    counter: Counter,
    to: CounterState,
    verb: str,
    reason: str = "",
    details: dict[str, Any] | None = None,
) -> None:
    """Move a locked counter-offer to a state and save it whole. Raises WrongState."""
    require_move(COUNTER_MOVES, counter.state, to, "The counter-offer")
    _move(actor, verb, counter, to, reason, details)


def _move(
    actor: User,
    verb: str,
    target: Round | Pitch | Offer | Counter,
    to: str,
    reason: str,
    details: dict[str, Any] | None,
) -> None:
    moved = {"from": str(target.state), "to": str(to), **(details or {})}
    target.state = to
    target.save()
    audit_record(actor=actor, verb=verb, target=target, reason=reason, details=moved)
