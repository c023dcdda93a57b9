"""Forms of an exchange about an offer: the team's counter-offer, the committee's answer."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from ledger.models import Tier
from ledger.money import plain, show
from pitches.forms.committee import LOCAL
from pitches.forms.fields import DollarField
from pitches.room import ZERO


class AmountsForm(forms.Form):
    """An amount in USD per tier; a tier without one gets nothing."""

    tiers: tuple[Tier, ...] = tuple(Tier)

    def amounts_add(self, amounts: Mapping[Tier, Decimal], hints: Mapping[Tier, str]) -> None:
        """Add a field for each tier, filled with its amount, with a hint beside it."""
        for tier in self.tiers:
            amount = amounts.get(tier)
            self.fields[f"amount-{tier.value}"] = DollarField(
                label=tier.label, required=False, initial=plain(amount) if amount else "", help_text=hints.get(tier, "")
            )

    def lines(self) -> dict[Tier, Decimal]:
        """Return the amounts by tier; ask `is_valid` first."""
        amounts = {tier: self.cleaned_data[f"amount-{tier.value}"] for tier in self.tiers}
        return {tier: amount for tier, amount in amounts.items() if amount}

    @property
    def amounts(self) -> list[forms.BoundField]:
        """Return the fields of the amounts."""
        return [self[f"amount-{tier.value}"] for tier in self.tiers]


class CounterForm(AmountsForm):
    """Other lines than the offer has, and why."""

    message = forms.CharField(
        label="Why", max_length=2000, widget=forms.Textarea({"rows": 3}), help_text="The committee decides by it."
    )

    def __init__(
        self,
        *args: Any,
        asked: Mapping[Tier, Decimal],
        offered: Mapping[Tier, Decimal],
        limits: Mapping[Tier, Decimal],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.tiers = tuple(tier for tier in Tier if tier in limits)
        hints = {
            tier: f"USD. Asked {show(asked.get(tier, ZERO))}, at most {show(limits[tier])}." for tier in self.tiers
        }
        self.amounts_add(offered, hints)


class CounterAnswerForm(AmountsForm):
    """What the committee makes of a counter-offer, until when the team answers, and why."""

    ACCEPT, REFUSE, COUNTER = "accept", "refuse", "counter"

    answer = forms.ChoiceField(
        label="Answer",
        widget=forms.RadioSelect,
        choices=[
            (ACCEPT, "Accept: a new offer with the team's amounts"),
            (REFUSE, "Refuse: the offer stays open as it is"),
            (COUNTER, "Offer other amounts, below"),
        ],
    )
    reason = forms.CharField(
        label="Reason", max_length=2000, widget=forms.Textarea({"rows": 3}), help_text="The team will read it."
    )
    until = forms.DateTimeField(
        label="Another date to answer",
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, format=LOCAL),
        input_formats=[LOCAL],
    )

    def __init__(self, *args: Any, countered: Mapping[Tier, Decimal], zone: str, latest: datetime, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.zone = zone
        last = latest.astimezone(ZoneInfo(zone))
        self.fields[
            "until"
        ].help_text = f"Time in {zone}, at the latest {last:%-d %b %Y, %H:%M}. Blank: the date stays."
        self.amounts_add(countered, {})

    def clean_until(self) -> datetime | None:
        """Return the date as a moment; the field read the wall clock of the round's zone as UTC."""
        moment: datetime | None = self.cleaned_data["until"]
        return moment.replace(tzinfo=ZoneInfo(self.zone)) if moment is not None else None
