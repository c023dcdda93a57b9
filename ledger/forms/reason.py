"""What an action asks before it is done: a reason, or nothing."""

from django import forms


class ReasonForm(forms.Form):
    """Why something is done."""

    reason = forms.CharField(
        max_length=500,
        label="Reason",
        help_text="Kept in the journal and the history, for whoever asks later.",
        error_messages={"required": "Say why: an auditor will ask."},
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class ConfirmForm(forms.Form):
    """Nothing but the button."""
