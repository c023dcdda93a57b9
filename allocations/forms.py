"""Forms about keys."""

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.db.models import QuerySet

from allocations.services import KeyLimits
from ledger.forms import AmountField
from ledger.models import AiModel

if TYPE_CHECKING:
    ModelsFieldBase = forms.ModelMultipleChoiceField[AiModel]
else:
    ModelsFieldBase = forms.ModelMultipleChoiceField

HOUR = 3600
GRACES = [
    ("0", "None: the old secret stops now"),
    (str(HOUR), "1 hour"),
    (str(24 * HOUR), "24 hours"),
    (str(7 * 24 * HOUR), "7 days"),
    (str(30 * 24 * HOUR), "30 days"),
]


class ModelsField(ModelsFieldBase):
    """Some of the models of an allocation's tiers, backups among them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            AiModel.objects.none(),
            required=False,
            label="Models",
            help_text="What this key may call. None ticked: every model of the allocation's tiers, new ones too.",
            widget=forms.CheckboxSelectMultiple,
            error_messages={"invalid_choice": "One of these models cannot be called any more. Look at the list again."},
            **kwargs,
        )

    def label_from_instance(self, model: AiModel) -> str:
        """Name a model, its tier and what it stands in for."""
        stands_in = f", backup of {model.backup_of}" if model.backup_of else ""
        return f"{model.name} ({model.get_tier_display().lower()}{stands_in})"


class WholeField(forms.IntegerField):
    """A whole number above zero as people write it: "1000" or "1,000"; None when it is empty."""

    def __init__(self, *, most: int = 10**15, **kwargs: Any) -> None:
        wording = {"invalid": "Write a whole number, such as 10,000."}
        widget = forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"})
        super().__init__(min_value=1, max_value=most, widget=widget, error_messages=wording, **kwargs)

    def to_python(self, value: Any) -> int | None:
        """Return the number; commas between digits do not count."""
        return super().to_python(value.replace(",", "") if isinstance(value, str) else value)


class KeyForm(forms.Form):
    """A new key: what it is called, how much it may spend, until when, on which of some models."""

    name = forms.CharField(
        max_length=80,
        label="Name",
        help_text="What uses it, such as triage-prod. Bills and logs show this name.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    cap = AmountField(
        required=False,
        label="Cap, USD",
        help_text="The most this key may ever spend. Limits by day, month, tokens and rate can be set afterwards.",
    )
    expires_on = forms.DateField(
        required=False,
        label="Works until",
        help_text="The last day, in UTC. Without one it works until somebody revokes it or the allocation ends.",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    models = ModelsField()

    def __init__(self, *args: Any, offered: QuerySet[AiModel], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, offered)

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


class LimitsForm(forms.Form):
    """What a key may use from now on, and why; an empty field is no limit."""

    cap = AmountField(required=False, label="In all, USD")
    day_cap = AmountField(required=False, label="A day, USD")
    month_cap = AmountField(required=False, label="A month, USD")
    tokens = WholeField(required=False, label="In all, tokens")
    day_tokens = WholeField(required=False, label="A day, tokens")
    month_tokens = WholeField(required=False, label="A month, tokens")
    requests_per_minute = WholeField(required=False, label="Requests a minute", most=10**6)
    tokens_per_minute = WholeField(required=False, label="Tokens a minute", most=10**12)
    calls_at_once = WholeField(required=False, label="Calls at once", most=10**6)
    reason = forms.CharField(max_length=300, required=False, label="Reason", help_text="Kept in the key's history.")

    def limits(self) -> KeyLimits:
        """Return the limits as entered; the form must be valid."""
        return KeyLimits(**{name: value for name, value in self.cleaned_data.items() if name != "reason"})


class LineTokensForm(forms.Form):
    """How many tokens a line may use in all, and why; empty is no limit."""

    tokens = WholeField(
        required=False,
        label="Tokens",
        help_text="Input and output together, from the first call to the last. Empty: only the money limits the line.",
    )
    reason = forms.CharField(
        max_length=300,
        label="Reason",
        help_text="The team reads it in the history.",
        error_messages={"required": "Say why: the team will ask."},
    )


class SwitchForm(forms.Form):
    """Why an allocation is suspended or resumed."""

    reason = forms.CharField(
        max_length=300,
        label="Reason",
        help_text="The team reads it here and in the inbox of the owner.",
        error_messages={"required": "Say why: the team will ask."},
    )


class SettleForm(forms.Form):
    """What became of calls whose end nobody saw. `held` is what the person saw."""

    use_required_attribute = False

    held = forms.DecimalField(widget=forms.HiddenInput)
    outcome = forms.ChoiceField(
        choices=[("release", "Nothing was used: release it"), ("charge", "Charge what the provider says")],
        label="What the provider says",
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what became of these calls."},
    )
    cost = AmountField(
        help_text="Only to charge. What the hold, the line and the key cannot take is overage.",
        error_messages={"required": "Say what it cost."},
    )
    model = forms.ModelChoiceField(
        AiModel.objects.none(),
        label="Model",
        help_text="Only to charge: its provider is owed it. Of several models, choose the one that cost most.",
        error_messages={"required": "Say which model was called."},
        empty_label="Choose one",
    )
    reason = forms.CharField(
        max_length=300,
        label="Reason",
        help_text="Where the figure stands, such as the provider's usage report and its day.",
        error_messages={"required": "Say where the figure comes from: an auditor will ask."},
    )

    def __init__(self, *args: Any, models: QuerySet[AiModel], currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["cost"].label = f"It cost, {currency}"
        field: Any = self.fields["model"]
        field.queryset = models
        if self.is_bound and self.data.get("outcome") != "charge":
            self.fields["cost"].required = field.required = False


class ModelsForm(forms.Form):
    """Which models a key may call from now on, and why."""

    models = ModelsField()
    reason = forms.CharField(
        max_length=300,
        label="Reason",
        help_text="Kept in the key's history.",
        error_messages={"required": "Say why: whoever used the key will ask."},
    )

    def __init__(self, *args: Any, offered: QuerySet[AiModel], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offer(self, offered)


def offer(form: forms.Form, models: QuerySet[AiModel]) -> None:
    """Let a form choose among some models."""
    field = form.fields["models"]
    if isinstance(field, ModelsField):
        field.queryset = models


class StopForm(forms.Form):
    """Why a key is stopped or let go on."""

    reason = forms.CharField(
        max_length=300,
        label="Reason",
        help_text="Whoever used the key will read it here.",
        error_messages={"required": "Say why: whoever used the key will ask."},
    )
