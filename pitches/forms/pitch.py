"""The pitch form in sections, bound to a draft: the same checks for the live progress, the submit button and the API.

A draft is a flat mapping of field names to text, exactly as typed. Rows are named `items-0-workflow` and so on,
with `items-TOTAL_FORMS` as their number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from django import forms

from allocations.models import StopBehaviour
from pitches.asking import DEFAULT_TERMS, Terms
from pitches.content import PitchContent
from pitches.forms.fields import DollarField
from pitches.forms.questions import PREFIX, AnswerField, QuestionField, check_field, shown_in
from pitches.forms.rows import (
    MOST_ROWS,
    ROWS,
    Applicants,
    Items,
    Links,
    Milestones,
    Qualities,
    person_of,
    row_count,
    rows_add,
    rows_put,
    rows_remove,
    rows_typed,
    rows_values,
)
from pitches.models import Pitch
from pitches.questions import Answer, DataClass, Evidence, Latency, SectionCode, ValueKind
from pitches.quotes import Work
from pitches.selectors.applicants import people_by_email, pitch_number, pitches_linkable
from pitches.selectors.asking import terms_of
from teams.errors import Refused
from teams.models import User

__all__ = [
    "MOST_ROWS",
    "ROWS",
    "PitchDraft",
    "PitchForm",
    "row_count",
    "rows_add",
    "rows_put",
    "rows_remove",
    "rows_typed",
    "typed_from",
]

LONGEST_TEXT = 4000


def _text(label: str, help_text: str, *, rows: int = 4, required: bool = True) -> forms.CharField:
    widget = forms.Textarea({"rows": rows})
    return forms.CharField(label=label, help_text=help_text, max_length=LONGEST_TEXT, widget=widget, required=required)


def _choice(label: str, choices: Any, help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=[("", "Choose…"), *choices.choices], help_text=help_text)


class PitchForm(forms.Form):
    """Everything a pitch asks but its rows."""

    title = forms.CharField(label="Title", max_length=120, help_text="What you would call it in the corridor.")
    accountable = forms.EmailField(
        label="Who is accountable",
        max_length=254,
        required=False,
        help_text="E-mail address of the person who answers for the result. Blank: the owner.",
    )
    summary = _text("What the agents will do", "Two or three sentences; who uses the result, and how.")
    problem = _text("The problem", "What happens today, how often, and what it costs.")
    value_kind = _choice("Kind of value", ValueKind)
    value_metric = forms.CharField(
        label="Metric", max_length=200, help_text="What will be counted, such as minutes per claim."
    )
    value_p10 = DollarField(label="Cautious", help_text="USD over the period. One time in ten it is less.")
    value_p50 = DollarField(label="Expected", help_text="USD over the period. As often more as less.")
    value_p90 = DollarField(label="Hopeful", help_text="USD over the period. One time in ten it is more.")
    value_method = _text("How you get from metric to dollars", "The arithmetic, so that a stranger can repeat it.")
    evidence = _choice("What the figures rest on", Evidence)
    sign_off = forms.EmailField(
        label="Who signs off the value",
        max_length=254,
        help_text="E-mail address of the person who will confirm what was really gained. Not you.",
    )
    latency = _choice("How fast an answer is needed", Latency)
    stop_behaviour = _choice("When a tier's budget is spent", StopBehaviour)
    quality_bar = _text("Quality bar", "What counts as good enough, and how you measure it on your own cases.")
    data_class = _choice("Most sensitive data in a prompt", DataClass)
    compliance_note = _text("Explanation", "Needed where you answered no.", rows=3, required=False)

    def __init__(
        self,
        typed: Mapping[str, str] | None = None,
        *,
        terms: Terms = DEFAULT_TERMS,
        people: Mapping[str, User] | None = None,
    ) -> None:
        super().__init__(typed)
        self.terms, self.people = terms, people or {}
        self.shown = shown_in(terms, typed or {})
        for check in terms.checklist:
            self.fields[f"compliance-{check.code}"] = check_field(check)
        for question in terms.questions:
            self.fields[PREFIX + question.code] = AnswerField(question, is_shown=question.code in self.shown)

    def clean_sign_off(self) -> User:
        """Find the person; raises ValidationError when nobody has the address."""
        return person_of(self.people, self.cleaned_data["sign_off"])

    def clean_accountable(self) -> User | None:
        """Find the person, None for the owner; raises ValidationError when nobody has the address."""
        email: str = self.cleaned_data["accountable"]
        return person_of(self.people, email) if email else None

    def clean(self) -> dict[str, Any]:
        """Compare fields with each other: the three values in order, an explanation for every no."""
        typed = self.cleaned_data
        low, middle, high = (typed.get(name) for name in ("value_p10", "value_p50", "value_p90"))
        if low is not None and middle is not None and low > middle:
            self.add_error("value_p10", forms.ValidationError("More than the expected value.", code="order"))
        if middle is not None and high is not None and middle > high:
            self.add_error("value_p90", forms.ValidationError("Less than the expected value.", code="order"))
        if middle == 0:
            self.add_error("value_p50", forms.ValidationError("A pitch is worth something.", code="zero"))
        unexplained = (check for check in self.terms.checklist if check.explain_no)
        refused = [check for check in unexplained if self.compliance.get(check.code) == Answer.NO]
        if refused and not typed.get("compliance_note"):
            self.add_error("compliance_note", forms.ValidationError("Explain the answer no.", code="required"))
        return typed

    @property
    def compliance(self) -> dict[str, str]:
        """Return the answers of the checklist by code, those that are valid."""
        said = {check.code: self.cleaned_data.get(f"compliance-{check.code}") for check in self.terms.checklist}
        return {code: answer for code, answer in said.items() if answer}

    @property
    def answers(self) -> dict[str, str]:
        """Return the answers to the round's questions by code, those that are asked, given and valid."""
        said = {question.code: self.cleaned_data.get(PREFIX + question.code) for question in self.terms.questions}
        return {code: answer for code, answer in said.items() if answer}


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the form: its own fields, and the rows that belong to it."""

    code: SectionCode
    fields: tuple[str, ...]
    rows: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Return its heading."""
        return str(self.code.label)

    def names(self, terms: Terms) -> list[str]:
        """Return its fields with those that the round adds to it."""
        checks = [f"compliance-{check.code}" for check in terms.checklist] if self.code == SectionCode.DATA else []
        questions = [PREFIX + question.code for question in terms.questions if question.section == self.code]
        return [*self.fields, *checks, *questions]


VALUE_FIELDS = (
    "value_kind",
    "value_metric",
    "value_p10",
    "value_p50",
    "value_p90",
    "value_method",
    "evidence",
    "sign_off",
)
SECTIONS = (
    Section(SectionCode.CASE, ("title", "summary", "problem")),
    Section(SectionCode.PEOPLE, ("accountable",), rows=("applicants", "links")),
    Section(SectionCode.VALUE, VALUE_FIELDS),
    Section(SectionCode.WORK, ("latency", "stop_behaviour"), rows=("items",)),
    Section(SectionCode.PROOF, ("quality_bar",), rows=("milestones", "quality")),
    Section(SectionCode.DATA, ("data_class", "compliance_note")),
)


@dataclass(frozen=True, slots=True)
class SectionProgress:
    """How many answers of a section are still missing or wrong."""

    section: Section
    open: int


class PitchDraft:
    """A draft and its checks; with its pitch it is asked what the round asks, else the form's own fields only."""

    def __init__(self, typed: Mapping[str, str], pitch: Pitch | None = None) -> None:
        self.typed = dict(typed)
        self.terms = terms_of(pitch.round) if pitch else DEFAULT_TERMS
        people = people_by_email(self._emails())
        self.form = PitchForm(self.typed, terms=self.terms, people=people)
        numbers = (pitch_number(text) for text in rows_values(self.typed, "links", "number") if text)
        pitches = pitches_linkable(pitch, [number for number in numbers if number]) if pitch else {}
        self.items: Any = Items(self._rows("items"), prefix="items")
        self.milestones: Any = Milestones(self._rows("milestones"), prefix="milestones")
        self.applicants: Any = Applicants(self._rows("applicants"), prefix="applicants", form_kwargs={"people": people})
        self.quality: Any = Qualities(self._rows("quality"), prefix="quality")
        self.links: Any = Links(self._rows("links"), prefix="links", form_kwargs={"pitches": pitches})
        begun = [row for row in self.items if row.has_changed()]
        self.works: list[Work] = [row.content.work for row in begun if row.is_valid()]
        """The rows that can be priced already."""
        self.unpriced = len(begun) - len(self.works)
        """How many rows were begun and cannot be priced yet."""

    def _emails(self) -> list[str]:
        own = [self.typed.get(name, "") for name in ("sign_off", "accountable")]
        return [*own, *rows_values(self.typed, "applicants", "email")]

    def _rows(self, prefix: str) -> dict[str, str]:
        counts = {f"{prefix}-TOTAL_FORMS": str(row_count(self.typed, prefix)), f"{prefix}-INITIAL_FORMS": "0"}
        return self.typed | counts

    @property
    def checklist(self) -> list[forms.BoundField]:
        """Return the fields of the compliance checklist."""
        return [self.form[f"compliance-{check.code}"] for check in self.terms.checklist]

    @cached_property
    def questions(self) -> dict[str, list[QuestionField]]:
        """Return the round's questions by section, with those that are not asked now."""
        found: dict[str, list[QuestionField]] = {code: [] for code in SectionCode.values}
        for question in self.terms.questions:
            field = QuestionField(self.form[PREFIX + question.code], question, question.code in self.form.shown)
            found[question.section].append(field)
        return found

    @property
    def formsets(self) -> dict[str, Any]:
        """Return the rows by their kind."""
        return {prefix: getattr(self, prefix) for prefix in ROWS}

    def rows(self, prefix: str) -> Any:
        """Return the rows of one kind."""
        return self.formsets[prefix]

    def begun(self, prefix: str) -> bool:
        """Say whether anything was typed into the rows of one kind."""
        return any(row.has_changed() for row in self.rows(prefix))

    def is_valid(self) -> bool:
        """Say whether it can be submitted; every part is checked, so that every error shows."""
        return all([self.form.is_valid(), *(formset.is_valid() for formset in self.formsets.values())])

    def content(self) -> PitchContent:
        """Return what the draft says, typed; ask `is_valid` first."""
        said = self.form.cleaned_data
        rows: dict[str, Any] = {
            prefix: tuple(row.content for row in self.rows(prefix) if row.has_changed()) for prefix in ROWS
        }
        plain = ("title", "summary", "problem", "value_p10", "value_p50", "value_p90", "value_metric", "value_method")
        return PitchContent(
            **{name: said[name] for name in plain},
            value_kind=ValueKind(said["value_kind"]),
            evidence=Evidence(said["evidence"]),
            sign_off=said["sign_off"],
            quality_bar=said["quality_bar"],
            data_class=DataClass(said["data_class"]),
            compliance=self.form.compliance,
            compliance_note=said["compliance_note"],
            latency=Latency(said["latency"]),
            stop_behaviour=StopBehaviour(said["stop_behaviour"]),
            accountable=said["accountable"],
            answers=self.form.answers,
            **rows,
        )

    def value(self, name: str) -> Decimal | None:
        """Return one of the three values in USD, when it is valid."""
        self.form.is_valid()
        value: Decimal | None = self.form.cleaned_data.get(name)
        return value

    def progress(self) -> list[SectionProgress]:
        """Return for each section how much is still missing or wrong."""
        self.is_valid()
        return [SectionProgress(section, self._open(section)) for section in SECTIONS]

    def _open(self, section: Section) -> int:
        wrong = sum(1 for name in section.names(self.terms) if name in self.form.errors)
        return wrong + sum(self._wrong_rows(self.rows(prefix)) for prefix in section.rows)

    @staticmethod
    def _wrong_rows(formset: Any) -> int:
        return sum(len(row.errors) for row in formset) + (1 if formset.non_form_errors() else 0)

    def refuse(self, error: Refused) -> bool:
        """Show what a service refused beside the field it names; False where the form has no such field."""
        self.is_valid()
        rows, _, rest = error.field.partition("-")
        place, _, name = rest.partition("-")
        form: forms.BaseForm = self.form
        if rows in ROWS and place.isdigit() and int(place) < len(self.rows(rows).forms):
            form = [row for row in self.rows(rows) if row.has_changed()][int(place)]
        else:
            name = error.field
        if name not in form.fields:
            return False
        form.add_error(name, error.message)
        return True

    def show_only_what_is_wrong(self) -> None:
        """Forget the errors of fields that are merely still empty: nobody is told off for not having typed yet."""
        self.is_valid()
        for form in (self.form, *(row for formset in self.formsets.values() for row in formset)):
            for name in [name for name, errors in form.errors.items() if _is_missing(errors)]:
                del form.errors[name]

    def messages(self) -> dict[str, list[str]]:
        """Return everything that is wrong by field name, for programs."""
        self.is_valid()
        found = {name: _words(errors) for name, errors in self.form.errors.items()}
        for prefix in ROWS:
            formset = self.rows(prefix)
            found |= {row.add_prefix(name): _words(errors) for row in formset for name, errors in row.errors.items()}
            if formset.non_form_errors():
                found[prefix] = _words(formset.non_form_errors())
        return found


def _words(errors: Any) -> list[str]:
    return [str(error) for error in errors]


def _is_missing(errors: Any) -> bool:
    return all(error.code == "required" for error in errors.as_data())


def typed_from(posted: Mapping[str, str], terms: Terms = DEFAULT_TERMS) -> dict[str, str]:
    """Return what a request typed, the fields of the form and nothing else, as plain text."""
    names = [*PitchForm(terms=terms).fields]
    for prefix, row in ROWS.items():
        names += [f"{prefix}-{place}-{name}" for place in range(row_count(posted, prefix)) for name in row().fields]
    typed = {name: str(posted[name]) for name in names if posted.get(name)}
    return typed | {f"{prefix}-TOTAL_FORMS": str(row_count(posted, prefix)) for prefix in ROWS}
