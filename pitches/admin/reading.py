"""Read one pitch: its text, one's own review, the others' once one's own is in; screen it; step aside."""

from typing import Any

from django import forms
from django.http import Http404, QueryDict
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_POST

from pitches import services
from pitches.access import may
from pitches.admin.pages import page, pitch_or_404
from pitches.forms.committee import ConflictForm, NoteForm, ReviewForm
from pitches.forms.life import RemarkForm
from pitches.models import Expertise, Pitch, PitchRevision, RecusalType
from pitches.selectors.conflicts import has_declared
from pitches.selectors.discussion import may_discuss, remarks_shown_to
from pitches.selectors.earlier import earlier_shown
from pitches.selectors.fast_lane import lane_takes
from pitches.selectors.pitches import revision_whole, revisions_of
from pitches.selectors.progress import reviews_progress
from pitches.selectors.revisions import changes_between
from pitches.selectors.scores import review_before, review_of, reviews_shown_to
from pitches.selectors.screening import findings_of, infeasible
from pitches.selectors.similar import Match, pitches_similar, words_of_revision
from pitches.transitions import COMMITTEE_AT_WORK, PitchState, RoundState
from pitches.views.pitches import revision_context
from pitches.views.thread import thread_context
from teams.access import UserRequest
from teams.acting import done, pressed, submitted
from teams.forms import form_status
from teams.models import User
from teams.typed import whole_in

READ = "admin:pitches_pitch_read"
DESK = "admin:pitches_round_desk"


def read(request: UserRequest, pk: int) -> HttpResponseBase:
    """Show a pitch; hand in a review."""
    pitch = pitch_or_404(request, pk)
    form = _review_form(request.user, pitch, request.POST or None)
    answer = submitted(request, form, lambda said: _reviewed(request, pitch, form, said)) if form else None
    return answer or _page(request, pitch, form)


def _reviewed(request: UserRequest, pitch: Pitch, form: ReviewForm, said: dict[str, Any]) -> HttpResponseBase:
    services.review_submit(
        actor=request.user,
        pitch=pitch,
        revision_number=whole_in(request.POST.get("revision", ""), 0, digits=5),
        marks=form.marks(),
        expertise=Expertise(said["expertise"]),
        comment=said["comment"],
    )
    return _onward(request, pitch)


def _onward(request: UserRequest, pitch: Pitch) -> HttpResponseBase:
    """Lead to the pitch itself, or where that was asked for to the next one, and to the desk after the last."""
    if "next" not in request.POST:
        return done(request, "Your review is in. You can see the others' now.", READ, pk=pitch.pk)
    progress = reviews_progress(request.user, pitch.round, after=pitch.pk)
    said = f"Your review of {pitch} is in: {progress.done} of {progress.of} done."
    if progress.next is None:
        return done(request, f"{said} That was the last one.", DESK, pk=pitch.round_id)
    return done(request, said, READ, pk=progress.next)


def _review_form(user: User, pitch: Pitch, typed: QueryDict | None = None) -> ReviewForm | None:
    """Return the form with what was typed, else the own review, else the one of an earlier revision.

    None where there is nothing to review, or nothing was declared yet.
    """
    takes = pitch.round.state == RoundState.REVIEWING and pitch.state == PitchState.IN_REVIEW
    if not takes or not has_declared(user, pitch):
        return None
    own = review_of(user, pitch) or review_before(user, pitch)
    return ReviewForm(typed, criteria=list(pitch.round.criteria.order_by("position")), review=own)


def _filled(pitch: Pitch, revision: PitchRevision, form: ReviewForm | None) -> dict[str, Any]:
    """Return from which earlier revision the form is filled in, and what is different since."""
    review = form.review if form is not None else None
    if review is None or review.revision_id == revision.pk:
        return {"filled_from": None}
    before = revision_whole(pitch, review.revision.number)
    return {"filled_from": before, "changes": changes_between(before, revision) if before else []}


def _page(request: UserRequest, pitch: Pitch, review: ReviewForm | None, **typed: forms.Form) -> HttpResponseBase:
    revision = revision_whole(pitch)
    if revision is None:
        raise Http404
    found = findings_of([pitch])[pitch.pk]
    discusses = may(request.user, "pitches.discuss_pitch", pitch) and may_discuss(request.user, pitch)
    screens = {PitchState.SUBMITTED, PitchState.IN_REVIEW}
    asked = {"note_form": NoteForm(), "conflict_form": ConflictForm(), "remark_form": RemarkForm(), **typed}
    context: dict[str, Any] = {
        "round": pitch.round,
        "tab": "desk",
        "pitch": pitch,
        "revisions": revisions_of(pitch),
        **revision_context(request.user, revision),
        "undeclared": pitch.round.state in COMMITTEE_AT_WORK and not has_declared(request.user, pitch),
        "form": review,
        "reviews": reviews_shown_to(request.user, pitch, pitch.round),
        "can_screen": pitch.state in screens and pitch.round.state in {"open", "reviewing"},
        "can_declare": pitch.round.state in COMMITTEE_AT_WORK,
        "findings": [row for _, row in sorted(found.items())],
        "can_rule_out": bool(infeasible([pitch])) and may(request.user, "pitches.decide_pitch", pitch),
        "can_decide_lane": lane_takes(pitch) and may(request.user, "pitches.decide_lane", pitch),
        "may_discuss": discusses,
        "remarks": remarks_shown_to(request.user, pitch) if discusses else [],
        "can_remark": discusses and pitch.round.state in COMMITTEE_AT_WORK,
        "earlier": earlier_shown(request.user, pitch),
        "similar": _similar(request, pitch, revision),
        **_filled(pitch, revision, review),
        "progress": reviews_progress(request.user, pitch.round, after=pitch.pk) if review is not None else None,
        **thread_context(request.user, pitch),
        **asked,
    }
    status = max(form_status(form) for form in (review, *asked.values()) if form is not None)
    return page(request, "pitch.html", revision.title, context, status)


def _similar(request: UserRequest, pitch: Pitch, revision: PitchRevision) -> list[Match]:
    besides = {pitch.pk, pitch.continues_id or 0}  # what it continues stands above
    return pitches_similar(request.user, words_of_revision(revision), besides=besides)


@require_POST
def take_in(request: UserRequest, pk: int) -> HttpResponseBase:
    """Take a submitted pitch into review."""
    pitch = pitch_or_404(request, pk)

    def work() -> str:
        services.pitch_take_in(actor=request.user, pitch=pitch)
        return "It is in review."

    return pressed(request, work, READ, pk=pitch.pk)


@require_POST
def give_back(request: UserRequest, pk: int) -> HttpResponseBase:
    """Return a pitch to its team with a note."""
    pitch = pitch_or_404(request, pk)
    form = NoteForm(request.POST)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.pitch_return(actor=request.user, pitch=pitch, note=said["note"])
        return done(request, "Returned with your note. The team has been told.", DESK, pk=pitch.round_id)

    return submitted(request, form, work) or _again(request, pitch, note_form=form)


@require_POST
def recuse(request: UserRequest, pk: int) -> HttpResponseBase:
    """Declare a conflict."""
    pitch = pitch_or_404(request, pk)
    form = ConflictForm(request.POST)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        conflict_type = RecusalType(said["conflict_type"])
        services.recusal_declare(actor=request.user, pitch=pitch, reason=said["reason"], conflict_type=conflict_type)
        words = "You are recused. Nothing that you said about it counts any more."
        return done(request, words, DESK, pk=pitch.round_id)

    return submitted(request, form, work) or _again(request, pitch, conflict_form=form)


@require_POST
def remark(request: UserRequest, pk: int) -> HttpResponseBase:
    """Say something to the other members."""
    pitch = pitch_or_404(request, pk)
    form = RemarkForm(request.POST)

    def work(said: dict[str, Any]) -> HttpResponseBase:
        services.remark_add(actor=request.user, pitch=pitch, body=said["body"])
        return done(request, "The members without a conflict can read it.", READ, pk=pitch.pk)

    return submitted(request, form, work) or _again(request, pitch, remark_form=form)


def _again(request: UserRequest, pitch: Pitch, **refused: forms.Form) -> HttpResponseBase:
    return _page(request, pitch, _review_form(request.user, pitch), **refused)


@require_POST
def rule_out(request: UserRequest, pk: int) -> HttpResponseBase:
    """Decline what a screening found infeasible."""
    pitch = pitch_or_404(request, pk)
    reason = request.POST.get("reason", "")

    def work() -> str:
        services.pitch_rule_out(actor=request.user, pitch=pitch, reason=reason)
        return "Declined. The team has been told why."

    return pressed(request, work, READ, pk=pitch.pk)
