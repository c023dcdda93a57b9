"""Rows of lists, each in a constant number of queries."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Prefetch, Q, QuerySet, Sum

from pitches.models import Decision, DecisionLine, Offer, Outcome, Pitch, Round
from pitches.questions import Basis, Case
from pitches.selectors.offers import lines_of, offer_of
from pitches.selectors.scores import PitchScores, scores_of_round
from pitches.transitions import DECISIONS_PUBLIC, PitchState
from teams.models import User


def with_ask(pitches: QuerySet[Pitch]) -> QuerySet[Pitch]:
    """Add `ask`: what the current revision asks for at target over the period, in USD; None before the first."""
    wanted = Q(current__quote_lines__basis=Basis.ASKED, current__quote_lines__case=Case.TARGET)
    return pitches.annotate(ask=Sum("current__quote_lines__expected", filter=wanted))


NEXT = {
    PitchState.DRAFT: "Finish it and submit it",
    PitchState.SUBMITTED: "The committee takes a first look",
    PitchState.RETURNED: "Answer the committee and submit again",
    PitchState.IN_REVIEW: "The committee is reading it",
    PitchState.SHORTLISTED: "The committee votes and decides",
    PitchState.OFFERED: "Accept, counter or decline the offer",
    PitchState.FUNDED: "Issue keys and spend it well",
    PitchState.DEFERRED: "Take it to the next round",
    PitchState.WAITLISTED: "It moves up when money comes back",
}


def next_step(pitch: Pitch) -> str:
    """Return what happens next with a pitch, in a few words; empty when nothing does."""
    return NEXT.get(PitchState(pitch.state), "")


@dataclass(frozen=True, slots=True)
class Published:
    """One published decision with the newest offer that came of it; amounts are USD."""

    pitch: Pitch
    decision: Decision
    offer: Offer | None
    awarded: Decimal
    scores: PitchScores


def published_decisions(round_: Round) -> list[Published]:
    """Return every decision of a published round with its reason and scores, funded first; empty before."""
    if round_.state not in DECISIONS_PUBLIC and not round_.is_fast_lane:
        return []
    decisions = Decision.objects.filter(pitch__round=round_).exclude(published_at=None)
    decisions = decisions.select_related("pitch__team", "revision").prefetch_related(
        Prefetch("lines", DecisionLine.objects.order_by("pk")), "pitch__offers__lines"
    )
    scores = scores_of_round(round_)
    rows = [
        Published(
            pitch=decision.pitch,
            decision=decision,
            offer=offer_of(decision.pitch),
            awarded=_awarded(decision),
            scores=scores[decision.pitch_id],
        )
        for decision in decisions
    ]
    order = {outcome: place for place, outcome in enumerate(Outcome)}
    return sorted(rows, key=lambda row: (order[Outcome(row.decision.outcome)], -row.awarded, row.pitch.pk))


def _awarded(decision: Decision) -> Decimal:
    offer = offer_of(decision.pitch)
    return sum(lines_of(offer.lines.all()).values(), Decimal(0)) if offer is not None else Decimal(0)


def offers_waiting(user: User) -> QuerySet[Offer]:
    """Return the open offers that somebody can answer, the one that expires first in front."""
    teams = user.memberships.filter(role="lead").values("team")
    offers = Offer.objects.filter(state="open", pitch__team__in=teams).select_related("pitch__team", "pitch__round")
    return offers.order_by("expires_at", "pk")
