"""Run the exact choice, adopt it, and depart from it by overrides that two members sign."""

from typing import Any

from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from pitches import services
from pitches.access import may
from pitches.admin.pages import page, pitch_or_404, round_or_404
from pitches.forms.choice import OverrideForm
from pitches.models import BoardMove, Force, MoveKind, Override, OverrideCategory, Round
from pitches.selectors.board import held_at_board
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.selection import choice_of, latest_run, options_of, override_room, overrides_of
from pitches.services.board import FORCES
from pitches.transitions import PitchState, RoundState
from teams.access import UserRequest
from teams.acting import done, pressed, submitted
from teams.forms import form_status

DECIDE = "admin:pitches_round_decide"


def choice_context(request: UserRequest, round_: Round) -> dict[str, Any]:
    """Return what the part of the page with the choice needs, as the reader may see it."""
    hidden = conflicted_ids(request.user, round_)
    # The run first: one that ends while the page is made is seen as open, and the page asks again.
    run = latest_run(round_)
    return {
        "run": run,
        "choice": choice_of(request.user, round_),
        "overrides": overrides_of(round_, hidden=hidden),
        "room": override_room(round_, hidden=hidden),
    }


@require_POST
def choose(request: UserRequest, pk: int) -> HttpResponseBase:
    """Ask for the exact choice."""
    round_ = round_or_404(request, pk, "pitches.sit_round")

    def work() -> str:
        services.choice_ask(actor=request.user, round_=round_)
        return "Asked for: it is computed in the background. Nothing is decided until you adopt it."

    return pressed(request, work, DECIDE, pk=round_.pk)


def choosing(request: UserRequest, pk: int) -> HttpResponse:
    """Answer how far the choice is that was asked for; once it has ended, the whole page is asked for again."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    run = latest_run(round_)
    context = {"round": round_, "run": run, "runs": may(request.user, "pitches.run_round", round_)}
    answer = render(request, "admin/pitches/parts/choice_run.html", context)
    if run is None or not run.is_open:
        answer.headers["HX-Refresh"] = "true"
    return answer


@require_POST
def adopt(request: UserRequest, pk: int) -> HttpResponseBase:
    """Make the decisions that the choice says."""
    round_ = round_or_404(request, pk, "pitches.sit_round")

    def work() -> str:
        services.selection_adopt(actor=request.user, round_=round_)
        return "Adopted: every pitch that you decide on has its decision, tentatively, until you publish."

    return pressed(request, work, DECIDE, pk=round_.pk)


def override_new(request: UserRequest, pk: int) -> HttpResponseBase:
    """Propose an override on a pitch."""
    pitch = pitch_or_404(request, pk)
    if not may(request.user, "pitches.override_pitch", pitch):
        raise Http404
    if pitch.round.state != RoundState.DECIDING or pitch.state != PitchState.SHORTLISTED:
        raise Http404
    options = options_of(pitch)
    held = held_at_board(request.user, pitch)
    form = OverrideForm(request.POST or None, options=options, initial=_as_held(held))

    def work(said: dict[str, Any]) -> HttpResponseBase:
        override = services.override_propose(
            actor=request.user,
            pitch=pitch,
            force=Force(said["force"]),
            category=OverrideCategory(said["category"]),
            reason=said["reason"],
            option=form.chosen(),
        )
        words = f"Proposed at a price of {override.price:,.2f} USD of worth. A second member signs it."
        return done(request, words, DECIDE, pk=pitch.round_id)

    context = {
        "round": pitch.round,
        "tab": "decide",
        "pitch": pitch,
        "options": options,
        "held": held,
        "room": override_room(pitch.round, hidden=conflicted_ids(request.user, pitch.round)),
        "form": form,
    }
    answer = submitted(request, form, work)
    return answer or page(request, "override.html", f"Override: {pitch}", context, form_status(form))


def _as_held(held: BoardMove | None) -> dict[str, Any]:
    """Return what the form begins with: the way in which the board holds the pitch."""
    if held is None:
        return {}
    return {"force": FORCES[MoveKind(held.kind)].value, "option": held.option_id or ""}


def _override_or_404(request: UserRequest, pk: int) -> Override:
    override = get_object_or_404(Override.objects.select_related("pitch__round", "option"), pk=pk)
    pitch_or_404(request, override.pitch_id)
    if not may(request.user, "pitches.override_pitch", override.pitch):
        raise Http404
    return override


@require_POST
def override_sign(request: UserRequest, pk: int) -> HttpResponseBase:
    """Sign another member's override."""
    override = _override_or_404(request, pk)

    def work() -> str:
        services.override_sign(actor=request.user, override=override)
        return "Signed. Run the choice again: it is bound by it now."

    return pressed(request, work, DECIDE, pk=override.round_id)


@require_POST
def override_withdraw(request: UserRequest, pk: int) -> HttpResponseBase:
    """Take an override back."""
    override = _override_or_404(request, pk)
    reason = request.POST.get("reason", "")

    def work() -> str:
        services.override_withdraw(actor=request.user, override=override, reason=reason)
        return "Withdrawn. If it was signed, run the choice again."

    return pressed(request, work, DECIDE, pk=override.round_id)
