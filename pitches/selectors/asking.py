"""What a round asks beyond the form's own fields."""

from typing import Any

from pitches.asking import Asked, Check, Condition, Terms
from pitches.models import ChecklistItem, Round, RoundQuestion
from pitches.questions import QuestionKind, SectionCode


def terms_of(round_: Round) -> Terms:
    """Return a round's checklist and questions in order, in two queries."""
    checklist = ChecklistItem.objects.filter(round=round_).order_by("position")
    questions = RoundQuestion.objects.filter(round=round_).order_by("position")
    return Terms(
        checklist=tuple(Check(row.code, row.text, row.explain_no) for row in checklist),
        questions=tuple(_asked(row) for row in questions),
    )


def _asked(row: RoundQuestion) -> Asked:
    when: dict[str, Any] | None = row.shown_when
    return Asked(
        code=row.code,
        section=SectionCode(row.section),
        text=row.text,
        kind=QuestionKind(row.kind),
        help=row.help,
        choices=tuple(row.choices),
        required=row.required,
        shown_when=Condition(when["field"], tuple(when["is"])) if when else None,
    )
