"""Decisions: tentative within the cap while the committee deliberates, published all at once."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from ledger.models import Tier
from ledger.money import show
from pitches import sealing
from pitches.access import require_member, require_who_decides
from pitches.models import Decision, DecisionLine, Outcome, Pitch, PitchRevision, Round
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.offers import lines_of, room_of_decisions
from pitches.selectors.scores import scores_of_round
from pitches.selectors.selection import adopted_selection, pitch_results
from pitches.services.awarding import awards_checked, offer_make, require_hurdle, require_room
from pitches.services.locks import pitch_locked, round_locked
from pitches.services.notices import tell_team
from pitches.services.results import results_publish
from pitches.services.selection import awards_of
from pitches.services.states import pitch_move, round_move
from pitches.services.waitlist import is_queued, place_for, require_decider
from pitches.transitions import PitchState, RoundState
from teams.errors import SHORTEST_REASON, Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

FAST_LANE_ANSWER = timedelta(days=14)


@transaction.atomic
def decision_set(
    *,
    actor: User,
    pitch: Pitch,
    outcome: Outcome,
    reason: str,
    lines: Mapping[Tier, Decimal] | None = None,
    place: int | None = None,
) -> Decision:
    """Decide on a pitch, or decide otherwise; tentative until the round is published. Amounts are USD per tier.

    A pitch that is waitlisted with lines gets a `place`, by default the last: once they fit what comes free, it is
    offered them. Without lines it waits for the committee. Once an exact choice was adopted only the words of its
    reason can be changed: departing from it takes an override.
    Raises NotAllowed, WrongState, Refused (reason_missing, adopted, no_quorum, no_lines, not_in_cents, below_hurdle,
    over_cap, over_team_cap, over_frontier_cap, no_place, place_taken).
    """
    pitch = pitch_locked(pitch)
    require_who_decides(actor, pitch)
    if pitch.round.state != RoundState.DECIDING or pitch.state != PitchState.SHORTLISTED:
        raise WrongState("This pitch is not to be decided now.")
    require_reason(reason, "Give the reason that the team will read.", least=SHORTEST_REASON)
    revision = pitch.submitted
    queued = is_queued(outcome, any((lines or {}).values()))
    awards = awards_checked(lines or {}) if queued or outcome == Outcome.FUND else {}
    if not _is_as_adopted(pitch, outcome, awards):
        _require_allowed(actor, pitch, outcome, awards, queued=queued)
    place = place_for(pitch, place) if queued else None
    decision = _store(actor, pitch, revision, outcome, reason.strip(), awards, place)
    details: dict[str, Any] = {
        "outcome": outcome.value,
        "lines": {tier.value: str(amount) for tier, amount in awards.items()},
    }
    if place is not None:
        details["place"] = place
    audit_record(actor=actor, verb="pitch.decide", target=pitch, reason=reason, details=details)
    return decision


def _is_as_adopted(pitch: Pitch, outcome: Outcome, awards: Mapping[Tier, Decimal]) -> bool:
    selection = adopted_selection(pitch.round)
    if selection is None:
        return False
    said = pitch_results(selection).get(pitch.pk)
    if said is None or (outcome, dict(awards)) != (said["outcome"], awards_of(said)):
        raise Refused(
            "The exact choice was adopted: its reasons can be put into other words, but departing from it takes an "
            "override with a second signature.",
            code="adopted",
            field="outcome",
        )
    return True


def _require_allowed(
    actor: User, pitch: Pitch, outcome: Outcome, awards: Mapping[Tier, Decimal], *, queued: bool
) -> None:
    _require_quorum(pitch, outcome, queued=queued)
    if awards:
        require_hurdle(pitch.round, pitch.submitted.value_p50, sum(awards.values(), Decimal(0)))
    if outcome == Outcome.FUND:
        _require_left(actor, pitch, awards)


def _require_quorum(pitch: Pitch, outcome: Outcome, *, queued: bool) -> None:
    scores = scores_of_round(pitch.round)[pitch.pk]
    waits = outcome == Outcome.DEFER or (outcome == Outcome.WAITLIST and not queued)
    if not waits and not scores.has_quorum(pitch.round.quorum):
        raise Refused(
            f"No quorum: {len(scores.scores)} scores, {pitch.round.quorum} are needed, and votes from more than half "
            f"of {scores.eligible} eligible members. It can be deferred, or waitlisted without amounts, not decided.",
            code="no_quorum",
        )


LEFT = {
    "over_cap": "of the cap can still be awarded",
    "over_team_cap": "can still go to one team",
    "over_frontier_cap": "can still go to the frontier tier",
}


def _require_left(actor: User, pitch: Pitch, awards: Mapping[Tier, Decimal]) -> None:
    short = room_of_decisions(pitch.round, besides=pitch).short(pitch.team_id, awards)
    if short is None:
        return
    # What is left would say what the others awarded where the actor is recused.
    is_told = not conflicted_ids(actor, pitch.round)
    left = f"{show(short.left)} {LEFT[short.code]}" if is_told else "other awards take too much of the cap"
    raise Refused(f"{show(short.needed)} does not fit: {left}.", code=short.code, field="amount")


def _store(
    actor: User,
    pitch: Pitch,
    revision: PitchRevision,
    outcome: Outcome,
    reason: str,
    awards: Mapping[Tier, Decimal],
    place: int | None,
) -> Decision:
    # The old lines go first: the cap is checked by trigger after every statement.
    DecisionLine.objects.filter(decision__pitch=pitch).delete()
    decision, _ = Decision.objects.update_or_create(
        pitch=pitch,
        defaults={
            "revision": revision,
            "outcome": outcome,
            "reason": reason,
            "decided_by": actor,
            "decided_at": Now(),
            "waitlist_place": place,
        },
    )
    DecisionLine.objects.bulk_create(
        DecisionLine(decision=decision, tier=tier, amount=amount) for tier, amount in awards.items()
    )
    return decision


@transaction.atomic
def round_publish(*, actor: User, round_: Round) -> Round:
    """Publish every decision of a round together: offers go out, the seed is shown, nothing can be changed any more.

    Where an exact choice was adopted, each pitch gets its result with it: scores, worth, reason, place on the waitlist.
    Raises NotAllowed, WrongState, Refused (undecided, deadline_past, decided_with_conflict, stale, not_adopted,
    over_team_cap, over_frontier_cap).
    """
    require_member(actor, "pitches.run_round", round_, message="Only the chair publishes the decisions.")
    round_ = round_locked(round_)
    if round_.state != RoundState.DECIDING:
        raise WrongState(f"The round is {round_.get_state_display().lower()}: there is nothing to publish.")
    if round_.answers_due_at <= datetime.now(UTC):
        raise Refused("The last day to answer offers has passed: set a later one.", code="deadline_past")
    pitches = list(
        Pitch.objects.select_for_update(of=("self",))
        .select_related("team", "owner", "decision__decided_by", "decision__revision")
        .filter(round=round_, state=PitchState.SHORTLISTED)
        .order_by("pk")
    )
    _require_decided(pitches, hidden=conflicted_ids(actor, round_))
    results_publish(round_)
    Decision.objects.filter(pitch__in=pitches).update(published_at=Now())
    round_.seed = sealing.seed_open(bytes(round_.seed_sealed))
    round_move(
        actor=actor,
        round_=round_,
        to=RoundState.PUBLISHED,
        verb="round.publish",
        reason=f"{len(pitches)} decisions published together.",
        details={"pitches": len(pitches), "seed": round_.seed},
    )
    for pitch in pitches:
        pitch.round = round_
        _announce(actor, pitch)
    return round_


def _require_decided(pitches: list[Pitch], *, hidden: frozenset[int]) -> None:
    """Stop a publication; how pitches stand that are hidden from who publishes is not said by name."""
    open_ = [pitch for pitch in pitches if not hasattr(pitch, "decision")]
    missing = [pitch.title for pitch in open_ if pitch.pk not in hidden]
    if any(pitch.pk in hidden for pitch in open_):
        missing.append("what you are recused from")
    if missing:
        raise Refused(f"Still to be decided: {', '.join(missing)}.", code="undecided")
    for pitch in pitches:
        require_decider(pitch.decision, hidden=pitch.pk in hidden)


OUTCOMES = {
    Outcome.FUND: (PitchState.OFFERED, "pitch.offer"),
    Outcome.WAITLIST: (PitchState.WAITLISTED, "pitch.waitlist"),
    Outcome.DECLINE: (PitchState.DECLINED, "pitch.decline"),
    Outcome.DEFER: (PitchState.DEFERRED, "pitch.defer"),
}


def _announce(actor: User, pitch: Pitch) -> None:
    decision = pitch.decision
    state, verb = OUTCOMES[Outcome(decision.outcome)]
    pitch_move(actor=actor, pitch=pitch, to=state, verb=verb, reason=decision.reason)
    if decision.outcome == Outcome.FUND:
        lines = lines_of(decision.lines.all())
        require_room(pitch, lines)
        offer_make(pitch=pitch, decision=decision, lines=lines, expires_at=offers_due(pitch.round))
        until = f"{offers_due(pitch.round):%d %B %Y}"
        tell_team(pitch, f"An offer for {pitch}: answer by {until}", decision.reason, page="pitches:offer")
    else:
        tell_team(pitch, f"{pitch} was {state.label.lower()}", decision.reason)


def offers_due(round_: Round) -> datetime:
    """Return until when an offer that is made now can be answered: two weeks in a fast lane, else the round's day."""
    due: datetime = round_.answers_due_at
    return min(due, datetime.now(UTC) + FAST_LANE_ANSWER) if round_.is_fast_lane else due


def decision_publish(
    actor: User, pitch: Pitch, outcome: Outcome, reason: str, lines: Mapping[Tier, Decimal] | None
) -> Decision:
    """Decide on one locked pitch of a fast lane and publish that at once. Amounts are USD per tier.

    Raises Refused (no_lines, not_in_cents, over_limit, below_hurdle, over_cap).
    """
    revision = pitch.submitted
    awards = awards_checked(lines or {}) if outcome == Outcome.FUND else {}
    total = sum(awards.values(), Decimal(0))
    if total > pitch.round.fast_lane_limit:
        limit = show(pitch.round.fast_lane_limit)
        raise Refused(f"The fast lane awards at most {limit} per pitch.", code="over_limit", field="amount")
    if awards:
        require_hurdle(pitch.round, revision.value_p50, total)
        _require_left(actor, pitch, awards)
    decision = _store(actor, pitch, revision, outcome, reason, awards, None)
    details = {"outcome": outcome.value, "lines": {tier.value: str(amount) for tier, amount in awards.items()}}
    audit_record(actor=actor, verb="pitch.decide", target=pitch, reason=reason, details=details)
    Decision.objects.filter(pk=decision.pk).update(published_at=Now())
    pitch.decision = decision
    _announce(actor, pitch)
    return decision
