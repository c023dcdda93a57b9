"""Forms of the year's budget. Amounts are in USD, the currency that the company budgets in."""

from django import forms
from djmoney.money import Money

from ledger.forms.amount import AmountField
from ledger.forms.reason import ReasonForm
from ledger.models import FiscalYear
from ledger.money import SYMBOLS, usd
from teams.models import BusinessUnit

CURRENCIES = [(code, code) for code in SYMBOLS]
DAY = {"type": "date"}


class _YearForm(ReasonForm):
    """Which fiscal year, and why."""

    year = forms.ModelChoiceField(FiscalYear.objects.order_by("starts_on"), label="Fiscal year", empty_label=None)


class _MoneyForm(ReasonForm):
    """How much, and why."""

    amount = AmountField(label="Amount, USD")

    def clean_amount(self) -> Money:
        """Return the amount with its currency."""
        return usd(self.cleaned_data["amount"])


class FundForm(_MoneyForm, _YearForm):
    """How much is added to a year's budget or cut from it, and which year's."""

    field_order = ("year", "amount", "reason")


class DelegateForm(_MoneyForm):
    """How much a business unit gets to grant by itself."""

    unit = forms.ModelChoiceField(BusinessUnit.objects.order_by("name"), label="Business unit")

    field_order = ("unit", "amount", "reason")


class LapseForm(_YearForm):
    """Which year's rest lapses."""

    field_order = ("year", "reason")


class RateForm(forms.Form):
    """What a currency was worth on a day."""

    base = forms.ChoiceField(choices=CURRENCIES, label="One unit of")
    rate = AmountField(label="was worth", help_text="A plain number, such as 0.9235.")
    quote = forms.ChoiceField(choices=CURRENCIES, label="of", initial="EUR")
    valid_on = forms.DateField(label="On", widget=forms.DateInput(attrs=DAY))
    source = forms.CharField(max_length=120, label="Published by")


class ConvertForm(_MoneyForm, _YearForm):
    """How much of the reserve becomes another currency's."""

    into = forms.ChoiceField(choices=[pair for pair in CURRENCIES if pair[0] != "USD"], label="Into")
    effective_on = forms.DateField(
        label="At the rate of", widget=forms.DateInput(attrs=DAY), help_text="The latest rate at or before this day."
    )

    field_order = ("year", "amount", "into", "effective_on", "reason")
