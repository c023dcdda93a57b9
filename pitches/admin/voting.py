"""The vote: one sealed ballot per pitch; casting again replaces what is in the envelope."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect

from pitches import services
from pitches.admin.pages import page, round_or_404
from pitches.forms.committee import BallotForm
from pitches.models import Choice, Pitch, Round
from pitches.selectors.desk import Row, desk_of
from pitches.transitions import PitchState, RoundState
from teams.access import UserRequest, find_or_404
from teams.errors import Refused
from teams.forms import form_refuse

BALLOT = "admin:pitches_round_ballot"


def ballot(request: UserRequest, pk: int) -> HttpResponse:
    """Show what there is to vote on; cast one ballot."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    if request.method != "POST":
        return _page(request, round_, None, None)
    pitch = _pitch(request, round_)
    form = BallotForm(request.POST, prefix=str(pitch.pk))
    if form.is_valid():
        said = form.cleaned_data
        try:
            services.ballot_cast(actor=request.user, pitch=pitch, choice=Choice(said["choice"]), score=said["score"])
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, f"Sealed: your ballot on {pitch}.")
            return redirect(BALLOT, round_.pk)
    return _page(request, round_, pitch, form)


def _pitch(request: UserRequest, round_: Round) -> Pitch:
    text = request.POST.get("pitch", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
    pitches = Pitch.objects.select_related("round", "team__business_unit")
    return find_or_404(pitches, request.user, "pitches.view_pitch", round=round_, pk=number)


def _page(request: UserRequest, round_: Round, pitch: Pitch | None, form: BallotForm | None) -> HttpResponse:
    desk = desk_of(request.user, round_)
    on_ballot = [row for row in desk.rows if row.pitch.state == PitchState.SHORTLISTED]
    context = {
        "round": round_,
        "tab": "ballot",
        "desk": desk,
        "rows": [(row, _form_of(row, pitch, form)) for row in on_ballot if not row.recused],
        "recused": [row for row in on_ballot if row.recused],
        "is_voting": round_.state == RoundState.VOTING,
    }
    return page(request, "ballot.html", f"{round_}: vote", context, 422 if form is not None else 200)


def _form_of(row: Row, pitch: Pitch | None, form: BallotForm | None) -> BallotForm:
    if pitch is not None and form is not None and row.pitch.pk == pitch.pk:
        return form
    return BallotForm(prefix=str(row.pitch.pk))
