"""Forms that fill rows of the ask: from a CSV, from a sample of text, from what a key used."""

from typing import Any

from django import forms

from allocations.models import QuotaKey
from ledger.models import Tier
from pitches.forms.fields import CountField
from pitches.forms.rows import CHOOSE, MOST_CALLS
from pitches.forms.sheet import MOST_BYTES, Sheet, sheet_decode, sheet_read

LONGEST_SAMPLE = 200_000
PERIODS = ((7, "The last 7 days"), (30, "The last 30 days"), (90, "The last 90 days"))


class SheetForm(forms.Form):
    """Line items, pasted or uploaded, and what becomes of the rows that are there."""

    file = forms.FileField(label="CSV file", required=False, widget=forms.FileInput({"accept": ".csv,text/csv"}))
    text = forms.CharField(
        label="Or paste the lines",
        required=False,
        widget=forms.Textarea({"rows": 8, "spellcheck": "false"}),
        help_text="With the header line.",
    )
    mode = forms.ChoiceField(
        label="The rows that are there",
        choices=[("replace", "Replace them"), ("append", "Keep them, add these")],
        initial="replace",
        widget=forms.RadioSelect,
    )

    def clean_file(self) -> str:
        """Return the file's text; raises ValidationError for a file that is too large or not UTF-8."""
        file: Any = self.cleaned_data["file"]
        if file is None:
            return ""
        if (file.size or 0) > MOST_BYTES:
            raise forms.ValidationError(f"A file has at most {MOST_BYTES:,} bytes.", code="too_large")
        text = sheet_decode(file.read())
        if text is None:
            raise forms.ValidationError("Save the file as CSV in UTF-8.", code="not_text")
        return text

    def clean(self) -> dict[str, Any]:
        """Ask for a file or lines; a file counts before what is pasted."""
        said = self.cleaned_data
        if not self.errors and not said.get("file") and not said.get("text"):
            self.add_error("text", forms.ValidationError("Choose a file or paste its lines.", code="required"))
        return said

    @property
    def lines(self) -> str:
        """Return what was given as text; ask `is_valid` first."""
        lines: str = self.cleaned_data["file"] or self.cleaned_data["text"]
        return lines

    def sheet(self) -> Sheet:
        """Return what the lines say; ask `is_valid` first."""
        return sheet_read(self.lines)


def _sample(label: str, help_text: str, *, required: bool = True) -> forms.CharField:
    widget = forms.Textarea({"rows": 6})
    return forms.CharField(
        label=label, help_text=help_text, max_length=LONGEST_SAMPLE, required=required, widget=widget, strip=False
    )


class SampleForm(forms.Form):
    """One typical call, as text, and how often it is made."""

    workflow = forms.CharField(label="Workflow", max_length=80, help_text="Such as Sort a claim.")
    tier = forms.ChoiceField(label="Tier", choices=[CHOOSE, *Tier.choices])
    calls_target = CountField(label="Calls a month", least=1, most=MOST_CALLS)
    fixed = _sample(
        "What stands before every prompt", "System prompt and examples that never change. Blank: none.", required=False
    )
    prompt = _sample("A sample prompt", "A typical one, with its documents.")
    answer = _sample("A sample answer", "As long as a typical one; reasoning counts too.")


class KeyForm(forms.Form):
    """Which key's usage, and over how long."""

    key: "forms.ModelChoiceField[QuotaKey]" = forms.ModelChoiceField(QuotaKey.objects.none(), label="Key")
    days = forms.TypedChoiceField(label="Period", choices=PERIODS, coerce=int, initial=30)

    def __init__(self, *args: Any, keys: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["key"]
        field.queryset = keys
        field.label_from_instance = lambda key: f"{key.name}, {key.allocation}"
