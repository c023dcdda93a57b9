"""Fields of what a round asks beyond the form's own: its checklist, and its questions under their conditions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms

from pitches.asking import OWN_CHOICES, Asked, Check, Terms, answer_clean, questions_shown
from pitches.forms.fields import NumberInput
from pitches.questions import Answer, QuestionKind
from teams.errors import Refused

PREFIX = "question-"


class AnswerField(forms.Field):
    """The answer to a round's question; one that is not asked is neither needed nor looked at."""

    def __init__(self, question: Asked, *, is_shown: bool) -> None:
        self.question, self.is_shown = question, is_shown
        super().__init__(
            label=question.text,
            help_text=question.help,
            required=question.required and is_shown,
            widget=_widget(question),
        )

    def to_python(self, value: Any) -> str:
        """Return the answer as it is kept, blank for none. Raises ValidationError."""
        if not self.is_shown:
            return ""
        try:
            return answer_clean(self.question, str(value or ""))
        except Refused as error:
            raise forms.ValidationError(error.message, code=error.code) from error


def _widget(question: Asked) -> forms.Widget:
    if question.options:
        return forms.Select(choices=[("", "Choose…"), *question.options.items()])
    if question.kind == QuestionKind.LONG:
        return forms.Textarea({"rows": 4})
    if question.kind == QuestionKind.NUMBER:
        return NumberInput()
    return forms.DateInput({"type": "date"}) if question.kind == QuestionKind.DATE else forms.TextInput()


def check_field(check: Check) -> forms.ChoiceField:
    """Return the field of a line of the checklist."""
    return forms.ChoiceField(label=check.text, choices=[("", "Choose…"), *Answer.choices])


def shown_in(terms: Terms, typed: Mapping[str, str]) -> frozenset[str]:
    """Return the codes of the questions that a draft, as typed, is asked."""
    own = {name: typed.get(name, "") for name in OWN_CHOICES}
    answers = {question.code: typed.get(PREFIX + question.code, "").strip() for question in terms.questions}
    return questions_shown(terms.questions, own, answers)


@dataclass(frozen=True, slots=True)
class QuestionField:
    """A question on the page: its field, whether it is asked now, and what the page's script needs to know."""

    field: forms.BoundField
    question: Asked
    is_shown: bool

    @property
    def when_field(self) -> str:
        """Return the name of the control that the condition is about; empty without a condition."""
        condition = self.question.shown_when
        if condition is None:
            return ""
        return condition.field if condition.field in OWN_CHOICES else PREFIX + condition.field

    @property
    def when_answers(self) -> str:
        """Return the answers with which it is asked, as JSON."""
        condition = self.question.shown_when
        return json.dumps(condition.answers if condition else [])
