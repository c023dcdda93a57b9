"""The vote: one sealed ballot per pitch; casting again replaces what is in the envelope."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from pitches import services
from pitches.access import may
from pitches.admin.pages import page, round_or_404
from pitches.forms.committee import BallotForm
from pitches.models import Choice, Pitch, Round
from pitches.selectors.conflicts import undeclared
from pitches.selectors.desk import Row, desk_of
from pitches.selectors.receipts import own_receipts
from pitches.transitions import PitchState, RoundState
from teams.access import UserRequest
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
            messages.success(request, f"Sealed: your ballot on {pitch}. Its receipt stands beside it.")
            return redirect(BALLOT, round_.pk)
    return _page(request, round_, pitch, form)


def _pitch(request: UserRequest, round_: Round) -> Pitch:
    text = request.POST.get("pitch", "")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0
    pitches = Pitch.objects.select_related("round", "team__business_unit")
    pitch = get_object_or_404(pitches, round=round_, pk=number)
    if not may(request.user, "pitches.read_pitch", pitch):
        raise Http404
    return pitch


def _page(request: UserRequest, round_: Round, pitch: Pitch | None, form: BallotForm | None) -> HttpResponse:
    desk = desk_of(request.user, round_)
    receipts = own_receipts(request.user, round_)
    unsaid = {one.pk for one in undeclared(request.user, round_)}
    on_ballot = [row for row in desk.rows if row.pitch.state == PitchState.SHORTLISTED]
    context = {
        "round": round_,
        "tab": "ballot",
        "desk": desk,
        "rows": [
            (row, _form_of(row, pitch, form), receipts.get(row.pitch.pk))
            for row in on_ballot
            if not row.recused and row.pitch.pk not in unsaid
        ],
        "recused": [row for row in on_ballot if row.recused],
        "undeclared": sum(row.pitch.pk in unsaid for row in on_ballot),
        "own": [(row, receipts[row.pitch.pk]) for row in desk.rows if row.pitch.pk in receipts and not row.recused],
        "is_voting": round_.state == RoundState.VOTING,
    }
    return page(request, "ballot.html", f"{round_}: vote", context, 422 if form is not None else 200)


def _form_of(row: Row, pitch: Pitch | None, form: BallotForm | None) -> BallotForm:
    if pitch is not None and form is not None and row.pitch.pk == pitch.pk:
        return form
    return BallotForm(prefix=str(row.pitch.pk))
