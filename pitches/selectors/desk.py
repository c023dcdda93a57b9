"""The committee's pages: what one member sees of a round, in a constant number of queries.

What a member must not see is not read into their rows at all: of a pitch that they are recused from they get its
title, team and state, and nothing that the committee thinks of it.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal

from django.db.models import Prefetch

from pitches.models import Decision, DecisionLine, Outcome, Pitch, Round
from pitches.selectors.assignments import pitches_assigned_to
from pitches.selectors.conflicts import conflicted_ids, recusals_standing, why_recused
from pitches.selectors.lists import with_ask
from pitches.selectors.rounds import seat_of
from pitches.selectors.scores import (
    PitchScores,
    pitches_reviewed_by,
    pitches_voted_by,
    scores_of_round,
)
from pitches.selectors.seals import sealed_ids, sealed_pitches
from pitches.transitions import BALLOTS_REVEALED, DECISIONS_PUBLIC, PRIVATE_PITCH, PitchState, RoundState
from teams.models import User

BLIND = frozenset({RoundState.DRAFT, RoundState.OPEN, RoundState.REVIEWING})
"""While a round is here, a member sees others' scores of a pitch only when their own are in."""


@dataclass(frozen=True, slots=True)
class Row:
    """One pitch as one member may see it. `scores` and `decision` are None where they are closed to the member."""

    pitch: Pitch
    recused: str
    reviewed: bool
    voted: bool
    reviews: int | None
    eligible: int | None
    scores: PitchScores | None
    decision: Decision | None
    awarded: Decimal
    running: Decimal
    assigned: bool = False

    @property
    def worth_per_dollar(self) -> Decimal | None:
        """Return the claimed value per dollar asked, to one place."""
        ask: Decimal | None = getattr(self.pitch, "ask", None)
        revision = self.pitch.current
        return (revision.value_p50 / ask).quantize(Decimal("0.1")) if ask and revision else None

    @property
    def dots(self) -> list[bool]:
        """Return the disagreement as five dots, full ones first: one for each half point of spread."""
        spread = self.scores.disagreement if self.scores else None
        full = min(5, int((spread * 2).to_integral_value())) if spread is not None else 0
        return [place < full for place in range(5)]


@dataclass(slots=True)
class Desk:
    """A round as one member sees it; amounts are USD and leave out what the member is recused from."""

    rows: list[Row] = field(default_factory=list)
    decided: Decimal = Decimal(0)
    hidden: int = 0
    sealed: int = 0

    @property
    def open(self) -> int:
        """Return how many pitches are open to this member."""
        return len(self.rows) - self.hidden

    @property
    def to_review(self) -> int:
        """Return how many pitches wait for this member's review."""
        return sum(
            1 for row in self.rows if row.pitch.state == PitchState.IN_REVIEW and not row.recused and not row.reviewed
        )

    @property
    def to_vote(self) -> int:
        """Return how many pitches wait for this member's ballot."""
        return sum(
            1 for row in self.rows if row.pitch.state == PitchState.SHORTLISTED and not row.recused and not row.voted
        )

    @property
    def undecided(self) -> int:
        """Return how many pitches have no decision yet, of those that the member may see."""
        on_ballot = [row for row in self.rows if row.pitch.state == PitchState.SHORTLISTED and not row.recused]
        return sum(1 for row in on_ballot if row.decision is None)


def desk_of(user: User, round_: Round) -> Desk:
    """Return the committee's view of a round for one reader, best score first once the ballots are open."""
    pitches = with_ask(
        Pitch.objects.filter(round=round_, current__isnull=False)
        .exclude(state__in=PRIVATE_PITCH)
        .select_related("team__business_unit", "current", "owner")
        .prefetch_related(
            Prefetch(
                "decision",
                Decision.objects.select_related("decided_by").prefetch_related(
                    Prefetch("lines", DecisionLine.objects.order_by("pk"))
                ),
            )
        )
        .order_by("pk")
    )
    sealed = sealed_ids(user, round_)
    hidden = conflicted_ids(user, round_)
    assigned = pitches_assigned_to(user, round_)
    reasons = {recusal.pitch_id: recusal.reason for recusal in recusals_standing(user, round_)}
    scores, reviewed, voted = scores_of_round(round_), pitches_reviewed_by(user, round_), pitches_voted_by(user, round_)
    # Those without a seat, such as auditors, see scores and decisions when everybody does.
    closed = round_.state not in DECISIONS_PUBLIC and seat_of(user, round_) is None
    rows = []
    for pitch in pitches.exclude(pk__in=sealed):
        if pitch.pk in hidden:
            reason = reasons.get(pitch.pk) or why_recused(pitch, user)
            rows.append(_closed(pitch, reason))
        else:
            row = _opened(pitch, round_, scores[pitch.pk], pitch.pk in reviewed, pitch.pk in voted)
            row = replace(row, assigned=pitch.pk in assigned)
            rows.append(replace(row, scores=None, decision=None, awarded=Decimal(0)) if closed else row)
    if round_.state in BALLOTS_REVEALED:
        rows.sort(key=_by_score)
    elif round_.state == RoundState.REVIEWING:
        rows.sort(key=lambda row: not row.assigned)
    desk = _summed(rows)
    desk.sealed = sum(1 for pitch in sealed_pitches(user, round_) if not pitch.is_opened)
    return desk


def _closed(pitch: Pitch, reason: str) -> Row:
    return Row(
        pitch=pitch,
        recused=reason,
        reviewed=False,
        voted=False,
        reviews=None,
        eligible=None,
        scores=None,
        decision=None,
        awarded=Decimal(0),
        running=Decimal(0),
    )


def _opened(pitch: Pitch, round_: Round, scores: PitchScores, reviewed: bool, voted: bool) -> Row:
    decision: Decision | None = getattr(pitch, "decision", None)
    funded = decision is not None and decision.outcome == Outcome.FUND
    lines = decision.lines.all() if decision is not None and funded else []
    return Row(
        pitch=pitch,
        recused="",
        reviewed=reviewed,
        voted=voted,
        reviews=scores.reviews,
        eligible=scores.eligible,
        scores=None if round_.state in BLIND and not reviewed else scores,
        decision=decision,
        awarded=sum((line.amount for line in lines), Decimal(0)),
        running=Decimal(0),
    )


def _by_score(row: Row) -> tuple[bool, Decimal, Decimal, int]:
    score = row.scores.ballot_score if row.scores else None
    review = row.scores.review_score if row.scores else None
    return (bool(row.recused), -(score or Decimal(0)), -(review or Decimal(0)), row.pitch.pk)


def _summed(rows: list[Row]) -> Desk:
    desk = Desk()
    for row in rows:
        desk.decided += row.awarded
        desk.hidden += bool(row.recused)
        desk.rows.append(replace(row, running=desk.decided))
    return desk
