"""Decide within the cap: every pitch with its scores, its ask and the running total, then publish all at once."""

from decimal import Decimal
from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase

from pitches import services
from pitches.access import may
from pitches.admin.choosing import choice_context
from pitches.admin.pages import page, pitch_or_404, round_or_404
from pitches.forms.committee import DecisionForm
from pitches.models import Decision, Outcome
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.desk import desk_of
from pitches.selectors.offers import room_of, waitlist_table
from pitches.selectors.quotes import asked_by_tier
from pitches.selectors.rounds import decided_total, seat_of
from pitches.selectors.scores import scores_of_round
from pitches.transitions import BALLOTS_REVEALED, PitchState, RoundState
from teams.access import UserRequest
from teams.acting import done, submitted
from teams.forms import form_status

DECIDE = "admin:pitches_round_decide"


def decide(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show the table of decisions."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    desk = desk_of(request.user, round_)
    seat = seat_of(request.user, round_)
    rows = [row for row in desk.rows if row.pitch.state not in {PitchState.WITHDRAWN, PitchState.RETURNED}]
    outcomes = [row.decision.outcome for row in rows if row.decision is not None]
    context = {
        "round": round_,
        "tab": "decide",
        "desk": desk,
        "rows": rows,
        "is_revealed": round_.state in BALLOTS_REVEALED,
        "is_deciding": round_.state == RoundState.DECIDING,
        "runs": seat is not None and seat.is_chair,
        "left": round_.awardable - desk.decided,
        "waitlist": waitlist_table(request.user, round_, room_of(round_)) if round_.state in BALLOTS_REVEALED else [],
        "counts": {outcome.value: outcomes.count(outcome.value) for outcome in Outcome},
    }
    context |= choice_context(request, round_)
    return page(request, "decide.html", f"{round_}: decide", context)


def decide_pitch(request: UserRequest, pk: int) -> HttpResponseBase:
    """Decide on one pitch."""
    pitch = pitch_or_404(request, pk)
    # Reading what the others think is the first door: it is closed to members with a conflict.
    if pitch.round.state not in BALLOTS_REVEALED or not may(request.user, "pitches.view_review", pitch):
        raise Http404
    decision = Decision.objects.filter(pitch=pitch).prefetch_related("lines").first()
    asked = asked_by_tier(pitch.submitted)
    scores = scores_of_round(pitch.round)[pitch.pk]
    has_quorum = scores.has_quorum(pitch.round.quorum)
    form = DecisionForm(request.POST or None, asked=asked, decision=decision, has_quorum=has_quorum)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.decision_set(
            actor=request.user,
            pitch=pitch,
            outcome=Outcome(said["outcome"]),
            reason=said["reason"],
            lines=form.lines(),
            place=said["place"],
        )
        words = "Decided, tentatively: it can be changed until you publish."
        return done(request, words, DECIDE, pk=pitch.round_id)

    answer = submitted(request, form, work)
    if answer is not None:
        return answer
    others = decided_total(pitch.round, hidden=conflicted_ids(request.user, pitch.round) | {pitch.pk})
    context = {
        "round": pitch.round,
        "tab": "decide",
        "pitch": pitch,
        "revision": pitch.submitted,
        "form": form,
        "scores": scores,
        "has_quorum": has_quorum,
        "asked": sum(asked.values(), Decimal(0)),
        "left": pitch.round.awardable - others,
        "may_decide": may(request.user, "pitches.decide_pitch", pitch),
    }
    return page(request, "decide_pitch.html", pitch.submitted.title, context, form_status(form))
