"""The pitch form: autosaved as it is typed, with a live quote; every way out of the page keeps what was typed."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from pitches import services
from pitches.forms.pitch import ROWS, PitchDraft, rows_add, rows_put, rows_remove, rows_typed, typed_from
from pitches.models import Pitch
from pitches.quotes import NoModel
from pitches.selectors.asking import terms_of
from pitches.selectors.earlier import earlier_shown
from pitches.selectors.quotes import quote_now
from pitches.selectors.revisions import QuoteTable, quote_table
from pitches.selectors.similar import pitches_similar, words_of_draft
from pitches.transitions import EDITABLE_PITCH
from pitches.views.attachments import attachments_context
from pitches.views.pitches import is_too_late, pitch_or_404
from teams.access import UserRequest, members_only
from teams.errors import Refused
from teams.selectors import is_lead, is_member, leads_of
from teams.typed import whole_in

VALUES = ("value_p10", "value_p50", "value_p90")


@members_only
def pitch_edit(request: UserRequest, pk: int) -> HttpResponse:
    """Show the form; save, add or remove a row, or submit."""
    pitch = pitch_or_404(request, pk, "pitches.write_pitch")
    if pitch.state not in EDITABLE_PITCH:
        return redirect("pitches:pitch", pitch.pk)
    if request.method != "POST":
        return _form(request, pitch, PitchDraft(pitch.draft, pitch))
    return _do(request, pitch, _typed(request, pitch), request.POST.get("intent", "save"))


def _typed(request: UserRequest, pitch: Pitch) -> dict[str, str]:
    typed = typed_from(request.POST, terms_of(pitch.round))
    if is_member(request.user, pitch.team):
        return typed
    # A co-applicant is not asked who applies; the answer stays what the team made it.
    return rows_put(typed, "applicants", rows_typed(pitch.draft, "applicants"))


def _do(request: UserRequest, pitch: Pitch, typed: dict[str, str], intent: str) -> HttpResponse:
    verb, _, rest = intent.partition("-")
    rows, _, place = rest.partition("-")
    if verb == "add" and rows in ROWS:
        typed = rows_add(typed, rows)
    elif verb == "remove" and rows in ROWS and place.isdigit():
        typed = rows_remove(typed, rows, int(place))
    try:
        pitch = services.draft_save(actor=request.user, pitch=pitch, typed=typed, version=_version(request))
        if verb == "submit":
            return _submit(request, pitch)
    except Refused as error:
        return _form(request, pitch, PitchDraft(typed, pitch), refused=error)
    if request.htmx and rows in ROWS:
        return _rows(request, pitch, rows)
    if verb == "save":
        messages.success(request, "Draft saved.")
    return redirect(reverse("pitches:edit", args=[pitch.pk]) + (f"#{rows}" if rows in ROWS else ""))


def _submit(request: UserRequest, pitch: Pitch) -> HttpResponse:
    draft = PitchDraft(pitch.draft, pitch)
    if not draft.is_valid():
        return _form(request, pitch, draft, strict=True)
    revision = services.pitch_submit(actor=request.user, pitch=pitch, content=draft.content())
    messages.success(request, f"Submitted as revision {revision.number}. The committee has been told.")
    return redirect("pitches:pitch", pitch.pk)


@members_only
@require_POST
def pitch_draft(request: UserRequest, pk: int) -> HttpResponse:
    """Keep what was typed so far and answer with the quote and the progress."""
    pitch = pitch_or_404(request, pk, "pitches.write_pitch")
    typed = _typed(request, pitch)
    refused: Refused | None = None
    try:
        pitch = services.draft_save(actor=request.user, pitch=pitch, typed=typed, version=_version(request))
    except Refused as error:
        refused = error
    draft = PitchDraft(typed, pitch)
    context = {"pitch": pitch, "refused": refused, "progress": draft.progress(), **_quote(pitch, draft)}
    return render(request, "pitches/parts/saved.html", context)


def _version(request: UserRequest) -> int:
    return whole_in(request.POST.get("version", ""), -1, digits=8)


def _form(
    request: UserRequest, pitch: Pitch, draft: PitchDraft, *, strict: bool = False, refused: Refused | None = None
) -> HttpResponse:
    progress = draft.progress()
    if not (refused is not None and draft.refuse(refused)) and not strict:
        draft.show_only_what_is_wrong()
    context = {
        "pitch": pitch,
        "draft": draft,
        "progress": progress,
        "strict": strict,
        "refused": refused,
        "missed": is_too_late(pitch),
        **{f"{rows}_begun": draft.begun(rows) for rows in ("applicants", "links", "quality")},
        "names_applicants": is_member(request.user, pitch.team),
        "can_submit": is_lead(request.user, pitch.team),
        "leads": list(leads_of(pitch.team)),
        "earlier": earlier_shown(request.user, pitch),
        "similar": pitches_similar(
            request.user, words_of_draft(draft.typed), besides={pitch.pk, pitch.continues_id or 0}
        ),
        **attachments_context(pitch),
        **_quote(pitch, draft),
    }
    return render(request, "pitches/edit.html", context, status=422 if strict or refused else 200)


def _rows(request: UserRequest, pitch: Pitch, rows: str) -> HttpResponse:
    draft = PitchDraft(pitch.draft, pitch)
    progress = draft.progress()
    draft.show_only_what_is_wrong()
    context = {
        "pitch": pitch,
        "draft": draft,
        "progress": progress,
        "rows": rows,
        "formset": draft.rows(rows),
        **_quote(pitch, draft),
    }
    return render(request, "pitches/parts/rows_saved.html", context)


def _quote(pitch: Pitch, draft: PitchDraft) -> dict[str, Any]:
    works = draft.works
    table: QuoteTable | None = None
    problem = ""
    if works:
        try:
            table = quote_table(quote_now(works, months=pitch.round.months))
        except NoModel as error:
            problem = str(error)
    return {
        "quote": table,
        "quote_problem": problem,
        "unpriced": draft.unpriced,
        "worth": table.worth_per_dollar(draft.value("value_p50")) if table else None,
        "worths": table.worth_by_tier([draft.value(name) for name in VALUES]) if table else [],
    }
