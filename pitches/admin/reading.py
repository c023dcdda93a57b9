"""Read one pitch: its text, one's own review, the others' once one's own is in; screen it; step aside."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from pitches import services
from pitches.access import may
from pitches.admin.pages import done, page, pitch_or_404
from pitches.forms.committee import ConflictForm, NoteForm, ReviewForm
from pitches.forms.life import RemarkForm
from pitches.models import Expertise, Pitch, PitchRevision, RecusalType, Review
from pitches.selectors.conflicts import has_declared
from pitches.selectors.discussion import may_discuss, remarks_shown_to
from pitches.selectors.earlier import earlier_shown
from pitches.selectors.fast_lane import lane_takes
from pitches.selectors.pitches import revision_whole, revisions_of
from pitches.selectors.scores import reviews_shown_to
from pitches.selectors.screening import findings_of, infeasible
from pitches.selectors.similar import Match, pitches_similar, words_of_revision
from pitches.transitions import COMMITTEE_AT_WORK, PitchState, RoundState
from pitches.views.pitches import revision_context
from pitches.views.thread import thread_context
from teams.access import UserRequest
from teams.errors import Refused
from teams.forms import form_refuse, form_status

READ = "admin:pitches_pitch_read"
DESK = "admin:pitches_round_desk"


def read(request: UserRequest, pk: int) -> HttpResponse:
    """Show a pitch; hand in a review."""
    pitch = pitch_or_404(request, pk)
    is_open = _takes_reviews(pitch) and has_declared(request.user, pitch)
    form = _review_form(request, pitch) if is_open else None
    if request.method == "POST" and form is not None and form.is_valid():
        try:
            services.review_submit(
                actor=request.user,
                pitch=pitch,
                revision_number=_number(request.POST.get("revision", "")),
                marks=form.marks(),
                expertise=Expertise(form.cleaned_data["expertise"]),
                comment=form.cleaned_data["comment"],
            )
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, "Your review is in. You can see the others' now.")
            return redirect(READ, pitch.pk)
    return _page(request, pitch, form, NoteForm(), ConflictForm())


def _takes_reviews(pitch: Pitch) -> bool:
    return pitch.round.state == RoundState.REVIEWING and pitch.state == PitchState.IN_REVIEW


def _review_form(request: UserRequest, pitch: Pitch) -> ReviewForm:
    own = Review.objects.filter(revision=pitch.current_id, reviewer=request.user).prefetch_related("scores").first()
    criteria = list(pitch.round.criteria.order_by("position"))
    return ReviewForm(request.POST or None, criteria=criteria, review=own)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _page(
    request: UserRequest,
    pitch: Pitch,
    form: ReviewForm | None,
    note_form: NoteForm,
    conflict_form: ConflictForm,
    remark_form: RemarkForm | None = None,
) -> HttpResponse:
    revision = revision_whole(pitch)
    if revision is None:
        raise Http404
    found = findings_of([pitch])[pitch.pk]
    discusses = may(request.user, "pitches.discuss_pitch", pitch) and may_discuss(request.user, pitch)
    screens = {PitchState.SUBMITTED, PitchState.IN_REVIEW}
    context: dict[str, Any] = {
        "round": pitch.round,
        "tab": "desk",
        "pitch": pitch,
        "revisions": revisions_of(pitch),
        **revision_context(request.user, revision),
        "undeclared": pitch.round.state in COMMITTEE_AT_WORK and not has_declared(request.user, pitch),
        "form": form,
        "reviews": reviews_shown_to(request.user, pitch, pitch.round),
        "can_screen": pitch.state in screens and pitch.round.state in {"open", "reviewing"},
        "can_declare": pitch.round.state in COMMITTEE_AT_WORK,
        "note_form": note_form,
        "findings": [row for _, row in sorted(found.items())],
        "can_rule_out": bool(infeasible([pitch])) and may(request.user, "pitches.decide_pitch", pitch),
        "can_decide_lane": lane_takes(pitch) and may(request.user, "pitches.decide_lane", pitch),
        "may_discuss": discusses,
        "remarks": remarks_shown_to(request.user, pitch) if discusses else [],
        "remark_form": remark_form or RemarkForm(),
        "can_remark": discusses and pitch.round.state in COMMITTEE_AT_WORK,
        "conflict_form": conflict_form,
        "earlier": earlier_shown(request.user, pitch),
        "similar": _similar(request, pitch, revision),
        **thread_context(request.user, pitch),
    }
    wrong = [one for one in (form, note_form, conflict_form, remark_form) if one is not None]
    return page(request, "pitch.html", revision.title, context, max(form_status(one) for one in wrong))


def _similar(request: UserRequest, pitch: Pitch, revision: PitchRevision) -> list[Match]:
    besides = {pitch.pk, pitch.continues_id or 0}  # what it continues stands above
    return pitches_similar(request.user, words_of_revision(revision), besides=besides)


@require_POST
def take_in(request: UserRequest, pk: int) -> HttpResponse:
    """Take a submitted pitch into review."""
    pitch = pitch_or_404(request, pk)
    return done(
        request, lambda: services.pitch_take_in(actor=request.user, pitch=pitch), "It is in review.", READ, pitch.pk
    )


@require_POST
def give_back(request: UserRequest, pk: int) -> HttpResponse:
    """Return a pitch to its team with a note."""
    pitch = pitch_or_404(request, pk)
    form = NoteForm(request.POST)
    if form.is_valid():
        try:
            services.pitch_return(actor=request.user, pitch=pitch, note=form.cleaned_data["note"])
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, "Returned with your note. The team has been told.")
            return redirect(DESK, pitch.round_id)
    return _refused(request, pitch, form, ConflictForm())


@require_POST
def recuse(request: UserRequest, pk: int) -> HttpResponse:
    """Declare a conflict."""
    pitch = pitch_or_404(request, pk)
    form = ConflictForm(request.POST)
    if form.is_valid():
        try:
            services.recusal_declare(
                actor=request.user,
                pitch=pitch,
                reason=form.cleaned_data["reason"],
                conflict_type=RecusalType(form.cleaned_data["conflict_type"]),
            )
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, "You are recused. Nothing that you said about it counts any more.")
            return redirect(DESK, pitch.round_id)
    return _refused(request, pitch, NoteForm(), form)


def _refused(request: UserRequest, pitch: Pitch, note: NoteForm, conflict: ConflictForm) -> HttpResponse:
    criteria = list(pitch.round.criteria.order_by("position"))
    is_open = _takes_reviews(pitch) and has_declared(request.user, pitch)
    return _page(request, pitch, ReviewForm(criteria=criteria) if is_open else None, note, conflict)


@require_POST
def remark(request: UserRequest, pk: int) -> HttpResponse:
    """Say something to the other members."""
    pitch = pitch_or_404(request, pk)
    form = RemarkForm(request.POST)
    if form.is_valid():
        try:
            services.remark_add(actor=request.user, pitch=pitch, body=form.cleaned_data["body"])
        except Refused as error:
            form_refuse(form, error)
        else:
            messages.success(request, "The members without a conflict can read it.")
            return redirect(READ, pitch.pk)
    criteria = list(pitch.round.criteria.order_by("position"))
    is_open = _takes_reviews(pitch) and has_declared(request.user, pitch)
    review = ReviewForm(criteria=criteria) if is_open else None
    return _page(request, pitch, review, NoteForm(), ConflictForm(), form)


@require_POST
def rule_out(request: UserRequest, pk: int) -> HttpResponse:
    """Decline what a screening found infeasible."""
    pitch = pitch_or_404(request, pk)
    reason = request.POST.get("reason", "")
    return done(
        request,
        lambda: services.pitch_rule_out(actor=request.user, pitch=pitch, reason=reason),
        "Declined. The team has been told why.",
        READ,
        pitch.pk,
    )
