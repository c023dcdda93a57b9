"""Files of a pitch: added and taken away beside its form or on a page of their own, and handed out safely."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_POST, require_safe

from pitches import services
from pitches.attachments import MEDIA_TYPES, MOST_FILES, FileKind
from pitches.forms.folder import AttachmentForm
from pitches.models import Attachment, Pitch
from pitches.selectors.folder import attachments_of_draft, attachments_shown
from pitches.transitions import EDITABLE_PITCH
from pitches.views.pitches import pitch_or_404
from teams.access import UserRequest, members_only
from teams.errors import Refused
from teams.forms import form_refuse, form_status

# A file may run nothing and load nothing, should a browser ever show it.
CONTENT_POLICY = "default-src 'none'; sandbox; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def attachments_context(pitch: Pitch, form: AttachmentForm | None = None) -> dict[str, Any]:
    """Return what the part of a page that shows a draft's files needs."""
    files = attachments_of_draft(pitch)
    return {
        "files": files,
        "files_left": MOST_FILES - len(files),
        "most_files": MOST_FILES,
        "attachment_form": form or AttachmentForm(),
    }


@members_only
def attachments_page(request: UserRequest, pk: int) -> HttpResponse:
    """Show the files of a draft; attach one."""
    pitch = pitch_or_404(request, pk, "pitches.write_pitch")
    if pitch.state not in EDITABLE_PITCH and request.method != "POST":
        return redirect("pitches:pitch", pitch.pk)
    form = AttachmentForm(request.POST, request.FILES) if request.method == "POST" else AttachmentForm()
    said = ""
    if form.is_bound and form.is_valid():
        file = form.cleaned_data["file"]
        try:
            attachment = services.attachment_add(
                actor=request.user,
                pitch=pitch,
                name=file.name,
                declared=file.content_type or "",
                content=file.read(),
            )
        except Refused as error:
            form_refuse(form, error)
        else:
            said = f"{attachment.name} is attached."
            form = AttachmentForm()
    return _answer(request, pitch, form, said)


def _answer(request: UserRequest, pitch: Pitch, form: AttachmentForm, said: str) -> HttpResponse:
    context = {"pitch": pitch, "said": said, **attachments_context(pitch, form)}
    if request.htmx:
        return render(request, "pitches/parts/attachments.html", context, status=form_status(form))
    if said:
        return redirect("pitches:attachments", pitch.pk)
    return render(request, "pitches/attachments.html", context, status=form_status(form))


@members_only
@require_POST
def attachment_remove(request: UserRequest, pk: int, attachment: int) -> HttpResponse:
    """Take a file out of a draft."""
    pitch = pitch_or_404(request, pk, "pitches.write_pitch")
    file = get_object_or_404(Attachment.objects.select_related("pitch"), pk=attachment, pitch=pitch)
    form, said = AttachmentForm(), f"{file.name} was taken away."
    try:
        services.attachment_remove(actor=request.user, attachment=file)
    except Refused as error:
        form, said = AttachmentForm({}), ""
        form.errors.clear()
        form_refuse(form, error)
    return _answer(request, pitch, form, said)


@members_only
@require_safe
def attachment_download(request: UserRequest, pk: int, attachment: int) -> HttpResponseBase:
    """Hand out a file to whoever may read it."""
    pitch = pitch_or_404(request, pk)
    return attachment_answer(get_object_or_404(attachments_shown(request.user, pitch), pk=attachment))


def attachment_answer(file: Attachment) -> HttpResponse:
    """Return a file as an answer that a browser saves, under its own name (RFC 6266), and never shows or runs."""
    answer = HttpResponse(bytes(file.content), content_type=MEDIA_TYPES[FileKind(file.kind)])
    answer.headers["Content-Disposition"] = content_disposition_header(True, file.name) or "attachment"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Content-Security-Policy"] = CONTENT_POLICY
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    answer.headers["Cache-Control"] = "private, no-store"
    return answer
