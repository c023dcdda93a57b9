"""The form of a proposed adjustment."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from ledger.forms.amount import AmountField
from ledger.forms.reason import ReasonForm
from ledger.models import Account
from ledger.services import Leg

LEGS = 6


class AdjustmentForm(ReasonForm):
    """An adjustment: up to six postings, each a debit or a credit, that sum to zero."""

    effective_on = forms.DateField(label="Date of the fact", widget=forms.DateInput(attrs={"type": "date"}))
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
