"""A pitch's folder: the files that go with it, and what the committee asked and the team answered."""

from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from pitches.attachments import LARGEST, LONGEST_NAME, FileKind
from pitches.models.pitch import Pitch, PitchRevision

if TYPE_CHECKING:
    AttachmentManagerBase = models.Manager["Attachment"]
else:
    AttachmentManagerBase = models.Manager


class AttachmentManager(AttachmentManagerBase):
    """Leaves the bytes where they are until somebody asks for them."""

    def get_queryset(self) -> models.QuerySet["Attachment"]:
        """Return every file, its content read on first use."""
        return super().get_queryset().defer("content")


class Attachment(models.Model):
    """A file of a pitch, whole in the database. It never changes; one that a revision pins is never deleted (trigger).

    `removed_at` says that the draft has it no more; the revisions that were submitted with it still do.
    """

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="attachments")
    name = models.CharField(max_length=LONGEST_NAME, help_text="Cleaned: no path, no control characters.")
    kind = models.CharField(max_length=4, choices=FileKind)
    size = models.PositiveIntegerField(help_text="In bytes.")
    sha256 = models.CharField(max_length=64, help_text="Of the content, in hexadecimal.")
    content = models.BinaryField()
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    added_at = models.DateTimeField(db_default=Now(), editable=False)
    removed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = AttachmentManager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["pitch", "sha256"], condition=Q(removed_at=None), name="attachment_content_once"
            ),
            models.UniqueConstraint(
                fields=["pitch", "name"], condition=Q(removed_at=None), name="attachment_name_once"
            ),
            models.CheckConstraint(condition=Q(kind__in=FileKind.values), name="attachment_kind_known"),
            models.CheckConstraint(condition=Q(size__gte=1, size__lte=LARGEST), name="attachment_size_in_bounds"),
            models.CheckConstraint(
                condition=Q(removed_at=None, removed_by=None) | Q(removed_at__isnull=False, removed_by__isnull=False),
                name="attachment_removal_has_name_and_time",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def digest(self) -> str:
        """Return the first eight characters of the SHA-256, enough for people to compare."""
        return self.sha256[:8]


class RevisionAttachment(models.Model):
    """A file that a revision was submitted with, for ever (trigger)."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="revision_attachments")
    attachment = models.ForeignKey(Attachment, models.PROTECT, related_name="pins")
    position = models.PositiveSmallIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "attachment"], name="revision_attachment_once"),
            models.UniqueConstraint(fields=["revision", "position"], name="revision_attachment_position_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.revision}: {self.attachment}"


class MessageKind(models.TextChoices):
    """What a message of the thread is."""

    QUESTION = "question", "Question"
    FOLLOW_UP = "follow_up", "Follow-up"
    ANSWER = "answer", "Answer"


class ThreadMessage(models.Model):
    """One message between committee and team, kept for ever (trigger). Follow-ups and answers hang on a question."""

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="thread")
    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="+", help_text="Current when it was said.")
    kind = models.CharField(max_length=9, choices=MessageKind)
    question = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="replies")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    body = models.TextField(help_text="Plain text.")
    at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=MessageKind.values), name="thread_kind_known"),
            models.CheckConstraint(
                condition=Q(kind="question", question=None) | ~Q(kind="question") & Q(question__isnull=False),
                name="thread_reply_has_question",
            ),
            models.CheckConstraint(condition=~Q(body=""), name="thread_says_something"),
        ]
        indexes: ClassVar = [models.Index(fields=["pitch", "id"], name="thread_by_pitch")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} on {self.pitch}"
