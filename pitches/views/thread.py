"""The thread of questions and answers on a pitch: read and written on a page of its own, shown on the pitch's pages."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from pitches import services
from pitches.access import may
from pitches.forms.folder import MessageForm
from pitches.models import MessageKind, Pitch, ThreadMessage
from pitches.selectors.folder import thread_shown
from pitches.services.thread import UNDECIDED
from pitches.transitions import COMMITTEE_AT_WORK, DECISIONS_PUBLIC, PitchState, RoundState
from pitches.views.pitches import pitch_or_404
from teams.access import UserRequest, members_only
from teams.errors import Refused
from teams.forms import form_refuse, form_status
from teams.selectors import Person


def thread_context(user: Person, pitch: Pitch, form: MessageForm | None = None) -> dict[str, Any]:
    """Return what the part of a page that shows the thread needs; the thread is None for who may not read it.

    A form that was refused stands where it was sent from.
    """
    thread = thread_shown(user, pitch)
    asks = may(user, "pitches.ask_question", pitch) and (
        pitch.round.state in COMMITTEE_AT_WORK and pitch.state in UNDECIDED
    )
    answers = may(user, "pitches.answer_question", pitch) and not (
        pitch.round.state in DECISIONS_PUBLIC | {RoundState.CANCELLED} or pitch.state == PitchState.WITHDRAWN
    )
    place = str(form.data.get("question", "")) if form is not None else ""
    return {
        "thread": thread,
        "thread_rows": [(row, _form(row.asked.pk, asks, form, place)) for row in thread or []],
        "open_count": sum(1 for row in thread or [] if row.is_open),
        "asks": asks,
        "may_answer": answers,
        "question_form": form if form is not None and not place else MessageForm(auto_id="id_new_%s"),
    }


def _form(question: int, asks: bool, refused: MessageForm | None, place: str) -> MessageForm:
    if refused is not None and place == str(question):
        form = refused
    else:
        form = MessageForm(auto_id=f"id_{question}_%s", initial={"question": question})
    form.fields["body"].label = "Follow-up" if asks else "Answer"
    return form


@members_only
def questions_page(request: UserRequest, pk: int) -> HttpResponse:
    """Show the thread; ask, follow up or answer."""
    pitch = pitch_or_404(request, pk)
    if thread_shown(request.user, pitch) is None:
        raise Http404
    form: MessageForm | None = None
    if request.method == "POST":
        place = request.POST.get("question", "")
        form = MessageForm(request.POST, auto_id=f"id_{place if place.isdigit() else 'new'}_%s")
        if form.is_valid() and _say(request, pitch, form):
            return redirect(reverse("pitches:questions", args=[pitch.pk]) + "#questions")
    context = {"pitch": pitch, **thread_context(request.user, pitch, form)}
    return render(request, "pitches/questions.html", context, status=form_status(form) if form else 200)


def _say(request: UserRequest, pitch: Pitch, form: MessageForm) -> bool:
    """Say what the form says, as team or as committee; False when it was refused."""
    said = form.cleaned_data
    question = _question(pitch, said["question"])
    try:
        if question is not None and may(request.user, "pitches.answer_question", pitch):
            services.question_answer(actor=request.user, pitch=pitch, question=question, body=said["body"])
            messages.success(request, "Answered. Whoever asked has been told.")
        else:
            services.question_ask(actor=request.user, pitch=pitch, question=question, body=said["body"])
            messages.success(request, "Asked. The team has been told.")
    except Refused as error:
        form_refuse(form, error)
        return False
    return True


def _question(pitch: Pitch, pk: int | None) -> ThreadMessage | None:
    if pk is None:
        return None
    question = ThreadMessage.objects.filter(pitch=pitch, kind=MessageKind.QUESTION, pk=pk).first()
    if question is None:
        raise Http404
    return question
