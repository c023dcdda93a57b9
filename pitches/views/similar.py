"""Similar pitches beside the form."""

from django.http import HttpResponse
from django.shortcuts import render

from pitches.selectors.similar import pitches_similar, words_of_draft
from pitches.views.pitches import pitch_or_404
from teams.access import UserRequest, members_only


@members_only
def similar_part(request: UserRequest, pk: int) -> HttpResponse:
    """Answer with the pitches that are like the draft as it was last saved."""
    pitch = pitch_or_404(request, pk, "pitches.write_pitch")
    similar = pitches_similar(request.user, words_of_draft(pitch.draft), besides={pitch.pk, pitch.continues_id or 0})
    return render(request, "pitches/parts/similar.html", {"similar": similar})
