"""What happens to a pitch beside reviews and votes: looked at early, screened, assigned, talked about."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from pitches.models.pitch import Pitch, PitchRevision


class Peek(models.Model):
    """Somebody's look at a revision before its round was unsealed, and why; for ever (trigger)."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="peeks")
    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="peeks")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="peeks")
    reason = models.TextField()
    at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "person"], name="peek_one_per_revision"),
            models.CheckConstraint(condition=~Q(reason=""), name="peek_has_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.person} at {self.revision}"


class Aspect(models.TextChoices):
    """What a screening looks at."""

    ESTIMATE = "estimate", "Estimate"
    COMPLIANCE = "compliance", "Compliance"


class Finding(models.TextChoices):
    """What a screening finds."""

    FEASIBLE = "feasible", "Feasible"
    PROBLEM = "problem", "Problem"
    INFEASIBLE = "infeasible", "Infeasible"


class Screening(models.Model):
    """What the platform, or compliance, finds about a revision; the newest of an aspect counts, none ever changes.

    Where a newer revision says the same of what was judged, the finding is carried over from the earlier revision.
    """

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="screenings")
    aspect = models.CharField(max_length=10, choices=Aspect)
    finding = models.CharField(max_length=10, choices=Finding)
    reason = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="screenings")
    at = models.DateTimeField(db_default=Now(), editable=False)
    carried_from = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(aspect__in=Aspect.values), name="screening_aspect_known"),
            models.CheckConstraint(condition=Q(finding__in=Finding.values), name="screening_finding_known"),
            models.CheckConstraint(condition=~Q(reason=""), name="screening_has_reason"),
        ]
        indexes: ClassVar = [
            # The newest of each aspect.
            models.Index(fields=["revision", "aspect", "-id"], name="screening_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_aspect_display()} of {self.revision}: {self.get_finding_display()}"


class Assignment(models.Model):
    """A member who is asked to review a pitch, until it ends with a reason."""

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="assignments")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="assignments")
    at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["pitch", "member"], condition=Q(ended_at=None), name="assignment_one_per_member"
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None, end_reason="") | Q(ended_at__isnull=False) & ~Q(end_reason=""),
                name="assignment_end_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member} reviews {self.pitch}"


class Remark(models.Model):
    """What a member says to the others about a revision; for ever (trigger)."""

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="remarks")
    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="remarks")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="remarks")
    body = models.TextField()
    at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=~Q(body=""), name="remark_says_something")]

    def __str__(self) -> str:
        return f"{self.author} on {self.revision}"
