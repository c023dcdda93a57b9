"""Forms of the choice: an override."""

from collections.abc import Sequence
from typing import Any

from django import forms

from ledger.money import show
from pitches.models import Force, OverrideCategory, PitchOption
from pitches.models.choice import SHORTEST_OVERRIDE


class OverrideForm(forms.Form):
    """Which way to depart from the choice, and why."""

    force = forms.ChoiceField(label="Instead of what the choice says", choices=Force.choices, widget=forms.RadioSelect)
    option = forms.ChoiceField(
        label="Offer", required=False, help_text="To fund it: which offer, or the one that costs the round least."
    )
    category = forms.ChoiceField(label="Kind of reason", choices=OverrideCategory.choices)
    reason = forms.CharField(
        label="Reason",
        max_length=4000,
        widget=forms.Textarea({"rows": 4}),
        help_text=f"At least {SHORTEST_OVERRIDE} characters. It is published with its price.",
    )

    def __init__(self, *args: Any, options: Sequence[PitchOption], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.options = {str(option.pk): option for option in options}
        labels = [(pk, f"{option.label}, {show(option.cost)}") for pk, option in self.options.items()]
        field: Any = self.fields["option"]
        field.choices = [("", "the one that costs the round least"), *labels]

    def chosen(self) -> PitchOption | None:
        """Return the offer that was named; ask `is_valid` first."""
        return self.options.get(self.cleaned_data["option"])
