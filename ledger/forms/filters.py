"""What lists and reports of the journal can be asked for."""

from django import forms

from ledger.models import EntryKind


class OnForm(forms.Form):
    """The day whose end a report shows."""

    on = forms.DateField(required=False, label="At the end of", widget=forms.DateInput(attrs={"type": "date"}))


class JournalFilter(forms.Form):
    """Which entries to list."""

    kind = forms.ChoiceField(required=False, label="Kind", choices=[("", "All kinds"), *EntryKind.choices])
