"""Counter-offers: other lines than an offer has, from the team or from the committee, and what became of them."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ledger.models import Tier
from ledger.money import ExactAmountField, scale_check
from pitches.models.decision import Offer
from pitches.transitions import CounterState


class CounterSide(models.TextChoices):
    """Who speaks."""

    TEAM = "team", "The team"
    COMMITTEE = "committee", "The committee"


class Counter(models.Model):
    """Other lines than an offer has, with a message. What it says never changes and its answer is final (trigger).

    A team's waits for the committee, one at most per offer. A committee's is an offer at once, `made`, and its state
    follows that of the offer.
    """

    offer = models.ForeignKey(Offer, models.PROTECT, related_name="counters", help_text="The offer that it counters.")
    side = models.CharField(max_length=9, choices=CounterSide)
    message = models.TextField()
    state = models.CharField(max_length=9, choices=CounterState, default=CounterState.OPEN)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=Now(), editable=False)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    answered_at = models.DateTimeField(null=True, blank=True)
    answer_reason = models.TextField(blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(side__in=CounterSide.values), name="counter_side_known"),
            models.CheckConstraint(condition=Q(state__in=CounterState.values), name="counter_state_known"),
            models.CheckConstraint(condition=~Q(message=""), name="counter_has_message"),
            models.CheckConstraint(
                condition=Q(state="open", answered_at=None, answered_by=None)
                | ~Q(state="open") & Q(answered_at__isnull=False, answered_by__isnull=False) & ~Q(answer_reason=""),
                name="counter_answer_has_name_time_and_reason",
            ),
            models.UniqueConstraint(fields=["offer"], condition=Q(state="open"), name="counter_one_open"),
        ]

    def __str__(self) -> str:
        return f"Counter-offer for {self.offer.pitch}"


class CounterLine(models.Model):
    """What a counter-offer has on one tier, in USD, for ever (trigger)."""

    counter = models.ForeignKey(Counter, models.PROTECT, related_name="lines")
    tier = models.CharField(max_length=10, choices=Tier)
    amount = ExactAmountField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["counter", "tier"], name="counter_line_one_per_tier"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="counter_line_tier_known"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="counter_line_positive"),
            scale_check("amount", "counter_line_in_cents", places=2),
        ]

    def __str__(self) -> str:
        return f"{self.tier}: {self.amount}"
