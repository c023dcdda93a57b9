"""Screening: the queue of the platform and of compliance, and one pitch with what was found so far."""

from functools import partial

from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render

from pitches import services
from pitches.forms.life import ScreeningForm
from pitches.models import Aspect, Finding, Pitch
from pitches.selectors.pitches import revision_whole
from pitches.selectors.screening import aspects_of, findings_of, screenable_to, screening_queue
from pitches.views.pitches import revision_context
from teams.access import UserRequest, allowed_only
from teams.acting import done, submitted
from teams.forms import form_status


@allowed_only("pitches.list_screenings")
def queue(request: UserRequest) -> HttpResponseBase:
    """Show what the reader screens, what waits first."""
    rows = screening_queue(request.user)
    context = {"rows": rows, "waiting": sum(1 for row in rows if row.waiting), "aspects": list(Aspect)}
    return render(request, "pitches/screening_queue.html", context)


@allowed_only("pitches.list_screenings")
def screen(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show one pitch; say what was found about an aspect."""
    pitch = get_object_or_404(screenable_to(request.user), pk=pk)
    revision = revision_whole(pitch)
    if revision is None:
        raise Http404
    forms = {
        aspect: ScreeningForm(
            request.POST if request.POST.get("aspect") == aspect else None,
            initial={"aspect": aspect.value, "revision": revision.number},
            auto_id=f"id_%s_{aspect.value}",
        )
        for aspect in aspects_of(request.user)
    }
    for aspect, form in forms.items():
        answer = submitted(request, form, partial(_screened, request, pitch, aspect))
        if answer is not None:
            return answer
    context = {
        "pitch": pitch,
        "findings": [row for _, row in sorted(findings_of([pitch])[pitch.pk].items())],
        "forms": list(forms.items()),
        **revision_context(request.user, revision),
    }
    status = max(form_status(form) for form in forms.values())
    return render(request, "pitches/screening.html", context, status=status)


def _screened(request: UserRequest, pitch: Pitch, aspect: Aspect, said: dict[str, object]) -> HttpResponseBase:
    services.screening_record(
        actor=request.user,
        pitch=pitch,
        revision_number=int(str(said["revision"])),
        aspect=aspect,
        finding=Finding(str(said["finding"])),
        reason=str(said["reason"]),
    )
    return done(request, f"{pitch}: {aspect.label.lower()} screened.", "pitches:screening_queue")
