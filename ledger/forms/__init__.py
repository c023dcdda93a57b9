"""Forms of the ledger's pages, and the field for money that other floors use too."""

from ledger.forms.amount import AmountField
from ledger.forms.budget import ConvertForm, DelegateForm, FundForm, LapseForm, RateForm
from ledger.forms.corrections import AdjustmentForm
from ledger.forms.filters import JournalFilter, OnForm
from ledger.forms.reason import ConfirmForm, ReasonForm

__all__ = [
    "AdjustmentForm",
    "AmountField",
    "ConfirmForm",
    "ConvertForm",
    "DelegateForm",
    "FundForm",
    "JournalFilter",
    "LapseForm",
    "OnForm",
    "RateForm",
    "ReasonForm",
]
