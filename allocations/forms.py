"""Forms about keys."""

from datetime import UTC, datetime, time, timedelta

from django import forms

from ledger.forms import AmountField

HOUR = 3600
GRACES = [
    ("0", "None: the old secret stops now"),
    (str(HOUR), "1 hour"),
    (str(24 * HOUR), "24 hours"),
    (str(7 * 24 * HOUR), "7 days"),
    (str(30 * 24 * HOUR), "30 days"),
]


class KeyForm(forms.Form):
    """A new key: what it is called, how much it may spend, until when."""

    name = forms.CharField(
        max_length=80,
        label="Name",
        help_text="What uses it, such as triage-prod. Bills and logs show this name.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    cap = AmountField(
        required=False,
        label="Cap, USD",
        help_text="The most this key may ever spend. Without one, only what is left of the allocation stops it.",
    )
    expires_on = forms.DateField(
        required=False,
        label="Works until",
        help_text="The last day, in UTC. Without one it works until somebody revokes it or the allocation ends.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    def clean_expires_on(self) -> datetime | None:
        """Return the end of the last day, in UTC; raises ValidationError for a day that has passed."""
        day = self.cleaned_data["expires_on"]
        if day is None:
            return None
        ends = datetime.combine(day + timedelta(days=1), time(), tzinfo=UTC)
        if ends <= datetime.now(UTC):
            raise forms.ValidationError("That day has passed.", code="past")
        return ends


class RotateForm(forms.Form):
    """How long the old secret goes on working. `newest` is the secret that the person saw as the newest."""

    newest = forms.IntegerField(widget=forms.HiddenInput)
    grace = forms.ChoiceField(
        choices=GRACES, initial=str(24 * HOUR), label="The old secret works for", widget=forms.Select
    )

    def clean_grace(self) -> timedelta:
        """Return the grace as a span of time."""
        return timedelta(seconds=int(self.cleaned_data["grace"]))


class CapForm(forms.Form):
    """A key's own limit from now on, and why."""

    cap = AmountField(required=False, label="Cap, USD", help_text="Empty: no cap of its own.")
    reason = forms.CharField(max_length=300, required=False, label="Reason", help_text="Kept in the key's history.")


class SwitchForm(forms.Form):
    """Why an allocation is suspended or resumed."""

    reason = forms.CharField(
        max_length=300,
        label="Reason",
        help_text="The team reads it here and in the inbox of the owner.",
        error_messages={"required": "Say why: the team will ask."},
    )


class StopForm(forms.Form):
    """Why a key is stopped or let go on."""

    reason = forms.CharField(
        max_length=300,
        label="Reason",
        help_text="Whoever used the key will read it here.",
        error_messages={"required": "Say why: whoever used the key will ask."},
    )
