"""Forms of reconciliation: which lines, what is decided about them, whose a key is, what may pass."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from ledger.forms.reason import ReasonForm
from ledger.models import (
    Account,
    AccountClass,
    AiModel,
    Attribution,
    Cause,
    KeyStanding,
    Outcome,
    Provider,
    ReconciliationPolicy,
)
from ledger.selectors.reconciliation import Chosen
from teams.errors import SHORTEST_REASON
from teams.models import User
from teams.selectors import user_by_email

DAY = {"type": "date"}
MONTH = "%Y-%m"
HUNDRED = Decimal(100)


def month_asked(text: str, today: date) -> date:
    """Read a month such as "2026-03" from an address; anything else is today's month. Returns its first day."""
    try:
        found = datetime.strptime(text, MONTH).replace(tzinfo=UTC).date()
    except ValueError:
        return today.replace(day=1)
    return found if 2000 <= found.year <= 2199 else today.replace(day=1)


class LinesForm(forms.Form):
    """Which lines to list; empty fields mean all."""

    provider = forms.ModelChoiceField(
        Provider.objects.order_by("name"),
        label="Provider",
        required=False,
        empty_label="All providers",
        to_field_name="name",
        error_messages={"invalid_choice": "There is no provider of this name."},
    )
    outcome = forms.ChoiceField(choices=[("", "All outcomes"), *Outcome.choices], label="Outcome", required=False)
    cause = forms.ChoiceField(choices=[("", "All causes"), *Cause.choices], label="Cause", required=False)
    waits = forms.BooleanField(label="Only what waits for a person", required=False)

    field_order = ("from", "to", "provider", "outcome", "cause", "waits")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in (("from", "From, UTC"), ("to", "To, included")):
            self.fields[name] = forms.DateField(label=label, required=False, widget=forms.DateInput(attrs=DAY))
        self.order_fields(self.field_order)

    def clean(self) -> dict[str, Any]:
        """Refuse a span whose end lies before its begin."""
        data = super().clean() or {}
        if data.get("from") and data.get("to") and data["from"] > data["to"]:
            self.add_error("to", "The last day lies before the first.")
        return data

    @property
    def chosen(self) -> Chosen:
        """Return what was chosen, once the form is valid."""
        data = self.cleaned_data
        names = ("provider", "outcome", "cause", "waits")
        return Chosen(first=data["from"], last=data["to"], **{name: data[name] for name in names})


class DecideForm(ReasonForm):
    """Where the differences of chosen lines go, and why."""

    attribution = forms.ChoiceField(choices=Attribution.choices, label="The difference goes", widget=forms.RadioSelect)
    field_order = ("attribution", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].help_text = f"At least {SHORTEST_REASON} characters, kept with the lines for auditors."


class KeyForm(ReasonForm):
    """Whose a provider's key is, whom to ask, and who pays for what it uses."""

    standing = forms.ChoiceField(choices=KeyStanding.choices, label="This key is", widget=forms.RadioSelect)
    owner = forms.CharField(
        label="Owner's e-mail address",
        max_length=254,
        required=False,
        help_text="Whom to ask about it.",
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    account = forms.CharField(
        label="Allocation line that pays",
        max_length=80,
        required=False,
        help_text="Its code, such as line:A-0001:standard. Empty: finance decides each time.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    field_order = ("standing", "owner", "account", "reason")

    def clean_owner(self) -> User | None:
        """Return the person of the address; None for nothing."""
        address = self.cleaned_data["owner"].strip()
        found = user_by_email(address) if address else None
        if address and found is None:
            raise ValidationError("Nobody here has this address.", code="unknown")
        return found

    def clean_account(self) -> Account | None:
        """Return the account of the code; None for nothing."""
        code = self.cleaned_data["account"].strip()
        found = Account.objects.filter(code=code, account_class=AccountClass.LINE).first() if code else None
        if code and found is None:
            raise ValidationError("No allocation line has this code.", code="unknown")
        return found


class NameForm(ReasonForm):
    """Which of a provider's models a name means."""

    model = forms.ModelChoiceField(AiModel.objects.none(), label="It means", empty_label="Choose a model")
    field_order = ("model", "reason")

    def __init__(self, *args: Any, provider: Provider, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["model"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - for the type checker
        field.queryset = AiModel.objects.filter(provider=provider).order_by("name")


class _Dollars(forms.DecimalField):
    """An amount of zero or more, exact."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(min_value=0, max_digits=24, decimal_places=12, widget=widget, **kwargs)


class PolicyForm(ReasonForm):
    """What finance lets pass for a provider, and from where on it takes two. Amounts in the provider's currency."""

    tolerance = _Dollars(label="A difference passes up to", help_text="Of one line, in the provider's currency.")
    share = forms.DecimalField(
        label="or up to this share of the provider's amount, %",
        min_value=0,
        max_value=Decimal("99.9999"),
        max_digits=12,
        decimal_places=8,
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )
    second_person_above = _Dollars(
        label="A second person approves what one person sends to Variance above",
        help_text="In a calendar month (UTC), differences of either sign added up, in the provider's currency.",
    )
    days_to_wait = forms.IntegerField(
        label="Missing figures count as still to come for, days", min_value=0, max_value=31
    )
    suspends_on_overage = forms.BooleanField(
        label="Suspend the keys of a line that cannot pay a correction", required=False
    )
    field_order = ("tolerance", "share", "second_person_above", "days_to_wait", "suspends_on_overage", "reason")

    @staticmethod
    def of(policy: ReconciliationPolicy) -> dict[str, Any]:
        """Return what the form begins with."""
        names = ("tolerance", "second_person_above")
        plain = {name: format(getattr(policy, name).normalize(), "f") for name in names}
        share = format((policy.tolerance_share * HUNDRED).normalize(), "f")
        return {
            **plain,
            "share": share,
            "days_to_wait": policy.days_to_wait,
            "suspends_on_overage": policy.suspends_on_overage,
        }

    def policy(self, provider: Provider) -> ReconciliationPolicy:
        """Return the policy as typed, not saved; the form must be valid."""
        data = self.cleaned_data
        names = ("tolerance", "second_person_above", "days_to_wait", "suspends_on_overage")
        kept = {name: data[name] for name in names}
        return ReconciliationPolicy(provider=provider, tolerance_share=data["share"] / HUNDRED, **kept)
