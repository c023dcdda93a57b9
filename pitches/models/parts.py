"""What else belongs to a revision: who applies with the team, quality on other tiers, ties to other pitches."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ledger.models import Tier
from pitches.models.pitch import Pitch, PitchRevision
from pitches.questions import LinkKind


class DraftApplicant(models.Model):
    """Somebody whom a draft names as co-applicant, by an e-mail address that is known: they may read and edit it."""

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="draft_applicants")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    is_named = models.BooleanField(default=True, help_text="False once the draft names them no more.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["pitch", "user"], name="draft_applicant_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in the draft of {self.pitch}"


class CoApplicant(models.Model):
    """Somebody who applies together with the team, and what they contribute."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="applicants")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    role = models.CharField(max_length=80)
    position = models.PositiveSmallIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "user"], name="co_applicant_unique"),
            models.UniqueConstraint(fields=["revision", "position"], name="co_applicant_position_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.role}"


class RevisionQuality(models.Model):
    """How good a tier is on the team's own eval, beside the tiers that the ask names, which count as 1."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="quality")
    tier = models.CharField(max_length=10, choices=Tier)
    quality = models.DecimalField(max_digits=5, decimal_places=4, help_text="Above 0, up to 1.")
    evidence = models.CharField(max_length=200, help_text="How it was measured.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "tier"], name="revision_quality_unique"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="revision_quality_tier_known"),
            models.CheckConstraint(condition=Q(quality__gt=0, quality__lte=1), name="revision_quality_is_a_share"),
        ]

    def __str__(self) -> str:
        return f"{self.tier}: {self.quality}"


class PitchLink(models.Model):
    """A tie to another pitch of the same round (trigger): the two exclude each other, or this one needs the other."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="links")
    kind = models.CharField(max_length=12, choices=LinkKind)
    other = models.ForeignKey(Pitch, models.PROTECT, related_name="linked_from")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "other"], name="pitch_link_unique"),
            models.CheckConstraint(condition=Q(kind__in=LinkKind.values), name="pitch_link_kind_known"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.other.number}"
