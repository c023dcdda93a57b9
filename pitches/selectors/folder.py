"""A pitch's folder: which files somebody may open, and the thread of questions as one reader sees it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import OuterRef, Q, QuerySet, Subquery

from pitches.access import may
from pitches.models import Attachment, MessageKind, Pitch, ThreadMessage
from teams.selectors import Person


def attachments_of_draft(pitch: Pitch) -> list[Attachment]:
    """Return the files that the next submission will pin, in the order in which they came."""
    return list(pitch.attachments.filter(removed_at=None).select_related("added_by").order_by("pk"))


def attachments_shown(user: Person, pitch: Pitch) -> QuerySet[Attachment]:
    """Return the files of a pitch that a reader of it may open: what was submitted, and the draft's for who types it.

    Ask `pitches.view_pitch` first.
    """
    files = Attachment.objects.filter(pitch=pitch).order_by("pk")
    if user.has_perm("pitches.write_pitch", pitch):
        return files
    return files.filter(pins__revision__pitch=pitch).distinct()


@dataclass(slots=True)
class Question:
    """A question with everything that was said to it, oldest first."""

    asked: ThreadMessage
    replies: list[ThreadMessage] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Say whether the team has still to answer it."""
        return not self.replies or self.replies[-1].kind != MessageKind.ANSWER


def thread_shown(user: Person, pitch: Pitch) -> list[Question] | None:
    """Return the questions about a pitch in the order in which they were asked; None for who may not read them."""
    if not may(user, "pitches.view_thread", pitch):
        return None
    questions: dict[int, Question] = {}
    for message in pitch.thread.select_related("author", "revision").order_by("pk"):
        if message.question_id is None:
            questions[message.pk] = Question(message)
        else:
            questions[message.question_id].replies.append(message)
    return list(questions.values())


def open_questions(pitches: Iterable[int]) -> dict[int, int]:
    """Return how many questions wait for an answer, by pitch id; pitches without one are left out. One query."""
    last = ThreadMessage.objects.filter(Q(pk=OuterRef("pk")) | Q(question=OuterRef("pk"))).order_by("-pk")
    asked = ThreadMessage.objects.filter(pitch__in=list(pitches), kind=MessageKind.QUESTION)
    counts: dict[int, int] = {}
    waiting = asked.annotate(last=Subquery(last.values("kind")[:1])).exclude(last=MessageKind.ANSWER)
    for pitch_id in waiting.values_list("pitch_id", flat=True):
        counts[pitch_id] = counts.get(pitch_id, 0) + 1
    return counts
