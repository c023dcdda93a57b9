"""Permissions of rounds, pitches, reviews, decisions and offers.

The team types, its leads commit it; the committee judges what was submitted to its rounds, each member only where
they have no conflict; finance and auditors read. `selectors.pitches.pitches_visible_to` is `view_pitch` for lists.
"""

from typing import Any

from rules.predicates import Predicate, is_authenticated

from pitches.models import Offer, Pitch, Round
from pitches.selectors.applicants import is_applicant
from pitches.selectors.conflicts import is_conflicted
from pitches.selectors.pitches import is_shown
from pitches.selectors.rounds import seat_of
from pitches.selectors.seals import is_unsealed_to
from pitches.transitions import DECISIONS_PUBLIC, RoundState
from teams.rules import (
    allow,
    is_auditor,
    is_chair,
    is_committee,
    is_compliance,
    is_finance,
    is_lead,
    is_member,
    is_platform_admin,
    is_system,
    is_unit_head,
)
from teams.selectors import Person
from teams.selectors import is_lead as leads
from teams.selectors import is_member as belongs
from teams.selectors import is_unit_head as heads


def _round_of(target: Any) -> Round | None:
    if isinstance(target, Round):
        return target
    return target.round if isinstance(target, Pitch) else None


@Predicate
def is_past_draft(user: Person, target: Any) -> bool:
    """Say whether a round was announced."""
    return isinstance(target, Round) and target.state != RoundState.DRAFT


@Predicate
def is_submitted(user: Person, target: Any) -> bool:
    """Say whether a pitch was ever submitted."""
    return isinstance(target, Pitch) and is_shown(target)


@Predicate
def is_unsealed(user: Person, target: Any) -> bool:
    """Say whether what was submitted is open to somebody outside the team, by time or by a peek."""
    return isinstance(target, Pitch) and is_unsealed_to(user, target)


@Predicate
def is_decided(user: Person, target: Any) -> bool:
    """Say whether the decisions of the round are published."""
    round_ = _round_of(target)
    return round_ is not None and round_.state in DECISIONS_PUBLIC


@Predicate
def has_seat(user: Person, target: Any) -> bool:
    """Say whether somebody sits in the committee of a round, or of a pitch's round."""
    round_ = _round_of(target)
    return round_ is not None and seat_of(user, round_) is not None


@Predicate
def has_chair(user: Person, target: Any) -> bool:
    """Say whether somebody chairs the committee of a round, or of a pitch's round."""
    round_ = _round_of(target)
    seat = seat_of(user, round_) if round_ is not None else None
    return seat is not None and seat.is_chair


@Predicate
def has_conflict(user: Person, target: Any) -> bool:
    """Say whether somebody must stay away from the decision on a pitch."""
    return isinstance(target, Pitch) and is_conflicted(user, target)


@Predicate
def stands_in(user: Person, target: Any) -> bool:
    """Say whether the chair has a conflict about a pitch, so that any other member decides."""
    if not isinstance(target, Pitch):
        return False
    chairs = target.round.seats.filter(is_chair=True).select_related("user")
    return all(is_conflicted(seat.user, target) for seat in chairs)


@Predicate
def leads_pitching_team(user: Person, target: Any) -> bool:
    """Say whether somebody leads the team that an offer was made to."""
    return isinstance(target, Offer) and leads(user, target.pitch.team)


@Predicate
def is_in_pitching_team(user: Person, target: Any) -> bool:
    """Say whether somebody belongs to the team that an offer was made to, or heads its unit."""
    return isinstance(target, Offer) and (belongs(user, target.pitch.team) or heads(user, target.pitch.team))


@Predicate
def sits_for_pitch(user: Person, target: Any) -> bool:
    """Say whether somebody sits in the committee of an offer's round and has no conflict about its pitch."""
    if not isinstance(target, Offer) or seat_of(user, target.pitch.round) is None:
        return False
    return not is_conflicted(user, target.pitch)


@Predicate
def sits_recused(user: Person, target: Any) -> bool:
    """Say whether somebody sits in the committee and must stay away from this pitch."""
    return bool(has_seat(user, target)) and bool(has_conflict(user, target))


@Predicate
def applies_too(user: Person, target: Any) -> bool:
    """Say whether somebody is a co-applicant of a pitch."""
    return isinstance(target, Pitch) and is_applicant(user, target)


unconflicted_member = has_seat & ~has_conflict
kept_out = has_seat & has_conflict
"""A pitch that a member must stay away from is closed to them whatever else they are, until its round is decided."""

allow("pitches", is_committee | is_platform_admin | is_auditor)
allow("pitches.view_round", is_past_draft | has_seat | is_chair | is_finance | is_auditor)
allow("pitches.list_rounds", Predicate(is_authenticated))
allow("pitches.add_round", is_chair | is_finance | is_system)
allow("pitches.change_round", is_chair | is_finance | is_system)
allow("pitches.run_round", has_chair | is_system)
allow("pitches.sit_round", has_seat)
allow("pitches.desk_round", has_seat | is_chair | is_auditor)

allow("pitches.add_pitch", is_member)
allow(
    "pitches.view_pitch",
    is_member
    | is_unit_head
    | applies_too
    | (is_submitted & is_unsealed & (unconflicted_member | ((is_finance | is_auditor) & (~kept_out | is_decided)))),
)
allow("pitches.change_pitch", is_member)
allow("pitches.write_pitch", is_member | applies_too)
allow("pitches.submit_pitch", is_lead)
allow("pitches.withdraw_pitch", is_lead)

allow(
    "pitches.view_thread",
    is_member | applies_too | (is_submitted & is_unsealed & ~sits_recused & (has_seat | is_finance | is_auditor)),
)
allow("pitches.ask_question", is_submitted & is_unsealed & unconflicted_member)
allow("pitches.answer_question", is_member | applies_too)

allow("pitches.list_screenings", is_platform_admin | is_compliance)
allow("pitches.check_estimate", is_submitted & is_unsealed & is_platform_admin & ~has_conflict)
allow("pitches.check_compliance", is_submitted & is_unsealed & is_compliance & ~has_conflict)
allow("pitches.peek_round", has_seat | is_finance | is_auditor)
allow("pitches.peek_pitch", is_submitted & ~has_conflict & (has_seat | is_finance | is_auditor))

allow("pitches.declare_conflict", has_seat)
allow("pitches.judge_conflict", (has_chair | (has_seat & stands_in)) & ~has_conflict)
allow("pitches.read_pitch", unconflicted_member & is_submitted & is_unsealed)
allow("pitches.screen_pitch", unconflicted_member & is_unsealed)
allow("pitches.review_pitch", unconflicted_member)
allow("pitches.view_review", unconflicted_member | (is_auditor & is_decided))
allow("pitches.discuss_pitch", is_submitted & is_unsealed & unconflicted_member)
allow("pitches.decide_lane", is_submitted & unconflicted_member)
allow("pitches.audit_lane", is_auditor)
allow("pitches.vote_pitch", unconflicted_member)
allow("pitches.decide_pitch", (has_chair | (has_seat & stands_in)) & ~has_conflict)

allow("pitches.override_pitch", unconflicted_member)
allow("pitches.move_pitch", unconflicted_member)
allow("pitches.view_minutes", has_seat | (is_decided & (is_chair | is_auditor | is_finance)))
allow("pitches.view_claims", is_finance | is_auditor | is_chair | is_committee | is_system)
allow("pitches.resolve_claim", is_finance | is_system)
allow("pitches.view_offer", is_in_pitching_team | is_finance | is_auditor)
allow("pitches.answer_offer", leads_pitching_team)
allow("pitches.follow_offer", is_in_pitching_team | is_finance | is_auditor | sits_for_pitch)
