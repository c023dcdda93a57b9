"""The fast lane: always open, under a limit per pitch, decided by one member without a conflict, and audited."""

from collections.abc import Mapping
from decimal import Decimal

from django.db import transaction

from ledger.models import Tier
from pitches import sealing
from pitches.access import require_member
from pitches.models import Decision, Outcome, Pitch, Round
from pitches.selectors.screening import infeasible
from pitches.services.carrying import drafts_carry
from pitches.services.decisions import decision_publish
from pitches.services.locks import pitch_locked, round_locked
from pitches.services.states import round_move
from pitches.transitions import PitchState, RoundState
from teams.errors import SHORTEST_REASON, Refused, WrongState, require_reason
from teams.models import User


@transaction.atomic
def lane_decide(
    *, actor: User, pitch: Pitch, outcome: Outcome, reason: str, lines: Mapping[Tier, Decimal] | None = None
) -> Decision:
    """Decide alone on a pitch of a fast lane: an offer, or a decline, goes out at once. Amounts are USD per tier.

    Raises NotAllowed, WrongState, Refused (outcome_unknown, reason_missing, infeasible, no_lines, not_in_cents,
    over_limit, below_hurdle, over_cap).
    """
    pitch = pitch_locked(pitch)
    require_member(
        actor, "pitches.decide_lane", pitch, message="One member without a conflict decides in the fast lane."
    )
    if not pitch.round.is_fast_lane or pitch.round.state != RoundState.OPEN or pitch.state != PitchState.SUBMITTED:
        raise WrongState("This pitch is not to be decided now.")
    if outcome not in {Outcome.FUND, Outcome.DECLINE}:
        raise Refused("The fast lane funds or declines.", code="outcome_unknown", field="outcome")
    require_reason(reason, "Give the reason that the team will read.", least=SHORTEST_REASON)
    if outcome == Outcome.FUND and infeasible([pitch]):
        raise Refused("A screening found it infeasible: return or decline it.", code="infeasible")
    return decision_publish(actor, pitch, outcome, reason.strip(), lines)


@transaction.atomic
def lane_close(*, actor: User, round_: Round, reason: str) -> Round:
    """Close a fast lane: it takes no more pitches, its seed is shown, its drafts go on elsewhere.

    Without a reason the history says that every pitch was answered.
    Raises NotAllowed, WrongState, Refused (still_submitted).
    """
    require_member(actor, "pitches.run_round", round_, message="Only the chair closes the fast lane.")
    round_ = round_locked(round_)
    if not round_.is_fast_lane:
        raise WrongState("This round is reviewed and voted on; it is no fast lane.")
    waiting = Pitch.objects.filter(round=round_, state=PitchState.SUBMITTED).count()
    if waiting:
        raise Refused(f"{waiting} pitches still wait for a decision.", code="still_submitted")
    round_.seed = sealing.seed_open(bytes(round_.seed_sealed))
    details = {"seed": round_.seed}
    reason = reason.strip() or "Every pitch that came in was answered."
    round_move(
        actor=actor, round_=round_, to=RoundState.PUBLISHED, verb="round.lane_close", reason=reason, details=details
    )
    drafts_carry(actor=actor, closed=round_)
    return round_
