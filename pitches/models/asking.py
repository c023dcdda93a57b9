"""What a round asks beyond the form's own fields; fixed when the round opens (trigger)."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from pitches.models.round import Round
from pitches.questions import QuestionKind, SectionCode


class RoundQuestion(models.Model):
    """A question of one round, in a section of the form, asked always or under a condition."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="questions")
    code = models.CharField(max_length=40, help_text="What answers are stored under.")
    section = models.CharField(max_length=6, choices=SectionCode)
    text = models.CharField(max_length=200)
    help = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=6, choices=QuestionKind)
    choices = models.JSONField(default=list, help_text="The answers to choose from, each its own value.")
    required = models.BooleanField(default=True)
    shown_when = models.JSONField(null=True, help_text='{"field": code, "is": [answers]}; null: always asked.')
    position = models.PositiveSmallIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["round", "code"], name="round_question_code_unique"),
            models.UniqueConstraint(fields=["round", "position"], name="round_question_position_unique"),
            models.CheckConstraint(
                condition=Q(code__regex=r"^[a-z][a-z0-9_]{0,39}$") & ~Q(text=""),
                name="round_question_has_code_and_text",
            ),
            models.CheckConstraint(condition=Q(kind__in=QuestionKind.values), name="round_question_kind_known"),
            models.CheckConstraint(condition=Q(section__in=SectionCode.values), name="round_question_section_known"),
            models.CheckConstraint(
                condition=~Q(kind=QuestionKind.CHOICE) | ~Q(choices=[]), name="round_question_choice_has_choices"
            ),
        ]

    def __str__(self) -> str:
        return self.text


class ChecklistItem(models.Model):
    """A line of one round's compliance checklist."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="checklist")
    code = models.CharField(max_length=40, help_text="What answers are stored under.")
    text = models.CharField(max_length=200)
    explain_no = models.BooleanField(default=True, help_text="The answer no needs an explanation.")
    position = models.PositiveSmallIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["round", "code"], name="checklist_item_code_unique"),
            models.UniqueConstraint(fields=["round", "position"], name="checklist_item_position_unique"),
            models.CheckConstraint(
                condition=Q(code__regex=r"^[a-z][a-z0-9_]{0,39}$") & ~Q(text=""),
                name="checklist_item_has_code_and_text",
            ),
        ]

    def __str__(self) -> str:
        return self.text
