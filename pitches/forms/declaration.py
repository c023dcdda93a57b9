"""The form of a declaration: for each pitch of a round, whether there is a conflict, of which type, and why."""

from collections.abc import Mapping
from typing import Any

from django import forms

from pitches.models import DeclarationAnswer, Pitch, RecusalType
from pitches.services import ConflictAnswer

NONE = "none"
DeclaredRow = tuple[Pitch, forms.BoundField, forms.BoundField]


class DeclarationForm(forms.Form):
    """One choice for each pitch: no conflict, or a type and the reason."""

    def __init__(
        self, *args: Any, pitches: list[Pitch], answers: Mapping[int, DeclarationAnswer], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.pitches = pitches
        for pitch in pitches:
            said = answers.get(pitch.pk)
            self.fields[f"type-{pitch.pk}"] = forms.ChoiceField(
                label="Your conflict",
                choices=[("", "Choose"), (NONE, "No conflict"), *RecusalType.choices],
                initial="" if said is None else said.type or NONE,
                error_messages={"required": "Say whether you have a conflict about this pitch."},
            )
            self.fields[f"reason-{pitch.pk}"] = forms.CharField(
                label="Reason, if you have a conflict",
                required=False,
                max_length=2000,
                widget=forms.TextInput({"placeholder": "Reason, if you have a conflict"}),
                initial=said.reason if said else "",
            )

    def clean(self) -> dict[str, Any]:
        """Ask for a reason wherever a conflict is declared."""
        for pitch in self.pitches:
            has_conflict = self.cleaned_data.get(f"type-{pitch.pk}", NONE) != NONE
            if has_conflict and not self.cleaned_data.get(f"reason-{pitch.pk}"):
                self.add_error(f"reason-{pitch.pk}", "Say what the conflict is.")
        return self.cleaned_data

    @property
    def rows(self) -> list[DeclaredRow]:
        """Return each pitch with its two fields."""
        return [(pitch, self[f"type-{pitch.pk}"], self[f"reason-{pitch.pk}"]) for pitch in self.pitches]

    def answers(self) -> dict[int, ConflictAnswer]:
        """Return the answers by pitch id; ask `is_valid` first."""
        return {pitch.pk: self._answer(pitch.pk) for pitch in self.pitches}

    def _answer(self, pk: int) -> ConflictAnswer:
        said: str = self.cleaned_data[f"type-{pk}"]
        if said == NONE:
            return ConflictAnswer()
        return ConflictAnswer(RecusalType(said), self.cleaned_data[f"reason-{pk}"])
