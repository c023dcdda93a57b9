"""The round editor: everything about a round while it is a draft, with what will be fixed at opening."""

from typing import Any

from django.contrib import messages
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from pitches import services
from pitches.admin.pages import page, round_or_404
from pitches.forms.committee import RoundForm
from pitches.forms.criteria import CriteriaForm
from pitches.models import Round
from pitches.transitions import RoundState
from teams.access import UserRequest, visible_or_404
from teams.acting import done, submitted
from teams.forms import form_status

DESK = "admin:pitches_round_desk"


def round_edit(request: UserRequest, pk: int) -> HttpResponseBase:
    """Change a round while it is a draft."""
    round_ = round_or_404(request, pk)
    visible_or_404(request.user, "pitches.change_round", round_)
    if round_.state != RoundState.DRAFT:
        messages.error(request, "What decisions rest on is fixed since the round opened.")
        return redirect(DESK, round_.pk)
    if request.method == "POST" and "more" in request.POST:
        typed = request.POST.dict()
        return _page(request, round_, RoundForm(initial=typed), CriteriaForm.with_another(typed))
    if request.method != "POST":
        rows = CriteriaForm.of_criteria(list(round_.criteria.order_by("position")))
        return _page(request, round_, RoundForm(initial=RoundForm.initial_of(round_)), rows)
    form, criteria = RoundForm(request.POST), CriteriaForm.of_typed(request.POST.dict())
    answer = None
    if criteria.is_valid():
        answer = submitted(request, form, lambda said: _edited(request, round_, form, criteria))
    else:
        form.is_valid()
    return answer or _page(request, round_, form, criteria)


def _edited(request: UserRequest, round_: Round, form: RoundForm, criteria: CriteriaForm) -> HttpResponseBase:
    services.round_edit(actor=request.user, round_=round_, criteria=criteria.values(), **form.values())
    return done(request, "Saved. All of it is fixed when the round opens.", DESK, pk=round_.pk)


def _page(request: UserRequest, round_: Round, form: RoundForm, criteria: CriteriaForm) -> HttpResponseBase:
    context: dict[str, Any] = {"round": round_, "tab": "", "form": form, "criteria": criteria}
    status = max(form_status(form), form_status(criteria))
    return page(request, "round_edit.html", f"{round_}: edit", context, status)
