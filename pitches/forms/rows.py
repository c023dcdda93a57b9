"""The rows of the pitch form: workflows, milestones, co-applicants, quality by tier, ties to other pitches.

Rows are named `items-0-workflow` and so on, with `items-TOTAL_FORMS` as their number.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms

from ledger.models import Tier
from pitches.content import ApplicantContent, ItemContent, LinkContent, MilestoneContent, QualityContent
from pitches.forms.fields import CountField, NumberInput, PercentField
from pitches.models import Pitch
from pitches.questions import Evidence, LinkKind
from pitches.selectors.applicants import pitch_number
from teams.models import User
from teams.typed import whole_in

if TYPE_CHECKING:
    FormSetBase = forms.BaseFormSet[Any]
else:
    FormSetBase = forms.BaseFormSet

MOST_ROWS = 40
MOST_CALLS = 100_000_000
MOST_TOKENS = 10_000_000
UNKNOWN_PERSON = "Nobody in Tank has this address."
CHOOSE = ("", "Choose…")


class ItemForm(forms.Form):
    """One workflow of the ask."""

    workflow = forms.CharField(label="Workflow", max_length=80)
    tier = forms.ChoiceField(label="Tier", choices=[CHOOSE, *Tier.choices])
    calls_target = CountField(label="Calls a month", least=1, most=MOST_CALLS, help_text="Target.")
    calls_min = CountField(label="At least", most=MOST_CALLS, required=False, help_text="Blank: the target.")
    calls_stretch = CountField(label="At best", most=MOST_CALLS, required=False, help_text="Blank: the target.")
    input_tokens = CountField(label="Tokens in", most=MOST_TOKENS, help_text="Per call.")
    cached_tokens = CountField(label="Cached", most=MOST_TOKENS, required=False, help_text="Blank: none.")
    output_tokens = CountField(label="Tokens out", most=MOST_TOKENS, help_text="Per call.")
    batch_percent = CountField(
        label="Can wait, %", most=100, required=False, help_text="Priced on batch.", widget=NumberInput(maxlength="3")
    )
    evidence = forms.ChoiceField(
        label="Rests on",
        choices=[("", "Not said"), *((label.value, label.word) for label in Evidence)],
        required=False,
        help_text="Not said: a guess.",
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
            evidence=Evidence(row["evidence"] or Evidence.GUESS),
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


class ApplicantForm(forms.Form):
    """Somebody who applies together with the team."""

    email = forms.EmailField(label="E-mail address", max_length=254, help_text="They can edit the draft, and are told.")
    role = forms.CharField(label="What they contribute", max_length=80, help_text="Such as owner of the claims data.")

    def __init__(self, *args: Any, people: Mapping[str, User] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.people = people or {}

    def clean_email(self) -> User:
        """Find the person; raises ValidationError when nobody has the address."""
        return person_of(self.people, self.cleaned_data["email"])

    @property
    def content(self) -> ApplicantContent:
        """Return the row, typed; ask `is_valid` first."""
        return ApplicantContent(self.cleaned_data["email"], self.cleaned_data["role"])


class QualityForm(forms.Form):
    """How good a tier is on the team's own eval."""

    tier = forms.ChoiceField(label="Tier", choices=[CHOOSE, *Tier.choices])
    percent = PercentField(label="Quality, %", help_text="Of what the tier you ask for delivers.")
    evidence = forms.CharField(label="How you measured it", max_length=200, help_text="Such as 200 claims of March.")

    @property
    def content(self) -> QualityContent:
        """Return the row, typed; ask `is_valid` first."""
        row = self.cleaned_data
        return QualityContent(Tier(row["tier"]), row["percent"] / Decimal(100), row["evidence"])


class LinkForm(forms.Form):
    """A tie to another pitch of the same round."""

    kind = forms.ChoiceField(label="This pitch", choices=[CHOOSE, *LinkKind.choices])
    number = forms.CharField(label="Pitch", max_length=12, help_text="Its number, such as P-0007.")

    def __init__(self, *args: Any, pitches: Mapping[int, Pitch] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pitches = pitches or {}

    def clean_number(self) -> Pitch:
        """Find the pitch; raises ValidationError for one that this pitch cannot be tied to."""
        found = self.pitches.get(pitch_number(self.cleaned_data["number"]) or 0)
        if found is None:
            raise forms.ValidationError("There is no such pitch in this round.", code="unknown")
        return found

    @property
    def content(self) -> LinkContent:
        """Return the row, typed; ask `is_valid` first."""
        return LinkContent(LinkKind(self.cleaned_data["kind"]), self.cleaned_data["number"])


def person_of(people: Mapping[str, User], email: str) -> User:
    """Return the person with an address; raises ValidationError (unknown) when nobody has it."""
    person = people.get(email.strip().lower())
    if person is None:
        raise forms.ValidationError(UNKNOWN_PERSON, code="unknown")
    return person


class Rows(FormSetBase):
    """Rows; where at least one is needed, this says so."""

    default_error_messages: ClassVar = {"too_few_forms": "At least one is needed."}


Items = forms.formset_factory(
    ItemForm, Rows, extra=0, min_num=1, max_num=MOST_ROWS, validate_min=True, validate_max=True
)
Milestones = forms.formset_factory(
    MilestoneForm, Rows, extra=0, min_num=1, max_num=MOST_ROWS, validate_min=True, validate_max=True
)
# Of these there may be none: an empty row is no row.
Applicants = forms.formset_factory(ApplicantForm, Rows, extra=0, max_num=MOST_ROWS, validate_max=True)
Qualities = forms.formset_factory(QualityForm, Rows, extra=0, max_num=MOST_ROWS, validate_max=True)
Links = forms.formset_factory(LinkForm, Rows, extra=0, max_num=MOST_ROWS, validate_max=True)
ROWS: dict[str, type[forms.BaseForm]] = {
    "items": ItemForm,
    "milestones": MilestoneForm,
    "applicants": ApplicantForm,
    "quality": QualityForm,
    "links": LinkForm,
}


def row_count(typed: Mapping[str, str], prefix: str) -> int:
    """Return how many rows a draft shows: at least one, at most forty."""
    return min(max(whole_in(typed.get(f"{prefix}-TOTAL_FORMS", ""), 1, digits=5), 1), MOST_ROWS)


def rows_values(typed: Mapping[str, str], prefix: str, name: str) -> list[str]:
    """Return what was typed into one field of every row, blank where nothing was."""
    return [typed.get(f"{prefix}-{place}-{name}", "") for place in range(row_count(typed, prefix))]


def rows_typed(typed: Mapping[str, str], prefix: str) -> list[dict[str, str]]:
    """Return the rows of a draft in which anything was typed."""
    names = [*ROWS[prefix]().fields]
    rows = (
        {name: text for name in names if (text := typed.get(f"{prefix}-{place}-{name}"))}
        for place in range(row_count(typed, prefix))
    )
    return [row for row in rows if row]


def rows_put(typed: Mapping[str, str], prefix: str, rows: list[dict[str, str]]) -> dict[str, str]:
    """Return the draft with these rows and no others of their kind."""
    rest = {name: text for name, text in typed.items() if not name.startswith(f"{prefix}-")}
    new = {f"{prefix}-{place}-{name}": text for place, row in enumerate(rows) for name, text in row.items()}
    return rest | new | {f"{prefix}-TOTAL_FORMS": str(max(len(rows), 1))}


def rows_add(typed: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the draft with one empty row more."""
    return {**typed, f"{prefix}-TOTAL_FORMS": str(min(row_count(typed, prefix) + 1, MOST_ROWS))}


def rows_remove(
    typed: Mapping[str, str], prefix: str, place: int, names: Iterable[str] | None = None
) -> dict[str, str]:
    """Return the draft without one row; the rows after it move up. `names` are a row's fields, else the form's own."""
    fields = [*(ROWS[prefix]().fields if names is None else names)]
    count = row_count(typed, prefix)
    kept = [number for number in range(count) if number != place]
    rest = {name: text for name, text in typed.items() if not name.startswith(f"{prefix}-")}
    for new, old in enumerate(kept):
        for name in fields:
            if text := typed.get(f"{prefix}-{old}-{name}"):
                rest[f"{prefix}-{new}-{name}"] = text
    return rest | {f"{prefix}-TOTAL_FORMS": str(max(len(kept), 1))}
