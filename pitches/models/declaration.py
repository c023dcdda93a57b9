"""Declarations: what a member of the committee said about their own conflicts, before they read for the committee."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from pitches.models.committee import RecusalType
from pitches.models.pitch import Pitch
from pitches.models.round import Round


class Declaration(models.Model):
    """One time that a member declared, in a round. Reviews and ballots open only after it (trigger); append-only."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="declarations")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="declarations")
    at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"{self.member} in {self.round}"


class DeclarationAnswer(models.Model):
    """What a declaration says about one pitch: a type of conflict with its reason, or none. Append-only."""

    declaration = models.ForeignKey(Declaration, models.PROTECT, related_name="answers")
    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="declaration_answers")
    type = models.CharField(max_length=14, choices=RecusalType, blank=True, help_text="Blank: no conflict.")
    reason = models.TextField(blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["declaration", "pitch"], name="declaration_answer_one_per_pitch"),
            models.CheckConstraint(
                condition=Q(type="", reason="") | Q(type__in=RecusalType.values) & ~Q(reason=""),
                name="declaration_answer_conflict_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pitch}: {self.get_type_display() if self.type else 'no conflict'}"
