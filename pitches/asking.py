"""What a round asks beyond the form's own fields: its questions, each under a condition or always, and its checklist.

Pure: the same rules hide and show on the page, check a draft, and decide what a submission keeps. A condition names
one field and the answers with which the question is asked: `{"field": "data_class", "is": ["personal"]}`. The field
is one of the form's own choices or an earlier question that is answered by a choice or by yes or no.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from allocations.models import StopBehaviour
from pitches.questions import CHECKLIST, Answer, DataClass, Evidence, Latency, QuestionKind, SectionCode, ValueKind
from teams.errors import Refused

CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
MOST_QUESTIONS = 30
MOST_CHOICES = 20
LONGEST_LINE = 200
LONGEST_ANSWER = 4000
YES_NO = {"yes": "Yes", "no": "No"}
OWN_CHOICES: Mapping[str, Mapping[str, str]] = {
    "value_kind": dict(ValueKind.choices),
    "evidence": dict(Evidence.choices),
    "latency": dict(Latency.choices),
    "stop_behaviour": dict(StopBehaviour.choices),
    "data_class": dict(DataClass.choices),
}
"""The form's own fields that a condition can name, each with its answers."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A question is asked when the field has one of the answers."""

    field: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a round as it is asked; a choice is its own value."""

    code: str
    section: SectionCode
    text: str
    kind: QuestionKind
    help: str = ""
    choices: tuple[str, ...] = ()
    required: bool = True
    shown_when: Condition | None = None

    @property
    def options(self) -> dict[str, str]:
        """Return the answers to choose from with their words; empty for questions that are answered freely."""
        if self.kind == QuestionKind.YES_NO:
            return dict(YES_NO)
        return {choice: choice for choice in self.choices} if self.kind == QuestionKind.CHOICE else {}


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the compliance checklist; with `explain_no` the answer no needs an explanation."""

    code: str
    text: str
    explain_no: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that one round asks beyond the form's own fields, in order."""

    checklist: tuple[Check, ...]
    questions: tuple[Asked, ...] = ()


DEFAULT_CHECKLIST = tuple(Check(question.code, question.text) for question in CHECKLIST)
DEFAULT_TERMS = Terms(DEFAULT_CHECKLIST)


def questions_shown(questions: Sequence[Asked], own: Mapping[str, str], answers: Mapping[str, str]) -> frozenset[str]:
    """Return the codes of the questions that are asked, given the form's own choices and the answers so far.

    A question whose condition names a question that is not asked itself is not asked either.
    """
    shown: set[str] = set()
    for question in questions:
        condition = question.shown_when
        if condition is None:
            shown.add(question.code)
            continue
        said = own.get(condition.field, "") if condition.field in OWN_CHOICES else ""
        if condition.field in shown:
            said = answers.get(condition.field, "")
        if said in condition.answers:
            shown.add(question.code)
    return frozenset(shown)


def answer_clean(question: Asked, text: str) -> str:
    """Return an answer as it is kept: a number plain, a date as 2027-01-31. Raises Refused (invalid)."""
    text = text.strip()
    if not text:
        return ""
    if question.options:
        if text not in question.options:
            raise Refused("Choose one of the answers.", code="invalid")
        return text
    if question.kind == QuestionKind.NUMBER:
        return _number(text)
    if question.kind == QuestionKind.DATE:
        return _date(text)
    most = LONGEST_LINE if question.kind == QuestionKind.TEXT else LONGEST_ANSWER
    if len(text) > most:
        raise Refused(f"At most {most:,} characters; this has {len(text):,}.", code="invalid")
    return text


def _number(text: str) -> str:
    plain = re.sub(r"(?<=\d)[, \u00a0\u202f](?=\d{3}(?!\d))", "", text)
    if not re.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", plain, re.ASCII):
        raise Refused("Write a number such as 20000, 20,000 or 1.5.", code="invalid")
    return f"{Decimal(plain):f}"


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise Refused("Write a date such as 2027-01-31.", code="invalid") from error


def answers_kept(questions: Sequence[Asked], own: Mapping[str, str], answers: Mapping[str, str]) -> dict[str, str]:
    """Return the answers that a submission keeps: those of questions that are asked, checked and in order.

    Raises Refused (question_missing, invalid) with the field `question-<code>`.
    """
    kept: dict[str, str] = {}
    for question in questions:
        if question.code not in questions_shown(questions, own, kept):
            continue
        field = f"question-{question.code}"
        try:
            text = answer_clean(question, answers.get(question.code, ""))
        except Refused as error:
            raise Refused(error.message, code="invalid", field=field) from error
        if text:
            kept[question.code] = text
        elif question.required:
            raise Refused(f"“{question.text}” is not answered.", code="question_missing", field=field)
    return kept


def checklist_require(checklist: Sequence[Check], said: Mapping[str, str], note: str) -> None:
    """Let a submission go on only with an answer to every line, explained where it is a no that needs it.

    Raises Refused (checklist_missing, not_explained) with the field.
    """
    for check in checklist:
        answer = said.get(check.code, "")
        if answer not in Answer.values:
            field = f"compliance-{check.code}"
            raise Refused(f"“{check.text}” is not answered.", code="checklist_missing", field=field)
        if answer == Answer.NO and check.explain_no and not note.strip():
            raise Refused("Explain the answer no.", code="not_explained", field="compliance_note")


def answer_words(kind: str, text: str) -> str:
    """Return an answer that was kept as people read it."""
    if kind == QuestionKind.NUMBER:
        return f"{Decimal(text):,f}"
    if kind == QuestionKind.DATE:
        return date.fromisoformat(text).strftime("%-d %b %Y")
    return YES_NO.get(text, text) if kind == QuestionKind.YES_NO else text


def questions_require(questions: Sequence[Asked]) -> None:
    """Let a round's questions stand only when each can be asked and answered.

    Raises Refused with a field such as `questions-0-code`: codes unique and plain, choices where there is something to
    choose, conditions on something that is answered before.
    """
    if len(questions) > MOST_QUESTIONS:
        raise Refused(f"A round asks at most {MOST_QUESTIONS} questions.", code="too_many")
    before: dict[str, Mapping[str, str]] = dict(OWN_CHOICES)
    codes: set[str] = set()
    for place, question in enumerate(questions):
        _require_code(question.code, codes | OWN_CHOICES.keys(), f"questions-{place}-code")
        codes.add(question.code)
        _require_text(question.text, f"questions-{place}-text")
        _require_choices(question, f"questions-{place}-choices")
        _require_condition(question.shown_when, before, place)
        if question.options:
            before[question.code] = question.options


def checklist_check(checklist: Sequence[Check]) -> None:
    """Let a round's checklist stand only with unique codes and words. Raises Refused with the field."""
    if len(checklist) > MOST_QUESTIONS:
        raise Refused(f"A checklist has at most {MOST_QUESTIONS} lines.", code="too_many")
    codes: set[str] = set()
    for place, check in enumerate(checklist):
        _require_code(check.code, codes, f"checklist-{place}-code")
        codes.add(check.code)
        _require_text(check.text, f"checklist-{place}-text")


def _require_code(code: str, taken: set[str], field: str) -> None:
    if not CODE.fullmatch(code):
        raise Refused("Small letters, digits and _, beginning with a letter.", code="bad_code", field=field)
    if code in taken:
        raise Refused("Another one has this code.", code="taken", field=field)


def _require_text(text: str, field: str) -> None:
    if not 1 <= len(text.strip()) <= LONGEST_LINE:
        raise Refused(f"1 to {LONGEST_LINE} characters.", code="bad_text", field=field)


def _require_choices(question: Asked, field: str) -> None:
    if question.kind != QuestionKind.CHOICE:
        if question.choices:
            raise Refused("Only a choice has choices.", code="bad_choices", field=field)
        return
    choices = question.choices
    if not 2 <= len(choices) <= MOST_CHOICES or len(set(choices)) != len(choices):
        raise Refused(f"2 to {MOST_CHOICES} different choices, one on a line.", code="bad_choices", field=field)
    if any(not 1 <= len(choice) <= LONGEST_LINE or choice != choice.strip() for choice in choices):
        raise Refused(f"Each choice has 1 to {LONGEST_LINE} characters.", code="bad_choices", field=field)


def _require_condition(condition: Condition | None, before: Mapping[str, Mapping[str, str]], place: int) -> None:
    if condition is None:
        return
    if condition.field not in before:
        raise Refused(
            "Name a question above this one that is answered by a choice.",
            code="bad_condition",
            field=f"questions-{place}-when_field",
        )
    unknown = [answer for answer in condition.answers if answer not in before[condition.field]]
    if unknown or not condition.answers:
        known = ", ".join(before[condition.field])
        raise Refused(f"Write one or more of: {known}.", code="bad_condition", field=f"questions-{place}-when_is")
