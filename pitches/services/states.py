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
    before = round_.state
    require_move(ROUND_MOVES, before, to, f"The round {round_.name}")
    round_.state = to
    round_.save()
    # A trigger opens the seal as the state changes.
    round_.refresh_from_db(fields=["unsealed_at"])
    _record(actor, verb, round_, before, to, reason, details)


def pitch_move(
    *, actor: User, pitch: Pitch, to: PitchState, verb: str, reason: str = "", details: dict[str, Any] | None = None
) -> None:
    """Move a locked pitch to a state and save it whole. Raises WrongState."""
    before = pitch.state
    require_move(PITCH_MOVES, before, to, f"The pitch {pitch}")
    pitch.state = to
    pitch.save()
    _record(actor, verb, pitch, before, to, reason, details)


def offer_move(
    *, actor: User, offer: Offer, to: OfferState, verb: str, reason: str = "", details: dict[str, Any] | None = None
) -> None:
    """Move a locked offer to a state and save it whole. Raises WrongState."""
    before = offer.state
    require_move(OFFER_MOVES, before, to, "The offer")
    offer.state = to
    offer.save()
    _record(actor, verb, offer, before, to, reason, details)


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
    before = counter.state
    require_move(COUNTER_MOVES, before, to, "The counter-offer")
    counter.state = to
    counter.save()
    _record(actor, verb, counter, before, to, reason, details)


def _record(
    actor: User,
    verb: str,
    target: Round | Pitch | Offer | Counter,
    before: str,
    to: str,
    reason: str,
    details: dict[str, Any] | None,
) -> None:
    moved = {"from": str(before), "to": str(to), **(details or {})}
    audit_record(actor=actor, verb=verb, target=target, reason=reason, details=moved)
