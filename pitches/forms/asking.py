"""The editor of what a round asks: rows of questions and of the checklist, as typed; services judge them."""

from collections.abc import Mapping
from typing import Any

from django import forms

from pitches.asking import OWN_CHOICES, YES_NO, Asked, Check, Condition, Terms
from pitches.forms.rows import row_count
from pitches.questions import QuestionKind, SectionCode
from teams.errors import Refused

OWN_LABELS = {
    "value_kind": "Kind of value",
    "evidence": "What the figures rest on",
    "latency": "How fast an answer is needed",
    "stop_behaviour": "When a tier's budget is spent",
    "data_class": "Most sensitive data in a prompt",
}


class QuestionRow(forms.Form):
    """One question of the round."""

    text = forms.CharField(label="Question", max_length=200, required=False)
    code = forms.CharField(
        label="Code", max_length=40, required=False, help_text="Answers are stored under it, such as legal_basis."
    )
    section = forms.ChoiceField(label="Section", choices=SectionCode.choices, required=False)
    kind = forms.ChoiceField(label="Answer", choices=QuestionKind.choices, required=False)
    help = forms.CharField(label="Hint", max_length=200, required=False)
    choices = forms.CharField(
        label="Choices", required=False, widget=forms.Textarea({"rows": 3}), help_text="One on a line; for a choice."
    )
    required = forms.BooleanField(label="An answer is needed", required=False)
    when_field = forms.ChoiceField(label="Asked only when", required=False)
    when_is = forms.CharField(
        label="Is one of", required=False, widget=forms.Textarea({"rows": 3}), help_text="One on a line."
    )

    def __init__(self, *args: Any, others: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["when_field"]
        # What was typed stays a choice, so that the service can say what is wrong with it.
        typed = str(self.data.get(self.add_prefix("when_field"), "")) if self.is_bound else ""
        known = {**OWN_LABELS, **(others or {})}
        field.choices = [("", "Always"), *({typed: typed} | known if typed else known).items()]

    def asked(self, answers: Mapping[str, Mapping[str, str]]) -> Asked:
        """Return the row as a question, given the answers of each field with their words; ask `is_valid` first."""
        row = self.cleaned_data
        when = row["when_field"]
        codes = {word.lower(): code for code, word in answers.get(when, {}).items()}
        said = tuple(codes.get(line.lower(), line) for line in _lines(row["when_is"]))
        return Asked(
            code=row["code"],
            section=SectionCode(row["section"] or SectionCode.CASE),
            text=row["text"],
            kind=QuestionKind(row["kind"] or QuestionKind.TEXT),
            help=row["help"],
            choices=_lines(row["choices"]),
            required=row["required"],
            shown_when=Condition(when, said) if when else None,
        )


class ChecklistRow(forms.Form):
    """One line of the checklist."""

    text = forms.CharField(label="What must be true", max_length=200, required=False)
    code = forms.CharField(label="Code", max_length=40, required=False, help_text="Such as retained.")
    explain_no = forms.BooleanField(label="A no must be explained", required=False)


QuestionRows = forms.formset_factory(QuestionRow, extra=0)
ChecklistRows = forms.formset_factory(ChecklistRow, extra=0)
TERM_ROWS: dict[str, type[forms.BaseForm]] = {"questions": QuestionRow, "checklist": ChecklistRow}


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def terms_typed(terms: Terms) -> dict[str, str]:
    """Return what a round asks as the fields of the editor."""
    typed = {
        "questions-TOTAL_FORMS": str(max(len(terms.questions), 1)),
        "checklist-TOTAL_FORMS": str(max(len(terms.checklist), 1)),
    }
    for place, question in enumerate(terms.questions):
        condition = question.shown_when
        row = {
            "text": question.text,
            "code": question.code,
            "section": question.section.value,
            "kind": question.kind.value,
            "help": question.help,
            "choices": "\n".join(question.choices),
            "required": "on" if question.required else "",
            "when_field": condition.field if condition else "",
            "when_is": "\n".join(condition.answers) if condition else "",
        }
        typed |= {f"questions-{place}-{name}": text for name, text in row.items() if text}
    for place, check in enumerate(terms.checklist):
        row = {"text": check.text, "code": check.code, "explain_no": "on" if check.explain_no else ""}
        typed |= {f"checklist-{place}-{name}": text for name, text in row.items() if text}
    return typed


class TermsEditor:
    """The rows of a round's questions and checklist, as typed."""

    def __init__(self, typed: Mapping[str, str]) -> None:
        self.typed = dict(typed)
        codes = {
            code: typed.get(f"questions-{place}-text", code)
            for place in range(row_count(typed, "questions"))
            if (code := typed.get(f"questions-{place}-code", ""))
        }
        self.questions: Any = QuestionRows(
            self._data("questions"), prefix="questions", form_kwargs={"others": codes, "use_required_attribute": False}
        )
        self.checklist: Any = ChecklistRows(
            self._data("checklist"), prefix="checklist", form_kwargs={"use_required_attribute": False}
        )

    def _data(self, prefix: str) -> dict[str, str]:
        counts = {f"{prefix}-TOTAL_FORMS": str(row_count(self.typed, prefix)), f"{prefix}-INITIAL_FORMS": "0"}
        return self.typed | counts

    def is_valid(self) -> bool:
        """Say whether every field could be read."""
        return all([self.questions.is_valid(), self.checklist.is_valid()])

    def terms(self) -> Terms:
        """Return what was typed, without rows that are blank; ask `is_valid` first."""
        answers: dict[str, Mapping[str, str]] = dict(OWN_CHOICES)
        questions: list[Asked] = []
        for row in self._rows("questions"):
            question = row.asked(answers)
            if question.kind == QuestionKind.YES_NO:
                answers[question.code] = YES_NO
            questions.append(question)
        lines = [row.cleaned_data for row in self._rows("checklist")]
        return Terms(tuple(Check(row["code"], row["text"], row["explain_no"]) for row in lines), tuple(questions))

    def _rows(self, prefix: str) -> list[Any]:
        names = ("text", "code", "help", "choices")
        rows = self.questions if prefix == "questions" else self.checklist
        return [row for row in rows if any(getattr(row, "cleaned_data", {}).get(name) for name in names)]

    def refuse(self, error: Refused) -> bool:
        """Show what a service refused beside the field it names; False where there is no such field."""
        prefix, _, rest = error.field.partition("-")
        place, _, name = rest.partition("-")
        if prefix not in TERM_ROWS or not place.isdigit():
            return False
        row = self._rows(prefix)[int(place)]
        row.add_error(name, error.message)
        return True
