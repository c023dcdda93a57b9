"""Forms of finance's desk: the budget of the year, the close, corrections."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from ledger.forms import AmountField
from ledger.models import Account, FiscalYear
from ledger.money import SYMBOLS
from ledger.services import Leg
from teams.models import BusinessUnit

LEGS = 6
CURRENCIES = [(code, code) for code in SYMBOLS]
DAY = {"type": "date"}


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


class FundForm(ReasonForm):
    """How much is added to a year's budget, and which year's."""

    year = forms.ModelChoiceField(FiscalYear.objects.order_by("starts_on"), label="Fiscal year", empty_label=None)
    amount = AmountField(label="Amount, USD")

    field_order = ("year", "amount", "reason")


class DelegateForm(ReasonForm):
    """How much a business unit gets to grant by itself."""

    unit = forms.ModelChoiceField(BusinessUnit.objects.order_by("name"), label="Business unit")
    amount = AmountField(label="Amount, USD")

    field_order = ("unit", "amount", "reason")


class LapseForm(ReasonForm):
    """Which year's rest lapses."""

    year = forms.ModelChoiceField(FiscalYear.objects.order_by("starts_on"), label="Fiscal year", empty_label=None)

    field_order = ("year", "reason")


class RateForm(forms.Form):
    """What a currency was worth on a day."""

    base = forms.ChoiceField(choices=CURRENCIES, label="One unit of")
    rate = AmountField(label="was worth", help_text="A plain number, such as 0.9235.")
    quote = forms.ChoiceField(choices=CURRENCIES, label="of", initial="EUR")
    valid_on = forms.DateField(label="On", widget=forms.DateInput(attrs=DAY))
    source = forms.CharField(max_length=120, label="Published by")


class ConvertForm(ReasonForm):
    """How much of the reserve becomes another currency's."""

    year = forms.ModelChoiceField(FiscalYear.objects.order_by("starts_on"), label="Fiscal year", empty_label=None)
    amount = AmountField(label="Amount, USD")
    into = forms.ChoiceField(choices=[pair for pair in CURRENCIES if pair[0] != "USD"], label="Into")
    effective_on = forms.DateField(
        label="At the rate of", widget=forms.DateInput(attrs=DAY), help_text="The latest rate at or before this day."
    )

    field_order = ("year", "amount", "into", "effective_on", "reason")


class AdjustmentForm(ReasonForm):
    """An adjustment: up to six postings, each a debit or a credit, that sum to zero."""

    effective_on = forms.DateField(label="Date of the fact", widget=forms.DateInput(attrs=DAY))
    memo = forms.CharField(max_length=300, required=False, label="Memo")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for place in range(1, LEGS + 1):
            self._add_row(place)

    def _add_row(self, place: int) -> None:
        # The columns of the table name the fields for the eye, these words for the ear.
        codes = {"list": "accounts", "autocomplete": "off", "aria-label": f"Account of posting {place}"}
        self.fields[f"account_{place}"] = forms.CharField(
            required=place <= 2, max_length=80, widget=forms.TextInput(attrs=codes)
        )
        for side in ("debit", "credit"):
            amount = {"inputmode": "decimal", "autocomplete": "off", "aria-label": f"{side.title()} of posting {place}"}
            self.fields[f"{side}_{place}"] = AmountField(required=False, widget=forms.TextInput(attrs=amount))

    def postings(self) -> Sequence[Sequence[forms.BoundField]]:
        """Return the bound fields row by row: account, debit, credit."""
        places = range(1, LEGS + 1)
        return [[self[f"{part}_{place}"] for part in ("account", "debit", "credit")] for place in places]

    def clean(self) -> dict[str, Any]:
        """Return the cleaned data with `legs`; raises ValidationError beside the field that is wrong."""
        data = super().clean() or {}
        data["legs"] = [leg for place in range(1, LEGS + 1) if (leg := self._leg(data, place)) is not None]
        return data

    def _leg(self, data: dict[str, Any], place: int) -> Leg | None:
        code = (data.get(f"account_{place}") or "").strip()
        debit, credit = data.get(f"debit_{place}"), data.get(f"credit_{place}")
        if not code:
            if debit or credit:
                self.add_error(f"account_{place}", ValidationError("Name the account of this amount.", code="missing"))
            return None
        account = Account.objects.filter(code=code).first()
        if account is None:
            self.add_error(f"account_{place}", ValidationError(f"There is no account {code}.", code="unknown"))
        elif (debit is None) == (credit is None):
            self.add_error(f"debit_{place}", ValidationError("Give either a debit or a credit.", code="one_side"))
        else:
            return Leg(account, debit or -(credit or Decimal(0)))
        return None
