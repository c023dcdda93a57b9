"""Small forms of a round's life: peek, screen, talk, clone."""

from django import forms

from pitches.forms.fields import CountField
from pitches.models import Aspect, Finding


class PeekForm(forms.Form):
    """Why a sealed pitch is looked at."""

    reason = forms.CharField(
        label="Why you must look now",
        max_length=2000,
        widget=forms.Textarea({"rows": 2}),
        help_text="The team and the chair read it, and it stays in the pitch's history.",
    )


class ScreeningForm(forms.Form):
    """What was found about one aspect of a revision, and why."""

    aspect = forms.ChoiceField(label="Aspect", choices=Aspect.choices, widget=forms.HiddenInput)
    revision = forms.IntegerField(widget=forms.HiddenInput)
    finding = forms.ChoiceField(label="Finding", choices=Finding.choices, widget=forms.RadioSelect)
    reason = forms.CharField(
        label="Why",
        max_length=2000,
        widget=forms.Textarea({"rows": 3}),
        help_text="Reviewers and the team read it.",
    )


class RemarkForm(forms.Form):
    """What a member says to the others."""

    body = forms.CharField(
        label="To the other members",
        max_length=4000,
        widget=forms.Textarea({"rows": 3}),
        help_text="It cannot be changed later.",
    )


class CloneForm(forms.Form):
    """The name of a clone, and how much later it is."""

    name = forms.CharField(label="Name", max_length=80, help_text="Such as Q2 2027.")
    months = CountField(
        label="Months later", least=1, most=36, help_text="Every date moves by so many months; the hour stays."
    )
