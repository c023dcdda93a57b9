"""Forms of finance: what a claim came to."""

from typing import Any

from django import forms

from ledger.selectors import today
from pitches.forms.fields import DollarField
from pitches.models import Pitch, ResolvedClaim
from pitches.questions import ValueKind
from pitches.transitions import PitchState
from teams.models import Team


class ClaimForm(forms.Form):
    """A claim and what it came to, in USD."""

    team: "forms.ModelChoiceField[Team]" = forms.ModelChoiceField(Team.objects.order_by("name"), label="Team")
    pitch: "forms.ModelChoiceField[Pitch]" = forms.ModelChoiceField(
        Pitch.objects.none(), label="Pitch", required=False, help_text="A funded one of this team; none if it is older."
    )
    value_kind = forms.ChoiceField(label="Kind of value", choices=ValueKind.choices)
    claimed = DollarField(label="Claimed, USD")
    realised = DollarField(label="Realised, USD", help_text="0 when nothing came of it.")
    resolved_on = forms.DateField(label="Known since", widget=forms.DateInput({"type": "date"}), initial=today)
    replaces: "forms.ModelChoiceField[ResolvedClaim]" = forms.ModelChoiceField(
        ResolvedClaim.objects.none(), label="Replaces", required=False, help_text="An earlier record that was wrong."
    )
    reason = forms.CharField(
        label="Where it was read", max_length=2000, widget=forms.Textarea({"rows": 2}), help_text="It stays for ever."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        funded = Pitch.objects.filter(state=PitchState.FUNDED).select_related("team").order_by("-pk")
        fields["pitch"].queryset = funded
        counted = ResolvedClaim.objects.filter(replaced_by=None).select_related("team").order_by("-pk")
        fields["replaces"].queryset = counted
