"""Declare one's conflicts for a whole round at once; reviews and ballots open with it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from pitches import services
from pitches.admin.pages import page, round_or_404
from pitches.forms.declaration import NONE, DeclarationForm
from pitches.models import Pitch
from pitches.selectors.conflicts import answers_of, declarable, recusals_standing
from pitches.transitions import COMMITTEE_AT_WORK
from teams.access import UserRequest
from teams.errors import Refused
from teams.forms import form_refuse, form_status

DESK = "admin:pitches_round_desk"


def _said(request: UserRequest, pitches: list[Pitch]) -> dict[str, str] | None:
    """Return what was said; with the button for the rest, no conflict about every pitch that was left blank."""
    if request.method != "POST":
        return None
    said = request.POST.dict()
    if "rest" in said:
        said |= {name: NONE for pitch in pitches if not said.get(name := f"type-{pitch.pk}")}
    return said


def declare(request: UserRequest, pk: int) -> HttpResponse:
    """Show every pitch with one choice each; keep what the member says."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    is_open = round_.state in COMMITTEE_AT_WORK
    answers = answers_of(request.user, round_)
    pitches = list(declarable(request.user, round_))
    form = DeclarationForm(_said(request, pitches), pitches=pitches, answers=answers)
    if request.method == "POST" and form.is_valid():
        try:
            services.declaration_make(actor=request.user, round_=round_, answers=form.answers())
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, "Declared. Reviews and ballots are open to you.")
            return redirect(DESK, round_.pk)
    context = {
        "round": round_,
        "tab": "declare",
        "form": form,
        "recused": recusals_standing(request.user, round_),
        "is_open": is_open,
        "unsaid": sum(pitch.pk not in answers for pitch in form.pitches),
    }
    return page(request, "declare.html", f"{round_}: conflicts of interest", context, form_status(form))
