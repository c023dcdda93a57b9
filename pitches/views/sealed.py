"""Sealed pitches: how many there are, and the way to look at one early, which its team reads."""

from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST

from pitches import services
from pitches.access import may
from pitches.forms.life import PeekForm
from pitches.models import Pitch, Round
from pitches.selectors.rounds import rounds_visible_to
from pitches.selectors.seals import sealed_pitches
from teams.access import UserRequest, find_or_404, members_only
from teams.acting import done, submitted
from teams.forms import form_status


@members_only
def sealed_page(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show what came into a sealed round by number; for its committee, finance and auditors."""
    round_ = find_or_404(rounds_visible_to(request.user), request.user, "pitches.view_round", pk=pk)
    return _page(request, round_, None, PeekForm())


def _page(request: UserRequest, round_: Round, pitch: Pitch | None, form: PeekForm) -> HttpResponseBase:
    if not may(request.user, "pitches.peek_round", round_):
        raise Http404
    rows = [
        (row, form if pitch is not None and pitch.pk == row.pk else PeekForm(auto_id=f"id_%s_{row.pk}"))
        for row in sealed_pitches(request.user, round_)
    ]
    return render(request, "pitches/sealed.html", {"round": round_, "rows": rows}, status=form_status(form))


@members_only
@require_POST
def pitch_peek(request: UserRequest, pk: int) -> HttpResponseBase:
    """Look at a sealed pitch, with a reason."""
    pitch = get_object_or_404(Pitch.objects.select_related("round", "team"), pk=pk)
    if not may(request.user, "pitches.peek_pitch", pitch):
        raise Http404
    form = PeekForm(request.POST, auto_id=f"id_%s_{pitch.pk}")
    answer = submitted(
        request,
        form,
        lambda said: _peeked(request, pitch, said["reason"]),
    )
    return answer or _page(request, pitch.round, pitch, form)


def _peeked(request: UserRequest, pitch: Pitch, reason: str) -> HttpResponseBase:
    services.pitch_peek(actor=request.user, pitch=pitch, reason=reason)
    return done(
        request, "Opened for you. The team has been told that you looked, and why.", "pitches:pitch", pk=pitch.pk
    )
