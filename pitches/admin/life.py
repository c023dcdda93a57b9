"""A round's life at the desk: who is asked to review what, the fast lane, the editor, clones."""

from decimal import Decimal
from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase

from pitches import services
from pitches.access import may
from pitches.admin.pages import page, pitch_or_404, round_or_404
from pitches.forms.committee import DecisionForm
from pitches.forms.life import CloneForm
from pitches.models import Outcome, Pitch, Round
from pitches.selectors.assignments import assignments_shown_to, loads_shown_to
from pitches.selectors.fast_lane import lane_decisions, lane_takes
from pitches.selectors.quotes import asked_by_tier
from pitches.selectors.rounds import decided_total
from teams.access import UserRequest, visible_or_404
from teams.acting import done, submitted
from teams.forms import form_status

DESK = "admin:pitches_round_desk"
LANE_OUTCOMES = [(Outcome.FUND.value, Outcome.FUND.label), (Outcome.DECLINE.value, Outcome.DECLINE.label)]


def assignments(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show who is asked to review what, and how even that is."""
    round_ = round_or_404(request, pk)
    context = {
        "round": round_,
        "tab": "assignments",
        "rows": assignments_shown_to(request.user, round_),
        "loads": loads_shown_to(request.user, round_),
    }
    return page(request, "assignments.html", f"{round_}: assignments", context)


def clone(request: UserRequest, pk: int) -> HttpResponseBase:
    """Prepare a round with the rules, criteria and committee of this one."""
    round_ = round_or_404(request, pk)
    visible_or_404(request.user, "pitches.add_round", None)
    form = CloneForm(request.POST or None, initial={"months": round_.recurs_months or 3})
    answer = submitted(request, form, lambda said: _cloned(request, round_, said))
    context = {"round": round_, "tab": "", "form": form}
    return answer or page(request, "clone.html", f"Clone {round_}", context, form_status(form))


def _cloned(request: UserRequest, round_: Round, said: dict[str, Any]) -> HttpResponseBase:
    made = services.round_clone(actor=request.user, round_=round_, name=said["name"], months=said["months"])
    return done(request, f"{made} is prepared. Check its rules, then open it.", "admin:pitches_round_edit", pk=made.pk)


def lane_pitch(request: UserRequest, pk: int) -> HttpResponseBase:
    """Decide alone on a pitch of a fast lane."""
    pitch = pitch_or_404(request, pk)
    if not may(request.user, "pitches.decide_lane", pitch) or not lane_takes(pitch):
        raise Http404
    asked = asked_by_tier(pitch.submitted)
    form = DecisionForm(request.POST or None, asked=asked, decision=None)
    outcome: Any = form.fields["outcome"]
    outcome.choices = LANE_OUTCOMES
    answer = submitted(request, form, lambda said: _lane_decided(request, pitch, form, said))
    context = {
        "round": pitch.round,
        "tab": "desk",
        "pitch": pitch,
        "form": form,
        "asked": sum(asked.values(), Decimal(0)),
        "left": pitch.round.awardable - decided_total(pitch.round),
    }
    return answer or page(request, "lane_pitch.html", pitch.submitted.title, context, form_status(form))


def _lane_decided(request: UserRequest, pitch: Pitch, form: DecisionForm, said: dict[str, Any]) -> HttpResponseBase:
    outcome = Outcome(said["outcome"])
    services.lane_decide(actor=request.user, pitch=pitch, outcome=outcome, reason=said["reason"], lines=form.lines())
    return done(request, "Decided. The team has its answer.", DESK, pk=pitch.round_id)


def lane_audit(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show auditors every decision of a fast lane, and which are looked at a second time."""
    round_ = round_or_404(request, pk)
    visible_or_404(request.user, "pitches.audit_lane", None)
    if not round_.is_fast_lane:
        raise Http404
    rows = lane_decisions(round_)
    context = {"round": round_, "tab": "", "rows": rows, "sampled": sum(row.is_sampled for row in rows)}
    return page(request, "lane_audit.html", f"{round_}: decisions", context)
