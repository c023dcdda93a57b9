"""Rounds: prepare, open with real money, move through their calendar, settle or cancel."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.db import transaction
from djmoney.money import Money

from ledger.money import CURRENCY, show
from ledger.selectors import balance
from ledger.services import pool_open, pool_return
from pitches import sealing
from pitches.access import require_member
from pitches.asking import DEFAULT_CHECKLIST
from pitches.models import Aspect, Criterion, Offer, Pitch, Round, RoundKind
from pitches.questions import DEFAULT_CRITERIA
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.rounds import rounds_past_deadline
from pitches.selectors.screening import infeasible, unscreened
from pitches.services.asking import checklist_write
from pitches.services.assignments import assignments_make
from pitches.services.ballots import ballot_key_make, ballots_reveal
from pitches.services.carrying import drafts_carry
from pitches.services.conflicts import recusals_find
from pitches.services.locks import round_locked
from pitches.services.notices import tell_members_what_waits, tell_team, tell_who_decides
from pitches.services.options import options_make
from pitches.services.states import pitch_move, round_move
from pitches.transitions import OfferState, PitchState, RoundState
from teams.access import require
from teams.errors import SHORTEST_REASON, Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

HEAVIEST = 100
MOST_MONTHS = 36


@dataclass(frozen=True, slots=True)
class Calendar:
    """The deadlines of a round, aware and in order."""

    submissions_close_at: datetime
    reviews_close_at: datetime
    voting_closes_at: datetime
    answers_due_at: datetime

    @classmethod
    def of_fast_lane(cls, until: datetime, answers_due_at: datetime) -> "Calendar":
        """Return the calendar of a fast lane, which takes and decides pitches until one moment."""
        return cls(until, until, until, answers_due_at)


@dataclass(frozen=True, slots=True)
class Rules:
    """What decisions of a round rest on; fixed when it opens. With a limit (USD per pitch) it is a fast lane."""

    reserve_share: Decimal = Decimal("0.1")
    hurdle: Decimal = Decimal(1)
    quorum: int = 3
    team_cap: Decimal | None = None
    frontier_cap: Decimal | None = None
    reviews_per_pitch: int = 3
    fast_lane_limit: Decimal | None = None


@transaction.atomic
def round_create(
    *,
    actor: User,
    name: str,
    cap: Money,
    calendar: Calendar,
    starts_on: date,
    months: int,
    time_zone: str = "UTC",
    rules: Rules | None = None,
    criteria: Sequence[tuple[str, str, int]] = DEFAULT_CRITERIA,
    recurs_months: int | None = None,
) -> Round:
    """Prepare a round with its criteria and the usual checklist; nobody but its makers sees it before it opens.

    Raises NotAllowed, or Refused (invalid) with the field that is wrong.
    """
    require(actor, "pitches.add_round", message="Only the chair or finance prepares rounds.")
    round_ = Round(
        name=name.strip(),
        cap=cap.amount,
        starts_on=starts_on,
        months=months,
        time_zone=time_zone,
        recurs_months=recurs_months,
        created_by=actor,
    )
    calendar_set(round_, calendar)
    rules_set(round_, rules or Rules())
    require_sense(round_, cap)
    round_.save()
    criteria_set(round_, criteria)
    checklist_write(round_, DEFAULT_CHECKLIST)
    audit_record(actor=actor, verb="round.create", target=round_, details={"cap": str(round_.cap)})
    return round_


def calendar_set(round_: Round, calendar: Calendar) -> None:
    """Give a round that is not saved yet its deadlines."""
    for name in Calendar.__dataclass_fields__:
        setattr(round_, name, getattr(calendar, name))


def rules_set(round_: Round, rules: Rules) -> None:
    """Give a round that is not saved yet its rules."""
    for name in Rules.__dataclass_fields__:
        setattr(round_, name, getattr(rules, name))
    round_.kind = RoundKind.REGULAR if rules.fast_lane_limit is None else RoundKind.FAST_LANE


def criteria_set(round_: Round, criteria: Sequence[tuple[str, str, int]]) -> None:
    """Give a draft round its criteria (name, question, weight) in order, instead of those it has.

    Raises Refused (criteria_missing, invalid); the field names the row, such as `criteria-0-weight`.
    """
    if not criteria:
        raise Refused("Name at least one criterion.", code="criteria_missing")
    rows = [
        Criterion(round=round_, name=name.strip(), question=question.strip(), weight=weight, position=position)
        for position, (name, question, weight) in enumerate(criteria, start=1)
    ]
    names: set[str] = set()
    for number, row in enumerate(rows):
        _require_criterion(row, f"criteria-{number}", names)
        names.add(row.name)
    round_.criteria.all().delete()
    Criterion.objects.bulk_create(rows)


def _require_criterion(row: Criterion, place: str, names: set[str]) -> None:
    if not 1 <= row.weight <= HEAVIEST:
        raise Refused(f"A weight is from 1 to {HEAVIEST}.", code="invalid", field=f"{place}-weight")
    if row.name in names:
        raise Refused("Another criterion has this name.", code="invalid", field=f"{place}-name")
    try:
        row.clean_fields(exclude=["round"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Refused(messages[0], code="invalid", field=f"{place}-{field}") from error


def require_sense(round_: Round, cap: Money) -> None:
    """Let a service go on only with a round that makes sense; raises Refused (invalid) with the field."""
    if str(cap.currency) != CURRENCY:
        raise Refused(f"A round's cap is in {CURRENCY}.", code="invalid", field="cap")
    if cap.amount <= 0:
        raise Refused("The cap must be more than zero.", code="invalid", field="cap")
    _require_order(round_)
    if round_.fast_lane_limit is not None and not 0 < round_.fast_lane_limit <= cap.amount:
        raise Refused("More than zero, and not more than the cap.", code="invalid", field="fast_lane_limit")
    if round_.time_zone not in available_timezones():
        raise Refused(
            f"“{round_.time_zone}” is not a time zone such as Europe/Berlin.", code="invalid", field="time_zone"
        )
    recurs = round_.recurs_months
    if recurs is not None and not 1 <= recurs <= MOST_MONTHS:
        raise Refused(f"From 1 to {MOST_MONTHS} months.", code="invalid", field="recurs_months")
    try:
        round_.full_clean(exclude=["created_by"])
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Refused(messages[0], code="invalid", field="" if field == "__all__" else field) from error


def _require_order(round_: Round) -> None:
    names = list(Calendar.__dataclass_fields__)
    if round_.is_fast_lane:
        round_.reviews_close_at = round_.voting_closes_at = round_.submissions_close_at
        names = ["submissions_close_at", "answers_due_at"]
    for before, name in pairwise(names):
        if getattr(round_, name) <= getattr(round_, before):
            raise Refused("This comes after the deadline above it.", code="invalid", field=name)


@transaction.atomic
def round_open(*, actor: User, round_: Round, reason: str) -> Round:
    """Open a round for pitches: its cap leaves the reserve for its pool, and its seed is committed to.

    Raises NotAllowed, WrongState, Refused (reason_missing, committee_missing, deadline_past, overdraft).
    """
    require(actor, "pitches.change_round", message="Only the chair or finance opens rounds.")
    round_ = round_locked(round_)
    require_reason(reason, "Give a reason; it stays in the history.")
    seats = list(round_.seats.all())
    if len(seats) < round_.quorum or not any(seat.is_chair for seat in seats):
        raise Refused(
            f"The committee needs a chair and at least {round_.quorum} members, else no pitch can reach its quorum.",
            code="committee_missing",
        )
    if round_.submissions_close_at <= datetime.now(UTC):
        raise Refused("The last day for pitches has passed: set a later one.", code="deadline_past")
    seed = sealing.seed_make()
    round_.seed_sealed = sealing.seed_seal(seed)
    round_.seed_hash = hashlib.sha256(seed.encode()).hexdigest()
    if round_.state == RoundState.DRAFT:
        round_.pool = pool_open(
            actor=actor,
            code=f"pool:round-{round_.pk}",
            name=f"Round {round_.name}",
            amount=round_.cap_money,
            reason=reason,
            key=f"round:{round_.pk}:open",
        )
    details = {"cap": str(round_.cap), "seed_hash": round_.seed_hash}
    round_move(actor=actor, round_=round_, to=RoundState.OPEN, verb="round.open", reason=reason, details=details)
    drafts_carry(actor=actor)
    return round_


@transaction.atomic
def round_reschedule(*, actor: User, round_: Round, calendar: Calendar, reason: str) -> Round:
    """Set other deadlines. Raises NotAllowed, WrongState once published, Refused (reason_missing, invalid)."""
    require(actor, "pitches.change_round", message="Only the chair or finance sets deadlines.")
    round_ = round_locked(round_)
    require_reason(reason, "Give a reason; it stays in the history.")
    if round_.state in {RoundState.PUBLISHED, RoundState.SETTLED, RoundState.CANCELLED}:
        raise WrongState("Its calendar is over.")
    before = round_.submissions_close_at
    calendar_set(round_, calendar)
    require_sense(round_, round_.cap_money)
    round_.save()
    details = {"submissions_closed_at": before.isoformat()}
    audit_record(actor=actor, verb="round.reschedule", target=round_, reason=reason, details=details)
    return round_


@transaction.atomic
def review_start(*, actor: User, round_: Round) -> Round:
    """Close a round for pitches, open its seal, take everything submitted into review and ask members to review it.

    Drafts go on to the next open round, or wait for one. Raises NotAllowed or WrongState.
    """
    require_member(actor, "pitches.run_round", round_, message="Only the chair closes a round for pitches.")
    round_ = round_locked(round_)
    if round_.is_fast_lane:
        raise WrongState("A fast lane has no reviews: a member decides on each pitch.")
    pitches = _locked_pitches(round_, PitchState.SUBMITTED)
    reason = f"Closed for pitches; {len(pitches)} go into review."
    round_move(actor=actor, round_=round_, to=RoundState.REVIEWING, verb="round.review", reason=reason)
    for pitch in pitches:
        reason = "The round was closed for pitches."
        pitch_move(actor=actor, pitch=pitch, to=PitchState.IN_REVIEW, verb="pitch.take_in", reason=reason)
    recusals_find(actor=actor, round_=round_)
    assignments_make(actor=actor, round_=round_, tell=False)
    drafts_carry(actor=actor, closed=round_)
    tell_members_what_waits(round_, PitchState.IN_REVIEW, "review", "admin:pitches_round_desk")
    return round_


def rounds_close_due(*, actor: User, at: datetime | None = None) -> list[Round]:
    """Close every round for pitches whose last day has passed, each in its own transaction."""
    now = at or datetime.now(UTC)
    return [round_ for round_ in rounds_past_deadline(now) if _close_due(actor, round_, now)]


@transaction.atomic
def _close_due(actor: User, round_: Round, now: datetime) -> bool:
    locked = round_locked(round_)
    if locked.state != RoundState.OPEN or locked.submissions_close_at > now:
        return False
    review_start(actor=actor, round_=locked)
    return True


@transaction.atomic
def voting_open(*, actor: User, round_: Round, reason: str = "") -> Round:
    """End the reviews and put every pitch in review on the ballot.

    Where the platform or compliance has not screened one of them it takes a `reason`, which stays in the history and
    in the minutes. Raises NotAllowed, WrongState, Refused (nothing_to_vote_on, still_submitted, infeasible,
    not_screened).
    """
    require_member(actor, "pitches.run_round", round_, message="Only the chair opens the vote.")
    round_ = round_locked(round_)
    pitches = _locked_pitches(round_, PitchState.IN_REVIEW)
    lacking = {pitch.pk: aspects for pitch, aspects in unscreened(pitches)}
    said = reason.strip() if lacking else "The reviews ended; every pitch in review is on the ballot."
    details = {"unscreened": sorted(lacking)} if lacking else None
    round_move(actor=actor, round_=round_, to=RoundState.VOTING, verb="round.vote", reason=said, details=details)
    if Pitch.objects.filter(round=round_, state=PitchState.SUBMITTED).exists():
        raise Refused("A pitch came back and waits: take it into review or return it first.", code="still_submitted")
    if not pitches:
        raise Refused("No pitch is in review, so there is nothing to vote on.", code="nothing_to_vote_on")
    hidden = conflicted_ids(actor, round_)
    _require_feasible(pitches, hidden)
    _require_screened([pitch for pitch in pitches if pitch.pk in lacking], hidden, reason)
    recusals_find(actor=actor, round_=round_)
    ballot_key_make(round_)
    for pitch in pitches:
        said = _reviews_ended(lacking.get(pitch.pk, []))
        pitch_move(actor=actor, pitch=pitch, to=PitchState.SHORTLISTED, verb="pitch.shortlist", reason=said)
    tell_members_what_waits(round_, PitchState.SHORTLISTED, "vote on", "admin:pitches_round_ballot")
    return round_


def _require_feasible(pitches: list[Pitch], hidden: frozenset[int]) -> None:
    found = [pitch for pitch, _ in infeasible(pitches)]
    if found:
        titles = _named(found, hidden)
        raise Refused(f"Found infeasible, so to be returned or declined first: {titles}.", code="infeasible")


def _named(pitches: list[Pitch], hidden: frozenset[int]) -> str:
    """Name pitches to somebody; how those stand that they are recused from is not said by name."""
    titles = sorted({pitch.submitted.title for pitch in pitches if pitch.pk not in hidden})
    if any(pitch.pk in hidden for pitch in pitches):
        titles.append("what you are recused from")
    return ", ".join(titles)


def _require_screened(missed: list[Pitch], hidden: frozenset[int], reason: str) -> None:
    if missed and len(reason.strip()) < SHORTEST_REASON:
        raise Refused(
            f"Not screened by both, the platform and compliance: {_named(missed, hidden)}. Wait for that, "
            f"or say in at least {SHORTEST_REASON} characters why the vote opens without it.",
            code="not_screened",
            field="reason",
        )


def _reviews_ended(lacking: list[Aspect]) -> str:
    # The team reads it; the chair's reason may be about others, and is in the round's history.
    missed = " and ".join(aspect.label.lower() for aspect in lacking)
    return f"The reviews ended. Not screened: {missed}." if missed else "The reviews ended."


@transaction.atomic
def voting_close(*, actor: User, round_: Round) -> Round:
    """Close the vote, open every ballot at once and make the offers to choose from. Raises NotAllowed or WrongState."""
    require_member(actor, "pitches.run_round", round_, message="Only the chair closes the vote.")
    round_ = round_locked(round_)
    recusals_find(actor=actor, round_=round_)
    reason = "The vote was closed; every ballot is opened at once."
    round_move(actor=actor, round_=round_, to=RoundState.DECIDING, verb="round.decide", reason=reason)
    reveal = ballots_reveal(round_)
    details = {"ballots": reveal.ballots, "receipts_sha256": reveal.receipts_sha256}
    audit_record(actor=actor, verb="round.reveal", target=round_, details=details)
    options_make(actor=actor, round_=round_)
    tell_who_decides(round_)
    return round_


@transaction.atomic
def round_settle(*, actor: User, round_: Round) -> Round:
    """Give what is left of the pool back to the reserve once every offer is answered; the waitlist lapses.

    Raises NotAllowed, WrongState, Refused (offers_open).
    """
    require(actor, "pitches.change_round", message="Only the chair or finance settles rounds.")
    round_ = round_locked(round_)
    waiting = Offer.objects.filter(pitch__round=round_, state=OfferState.OPEN).count()
    if waiting:
        raise Refused(f"{waiting} offers still wait for an answer.", code="offers_open")
    returned = _pool_empty(actor, round_, "Round settled") if round_.state == RoundState.PUBLISHED else Decimal(0)
    round_move(
        actor=actor,
        round_=round_,
        to=RoundState.SETTLED,
        verb="round.settle",
        reason=f"{show(returned)} returned to the reserve.",
    )
    for pitch in _locked_pitches(round_, PitchState.WAITLISTED):
        pitch_move(actor=actor, pitch=pitch, to=PitchState.LAPSED, verb="pitch.lapse", reason="The round was settled.")
        tell_team(pitch, f"{pitch}: the round was settled and the waitlist ended")
    return round_


@transaction.atomic
def round_cancel(*, actor: User, round_: Round, reason: str) -> Round:
    """Stop a round before anything is published: its money goes back, its pitches go back to their teams.

    Raises NotAllowed, WrongState, Refused (reason_missing).
    """
    require(actor, "pitches.change_round", message="Only the chair or finance cancels rounds.")
    round_ = round_locked(round_)
    require_reason(reason, "Give a reason; it stays in the history.")
    was_open = round_.pool is not None
    round_move(actor=actor, round_=round_, to=RoundState.CANCELLED, verb="round.cancel", reason=reason)
    if was_open:
        _pool_empty(actor, round_, f"Round cancelled: {reason}")
    note = f"The round was cancelled: {reason}"
    for pitch in _locked_pitches(round_, PitchState.SUBMITTED, PitchState.IN_REVIEW, PitchState.SHORTLISTED):
        pitch.return_note = note
        pitch_move(actor=actor, pitch=pitch, to=PitchState.RETURNED, verb="pitch.return", reason=note)
        tell_team(pitch, f"{pitch}: the round was cancelled", "The pitch can be carried over to another round.")
    drafts_carry(actor=actor, closed=round_)
    return round_


def _locked_pitches(round_: Round, *states: PitchState) -> list[Pitch]:
    rows = Pitch.objects.select_for_update(of=("self",)).select_related("team", "owner", "round")
    return list(rows.filter(round=round_, state__in=states).order_by("pk"))


def _pool_empty(actor: User, round_: Round, reason: str) -> Decimal:
    pool = round_.opened_pool
    left = balance(pool)
    if left.amount > 0:
        pool_return(actor=actor, pool=pool, amount=left, reason=reason, key=f"round:{round_.pk}:return")
    return Decimal(left.amount)
