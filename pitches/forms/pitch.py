"""The pitch form in sections, bound to a draft: the same checks for the live progress, the submit button and the API.

A draft is a flat mapping of field names to text, exactly as typed. Rows are named `items-0-workflow` and so on,
with `items-TOTAL_FORMS` as their number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from allocations.models import StopBehaviour
from ledger.models import Tier
from pitches.content import ItemContent, MilestoneContent, PitchContent
from pitches.forms.fields import CountField, DollarField, NumberInput
from pitches.questions import CHECKLIST, Answer, DataClass, Evidence, Latency, ValueKind
from pitches.quotes import Work
from teams.selectors import user_by_email

if TYPE_CHECKING:
    FormSetBase = forms.BaseFormSet[Any]
else:
    FormSetBase = forms.BaseFormSet

MOST_ROWS = 40
MOST_CALLS = 100_000_000
MOST_TOKENS = 10_000_000
LONGEST_TEXT = 4000


def _text(label: str, help_text: str, *, rows: int = 4, required: bool = True) -> forms.CharField:
    widget = forms.Textarea({"rows": rows})
    return forms.CharField(label=label, help_text=help_text, max_length=LONGEST_TEXT, widget=widget, required=required)


def _choice(label: str, choices: Any, help_text: str = "") -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=[("", "Choose…"), *choices.choices], help_text=help_text)


class PitchForm(forms.Form):
    """Everything a pitch asks but its rows."""

    title = forms.CharField(label="Title", max_length=120, help_text="What you would call it in the corridor.")
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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for question in CHECKLIST:
            self.fields[f"compliance-{question.code}"] = _choice(question.text, Answer)

    def clean_sign_off(self) -> Any:
        """Find the person; raises ValidationError when nobody has the address."""
        person = user_by_email(self.cleaned_data["sign_off"])
        if person is None:
            raise forms.ValidationError("Nobody in Tank has this address.", code="unknown")
        return person

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
        if Answer.NO in self.answers.values() and not typed.get("compliance_note"):
            self.add_error("compliance_note", forms.ValidationError("Explain the answer no.", code="required"))
        return typed

    @property
    def answers(self) -> dict[str, str]:
        """Return the answers of the checklist by question code, those that are valid."""
        answers = {question.code: self.cleaned_data.get(f"compliance-{question.code}") for question in CHECKLIST}
        return {code: answer for code, answer in answers.items() if answer}


class ItemForm(forms.Form):
    """One workflow of the ask."""

    workflow = forms.CharField(label="Workflow", max_length=80)
    tier = forms.ChoiceField(label="Tier", choices=[("", "Choose…"), *Tier.choices])
    calls_target = CountField(label="Calls a month", least=1, most=MOST_CALLS, help_text="Target.")
    calls_min = CountField(label="At least", most=MOST_CALLS, required=False, help_text="Blank: the target.")
    calls_stretch = CountField(label="At best", most=MOST_CALLS, required=False, help_text="Blank: the target.")
    input_tokens = CountField(label="Tokens in", most=MOST_TOKENS, help_text="Per call.")
    cached_tokens = CountField(label="Cached", most=MOST_TOKENS, required=False, help_text="Blank: none.")
    output_tokens = CountField(label="Tokens out", most=MOST_TOKENS, help_text="Per call.")
    batch_percent = CountField(
        label="Can wait, %", most=100, required=False, help_text="Priced on batch.", widget=NumberInput(maxlength="3")
    )

    def clean(self) -> dict[str, Any]:
        """Compare fields with each other: cached within input, minimum and stretch around the target."""
        typed = self.cleaned_data
        target = typed.get("calls_target")
        if target is not None and (typed.get("calls_min") or 0) > target:
            self.add_error("calls_min", forms.ValidationError("More than the target.", code="order"))
        if target is not None and typed.get("calls_stretch") is not None and typed["calls_stretch"] < target:
            self.add_error("calls_stretch", forms.ValidationError("Less than the target.", code="order"))
        if typed.get("input_tokens") is not None and (typed.get("cached_tokens") or 0) > typed["input_tokens"]:
            self.add_error("cached_tokens", forms.ValidationError("More than goes in.", code="order"))
        return typed

    @property
    def content(self) -> ItemContent:
        """Return the row, typed; ask `is_valid` first."""
        row = self.cleaned_data
        target = row["calls_target"]
        return ItemContent(
            workflow=row["workflow"],
            tier=Tier(row["tier"]),
            calls_min=target if row["calls_min"] is None else row["calls_min"],
            calls_target=target,
            calls_stretch=target if row["calls_stretch"] is None else row["calls_stretch"],
            input_tokens=row["input_tokens"],
            cached_tokens=row["cached_tokens"] or 0,
            output_tokens=row["output_tokens"],
            batch_percent=row["batch_percent"] or 0,
        )


class MilestoneForm(forms.Form):
    """What will be shown by when."""

    title = forms.CharField(label="What will be shown", max_length=160)
    due_on = forms.DateField(label="By", widget=forms.DateInput({"type": "date"}))

    @property
    def content(self) -> MilestoneContent:
        """Return the row, typed; ask `is_valid` first."""
        due_on: date = self.cleaned_data["due_on"]
        return MilestoneContent(self.cleaned_data["title"], due_on)


class Rows(FormSetBase):
    """Rows of which at least one is needed."""

    default_error_messages: ClassVar = {"too_few_forms": "At least one is needed."}


Items = forms.formset_factory(
    ItemForm, Rows, extra=0, min_num=1, max_num=MOST_ROWS, validate_min=True, validate_max=True
)
Milestones = forms.formset_factory(
    MilestoneForm, Rows, extra=0, min_num=1, max_num=MOST_ROWS, validate_min=True, validate_max=True
)
ROWS: dict[str, type[forms.BaseForm]] = {"items": ItemForm, "milestones": MilestoneForm}


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the form: its fields, and the rows that belong to it."""

    code: str
    title: str
    fields: tuple[str, ...]
    rows: str = ""


SECTIONS = (
    Section("case", "Use case", ("title", "summary", "problem")),
    Section(
        "value",
        "Value",
        (
            "value_kind",
            "value_metric",
            "value_p10",
            "value_p50",
            "value_p90",
            "value_method",
            "evidence",
            "sign_off",
        ),
    ),
    Section("work", "Work", ("latency", "stop_behaviour"), rows="items"),
    Section("proof", "Proof", ("quality_bar",), rows="milestones"),
    Section(
        "data",
        "Data",
        ("data_class", *(f"compliance-{question.code}" for question in CHECKLIST), "compliance_note"),
    ),
)


@dataclass(frozen=True, slots=True)
class SectionProgress:
    """How many answers of a section are still missing or wrong."""

    section: Section
    open: int


class PitchDraft:
    """A draft and its checks."""

    def __init__(self, typed: Mapping[str, str]) -> None:
        self.typed = dict(typed)
        self.form = PitchForm(self.typed)
        self.items: Any = Items(self._rows("items"), prefix="items")
        self.milestones: Any = Milestones(self._rows("milestones"), prefix="milestones")
        begun = [row for row in self.items if row.has_changed()]
        self.works: list[Work] = [row.content.work for row in begun if row.is_valid()]
        """The rows that can be priced already."""
        self.unpriced = len(begun) - len(self.works)
        """How many rows were begun and cannot be priced yet."""

    def _rows(self, prefix: str) -> dict[str, str]:
        counts = {f"{prefix}-TOTAL_FORMS": str(row_count(self.typed, prefix)), f"{prefix}-INITIAL_FORMS": "0"}
        return self.typed | counts

    @property
    def checklist(self) -> list[forms.BoundField]:
        """Return the fields of the compliance checklist."""
        return [self.form[f"compliance-{question.code}"] for question in CHECKLIST]

    def rows(self, prefix: str) -> Any:
        """Return the formset of a section."""
        return {"items": self.items, "milestones": self.milestones}[prefix]

    def is_valid(self) -> bool:
        """Say whether it can be submitted; every part is checked, so that every error shows."""
        return all([self.form.is_valid(), self.items.is_valid(), self.milestones.is_valid()])

    def content(self) -> PitchContent:
        """Return what the draft says, typed; ask `is_valid` first."""
        said = self.form.cleaned_data
        plain = ("title", "summary", "problem", "value_p10", "value_p50", "value_p90", "value_metric", "value_method")
        return PitchContent(
            **{name: said[name] for name in plain},
            value_kind=ValueKind(said["value_kind"]),
            evidence=Evidence(said["evidence"]),
            sign_off=said["sign_off"],
            quality_bar=said["quality_bar"],
            data_class=DataClass(said["data_class"]),
            compliance=self.form.answers,
            compliance_note=said["compliance_note"],
            latency=Latency(said["latency"]),
            stop_behaviour=StopBehaviour(said["stop_behaviour"]),
            items=tuple(row.content for row in self.items if row.has_changed()),
            milestones=tuple(row.content for row in self.milestones if row.has_changed()),
        )

    def value_p50(self) -> Decimal | None:
        """Return the expected value in USD, when it is valid."""
        self.form.is_valid()
        value: Decimal | None = self.form.cleaned_data.get("value_p50")
        return value

    def progress(self) -> list[SectionProgress]:
        """Return for each section how much is still missing or wrong."""
        self.is_valid()
        return [SectionProgress(section, self._open(section)) for section in SECTIONS]

    def _open(self, section: Section) -> int:
        wrong = sum(1 for name in section.fields if name in self.form.errors)
        if not section.rows:
            return wrong
        formset = self.rows(section.rows)
        return wrong + sum(len(row.errors) for row in formset) + (1 if formset.non_form_errors() else 0)

    def show_only_what_is_wrong(self) -> None:
        """Forget the errors of fields that are merely still empty: nobody is told off for not having typed yet."""
        self.is_valid()
        for form in (self.form, *self.items, *self.milestones):
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


def row_count(typed: Mapping[str, str], prefix: str) -> int:
    """Return how many rows a draft shows: at least one, at most forty."""
    text = typed.get(f"{prefix}-TOTAL_FORMS", "1")
    return min(max(int(text), 1), MOST_ROWS) if text.isascii() and text.isdigit() and len(text) < 6 else 1


def typed_from(posted: Mapping[str, str]) -> dict[str, str]:
    """Return what a request typed, the fields of the form and nothing else, as plain text."""
    names = [*PitchForm().fields]
    for prefix, row in ROWS.items():
        names += [f"{prefix}-{place}-{name}" for place in range(row_count(posted, prefix)) for name in row().fields]
    typed = {name: str(posted[name]) for name in names if posted.get(name)}
    return typed | {f"{prefix}-TOTAL_FORMS": str(row_count(posted, prefix)) for prefix in ROWS}


def rows_add(typed: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the draft with one empty row more."""
    return {**typed, f"{prefix}-TOTAL_FORMS": str(min(row_count(typed, prefix) + 1, MOST_ROWS))}


def rows_remove(typed: Mapping[str, str], prefix: str, place: int) -> dict[str, str]:
    """Return the draft without one row; the rows after it move up."""
    count = row_count(typed, prefix)
    kept = [number for number in range(count) if number != place]
    rest = {name: text for name, text in typed.items() if not name.startswith(f"{prefix}-")}
    for new, old in enumerate(kept):
        for name in ROWS[prefix]().fields:
            if text := typed.get(f"{prefix}-{old}-{name}"):
                rest[f"{prefix}-{new}-{name}"] = text
    return rest | {f"{prefix}-TOTAL_FORMS": str(max(len(kept), 1))}
