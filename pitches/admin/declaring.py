"""Declare one's conflicts for a whole round at once; reviews and ballots open with it."""

from collections.abc import Mapping
from typing import Any

from django.http.response import HttpResponseBase

from pitches import services
from pitches.admin.pages import page, round_or_404
from pitches.forms.declaration import NONE, DeclarationForm, DeclaredRow
from pitches.models import DeclarationAnswer, Pitch, RecusalKind
from pitches.selectors.conflicts import answers_of, declarable, recusals_standing
from pitches.transitions import COMMITTEE_AT_WORK
from teams.access import UserRequest
from teams.acting import done, submitted
from teams.forms import form_status

DESK = "admin:pitches_round_desk"


def _said(request: UserRequest, pitches: list[Pitch]) -> dict[str, str] | None:
    """Return what was said; with the button for the rest, no conflict about every pitch that was left blank."""
    if request.method != "POST":
        return None
    said = request.POST.dict()
    if "rest" in said:
        said |= {name: NONE for pitch in pitches if not said.get(name := f"type-{pitch.pk}")}
    return said


def _groups(form: DeclarationForm, answers: Mapping[int, DeclarationAnswer]) -> list[tuple[str, list[DeclaredRow]]]:
    """Return the rows in groups: those without an answer before those that have one."""
    unsaid = [row for row in form.rows if row[0].pk not in answers]
    said = [row for row in form.rows if row[0].pk in answers]
    return [(title, rows) for title, rows in (("Without an answer", unsaid), ("Answered", said)) if rows]


def declare(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show every pitch with one choice each; keep what the member says."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    is_open = round_.state in COMMITTEE_AT_WORK
    answers = answers_of(request.user, round_)
    pitches = list(declarable(request.user, round_))
    form = DeclarationForm(_said(request, pitches), pitches=pitches, answers=answers)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.declaration_make(actor=request.user, round_=round_, answers=form.answers())
        return done(request, "Declared. Reviews and ballots are open to you.", DESK, pk=round_.pk)

    answer = submitted(request, form, work)
    if answer is not None:
        return answer
    context = {
        "round": round_,
        "tab": "declare",
        "form": form,
        "groups": _groups(form, answers),
        "recused": sorted(recusals_standing(request.user, round_), key=lambda one: one.kind != RecusalKind.RULE),
        "is_open": is_open,
        "unsaid": sum(pitch.pk not in answers for pitch in form.pitches),
    }
    return page(request, "declare.html", f"{round_}: conflicts of interest", context, form_status(form))
