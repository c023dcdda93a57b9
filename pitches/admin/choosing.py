"""Run the exact choice, adopt it, and depart from it by overrides that two members sign."""

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from pitches import services
from pitches.access import may
from pitches.admin.pages import done, page, pitch_or_404, round_or_404
from pitches.forms.choice import OverrideForm
from pitches.models import BoardMove, Force, MoveKind, Override, OverrideCategory, Round
from pitches.selectors.board import held_at_board
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.selection import choice_of, options_of, override_room, overrides_of
from pitches.services.board import FORCES
from pitches.transitions import PitchState, RoundState
from teams.access import UserRequest
from teams.acting import done as acted
from teams.acting import submitted
from teams.forms import form_status

DECIDE = "admin:pitches_round_decide"


def choice_context(request: UserRequest, round_: Round) -> dict[str, Any]:
    """Return what the part of the page with the choice needs, as the reader may see it."""
    hidden = conflicted_ids(request.user, round_)
    return {
        "choice": choice_of(request.user, round_),
        "overrides": overrides_of(round_, hidden=hidden),
        "room": override_room(round_, hidden=hidden),
    }


@require_POST
def choose(request: UserRequest, pk: int) -> HttpResponse:
    """Run the exact choice."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    return done(
        request,
        lambda: services.selection_run(actor=request.user, round_=round_),
        "Chosen exactly, and checked by a second programme. Nothing is decided until you adopt it.",
        DECIDE,
        round_.pk,
    )


@require_POST
def adopt(request: UserRequest, pk: int) -> HttpResponse:
    """Make the decisions that the choice says."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    return done(
        request,
        lambda: services.selection_adopt(actor=request.user, round_=round_),
        "Adopted: every pitch that you decide on has its decision, tentatively, until you publish.",
        DECIDE,
        round_.pk,
    )


def override_new(request: UserRequest, pk: int) -> HttpResponse:
    """Propose an override on a pitch."""
    pitch = pitch_or_404(request, pk)
    if not may(request.user, "pitches.override_pitch", pitch):
        raise Http404
    if pitch.round.state != RoundState.DECIDING or pitch.state != PitchState.SHORTLISTED:
        raise Http404
    options = options_of(pitch)
    held = held_at_board(request.user, pitch)
    form = OverrideForm(request.POST or None, options=options, initial=_as_held(held))

    def work(said: dict[str, Any]) -> Any:
        override = services.override_propose(
            actor=request.user,
            pitch=pitch,
            force=Force(said["force"]),
            category=OverrideCategory(said["category"]),
            reason=said["reason"],
            option=form.chosen(),
        )
        words = f"Proposed at a price of {override.price:,.2f} USD of worth. A second member signs it."
        return acted(request, words, DECIDE, pk=pitch.round_id)

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
    return answer or page(request, "override.html", f"Override: {pitch}", context, form_status(form))  # type: ignore[return-value]


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
def override_sign(request: UserRequest, pk: int) -> HttpResponse:
    """Sign another member's override."""
    override = _override_or_404(request, pk)
    return done(
        request,
        lambda: services.override_sign(actor=request.user, override=override),
        "Signed. Run the choice again: it is bound by it now.",
        DECIDE,
        override.round_id,
    )


@require_POST
def override_withdraw(request: UserRequest, pk: int) -> HttpResponse:
    """Take an override back."""
    override = _override_or_404(request, pk)
    reason = request.POST.get("reason", "")
    return done(
        request,
        lambda: services.override_withdraw(actor=request.user, override=override, reason=reason),
        "Withdrawn. If it was signed, run the choice again.",
        DECIDE,
        override.round_id,
    )
