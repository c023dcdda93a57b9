"""Questions of the committee and answers of the team: said once, kept for ever, told to who waits for it."""

from django.db import transaction

from pitches.access import require_member
from pitches.models import MessageKind, Pitch, ThreadMessage
from pitches.services.locks import pitch_locked
from pitches.services.notices import tell_askers, tell_team
from pitches.transitions import COMMITTEE_AT_WORK, DECISIONS_PUBLIC, PitchState, RoundState
from teams.access import require
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record

LONGEST_MESSAGE = 4000
MOST_MESSAGES = 500
"""Messages of one pitch: nobody reads more, and a thread is shown whole."""
UNDECIDED = frozenset({PitchState.SUBMITTED, PitchState.RETURNED, PitchState.IN_REVIEW, PitchState.SHORTLISTED})
"""The committee still wants to know something about it."""


@transaction.atomic
def question_ask(*, actor: User, pitch: Pitch, body: str, question: ThreadMessage | None = None) -> ThreadMessage:
    """Ask the team something, or follow a question up; the team is told.

    Raises NotAllowed, WrongState, Refused (message_missing, message_too_long, thread_full, another_pitch).
    """
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.ask_question", pitch, message="Only members without a conflict ask about a pitch.")
    if pitch.round.state not in COMMITTEE_AT_WORK or pitch.state not in UNDECIDED:
        raise WrongState("The committee is done with this pitch.")
    kind = MessageKind.FOLLOW_UP if question else MessageKind.QUESTION
    message = _say(actor, pitch, kind, question, body)
    tell_team(pitch, f"The committee asks about {pitch}", message.body, page="pitches:questions")
    return message


@transaction.atomic
def question_answer(*, actor: User, pitch: Pitch, body: str, question: ThreadMessage) -> ThreadMessage:
    """Answer a question as the team; the members who asked are told, unless they were recused since.

    Raises NotAllowed, WrongState, Refused (message_missing, message_too_long, thread_full, another_pitch).
    """
    pitch = pitch_locked(pitch)
    require(actor, "pitches.answer_question", pitch, message="Only people of the team and co-applicants answer.")
    if pitch.round.state in DECISIONS_PUBLIC | {RoundState.CANCELLED} or pitch.state == PitchState.WITHDRAWN:
        raise WrongState("Answers are taken until the decisions are published.")
    message = _say(actor, pitch, MessageKind.ANSWER, question, body)
    tell_askers(pitch, question.pk, f"{pitch.team} answered about {pitch}", message.body)
    return message


def _say(actor: User, pitch: Pitch, kind: MessageKind, question: ThreadMessage | None, body: str) -> ThreadMessage:
    body = body.replace("\x00", "").replace("\r\n", "\n").strip()
    if not body:
        raise Refused("Write something.", code="message_missing", field="body")
    if len(body) > LONGEST_MESSAGE:
        raise Refused(f"Write at most {LONGEST_MESSAGE:,} characters.", code="message_too_long", field="body")
    if question is not None and (question.pitch_id, question.kind) != (pitch.pk, MessageKind.QUESTION):
        raise Refused("That is no question about this pitch.", code="another_pitch", field="question")
    if pitch.thread.count() >= MOST_MESSAGES:
        raise Refused(f"A thread holds at most {MOST_MESSAGES} messages.", code="thread_full", field="body")
    message = ThreadMessage.objects.create(
        pitch=pitch, revision=pitch.submitted, kind=kind, question=question, author=actor, body=body
    )
    details = {"pitch": pitch.pk, "revision": pitch.submitted.number, "question": question.pk if question else None}
    audit_record(actor=actor, verb=f"thread.{kind.value}", target=message, details=details)
    return message
