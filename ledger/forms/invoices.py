"""The form of a provider's invoice."""

from datetime import date
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from ledger.forms.amount import AmountField
from ledger.models import Provider

MONTH = "%Y-%m"
INVOICE, CREDIT_NOTE = "invoice", "credit_note"


class MonthField(forms.DateField):
    """A month as browsers send it, "2026-03"; its value is the month's first day."""

    default_error_messages = {"invalid": "Write the month like 2026-03."}  # noqa: RUF012 - Django merges them by name

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.DateInput(format=MONTH, attrs={"type": "month", "placeholder": "2026-03"}))
        super().__init__(input_formats=[MONTH], **kwargs)


class InvoiceForm(forms.Form):
    """What stands on a provider's invoice, or its credit note."""

    provider = forms.ModelChoiceField(Provider.objects.order_by("name"), label="Provider", empty_label="Choose one")
    what = forms.ChoiceField(choices=[(INVOICE, "An invoice"), (CREDIT_NOTE, "A credit note")], label="This is")
    number = forms.CharField(max_length=80, label="Number", help_text="As printed on it.")
    month = MonthField(label="For the usage of", help_text="The month it bills, not the month it was sent in.")
    issued_on = forms.DateField(label="Issued on", widget=forms.DateInput(attrs={"type": "date"}))
    amount = AmountField(label="Amount without tax, USD")
    tax = AmountField(
        label="Tax, USD", required=False, help_text="Kept for the record; no budget pays it. Empty for none."
    )
    note = forms.CharField(max_length=300, required=False, label="Note")

    def clean_issued_on(self) -> date:
        """Refuse a day before the month that is billed."""
        day: date = self.cleaned_data["issued_on"]
        month = self.cleaned_data.get("month")
        if month and day < month:
            raise ValidationError("It was issued before its month began.", code="issued_too_early")
        return day

    def signed(self) -> Decimal:
        """Return the amount, below zero for a credit note; the form must be valid."""
        amount: Decimal = self.cleaned_data["amount"]
        return -amount if self.cleaned_data["what"] == CREDIT_NOTE else amount
