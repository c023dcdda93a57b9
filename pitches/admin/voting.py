"""The vote: one sealed ballot per pitch; casting again replaces what is in the envelope."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from pitches import services
from pitches.access import may
from pitches.admin.pages import page, round_or_404
from pitches.forms.committee import BallotForm
from pitches.models import Choice, Pitch, Round
from pitches.selectors.conflicts import undeclared
from pitches.selectors.desk import Row, desk_of
from pitches.selectors.progress import ballots_progress
from pitches.selectors.receipts import own_receipts
from pitches.transitions import PitchState, RoundState
from teams.access import UserRequest
from teams.acting import submitted
from teams.typed import whole_in

BALLOT = "admin:pitches_round_ballot"
DESK = "admin:pitches_round_desk"


def ballot(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show what there is to vote on; cast one ballot."""
    round_ = round_or_404(request, pk, "pitches.sit_round")
    if request.method != "POST":
        return _page(request, round_, None, None)
    pitch = _pitch(request, round_)
    form = BallotForm(request.POST, prefix=str(pitch.pk))

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.ballot_cast(actor=request.user, pitch=pitch, choice=Choice(said["choice"]), score=said["score"])
        return _onward(request, pitch)

    return submitted(request, form, work) or _page(request, round_, pitch, form)


def _onward(request: UserRequest, pitch: Pitch) -> HttpResponse:
    """Lead back to the ballot just sealed, or where that was asked for to the next one, and to the desk after all."""
    sealed, place = f"Sealed: your ballot on {pitch}.", pitch.pk
    said = f"{sealed} Its receipt stands beside it."
    if "next" in request.POST:
        progress = ballots_progress(request.user, pitch.round, after=pitch.pk)
        if progress.next is None:
            messages.success(request, f"{sealed} That was the last one: {progress.done} of {progress.of} done.")
            return redirect(DESK, pitch.round_id)
        said, place = f"{sealed} {progress.done} of {progress.of} done.", progress.next
    messages.success(request, said)
    return redirect(f"{reverse(BALLOT, args=[pitch.round_id])}#p{place}")


def _pitch(request: UserRequest, round_: Round) -> Pitch:
    number = whole_in(request.POST.get("pitch", ""), 0)
    pitches = Pitch.objects.select_related("round", "team__business_unit")
    pitch = get_object_or_404(pitches, round=round_, pk=number)
    if not may(request.user, "pitches.read_pitch", pitch):
        raise Http404
    return pitch


def _page(request: UserRequest, round_: Round, pitch: Pitch | None, form: BallotForm | None) -> HttpResponseBase:
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
        "progress": ballots_progress(request.user, round_) if round_.state == RoundState.VOTING else None,
    }
    return page(request, "ballot.html", f"{round_}: vote", context, 422 if form is not None else 200)


def _form_of(row: Row, pitch: Pitch | None, form: BallotForm | None) -> BallotForm:
    if pitch is not None and form is not None and row.pitch.pk == pitch.pk:
        return form
    return BallotForm(prefix=str(row.pitch.pk))
