"""Decisions, tentative until they are published together, and the offers that follow from them."""

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from allocations.models import Allocation
from ledger.models import Tier
from ledger.money import ExactAmountField, scale_check
from pitches.models.pitch import Pitch, PitchRevision
from pitches.transitions import OfferState


class Outcome(models.TextChoices):
    """What the committee makes of a pitch."""

    FUND = "fund", "Fund"
    WAITLIST = "waitlist", "Waitlist"
    DECLINE = "decline", "Decline"
    DEFER = "defer", "Defer"


class Decision(models.Model):
    """The committee's decision on a pitch: can be changed until it is published, never after (trigger)."""

    pitch = models.OneToOneField(Pitch, models.PROTECT, related_name="decision")
    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="decisions")
    outcome = models.CharField(max_length=8, choices=Outcome)
    reason = models.TextField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(db_default=Now())
    published_at = models.DateTimeField(null=True, blank=True)
    waitlist_place = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Place on the round's waitlist, from 1; blank: not waitlisted, or it does not move up by itself.",
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(outcome__in=Outcome.values), name="decision_outcome_known"),
            models.CheckConstraint(condition=~Q(reason=""), name="decision_has_reason"),
            models.CheckConstraint(
                condition=Q(waitlist_place=None) | Q(waitlist_place__gte=1, outcome="waitlist"),
                name="decision_place_is_waitlisted",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pitch}: {self.get_outcome_display()}"


class DecisionLine(models.Model):
    """What a decision awards on one tier, in USD: at once to fund, once money is free to waitlist.

    The sum of what is funded in a round stays within its cap (trigger); what is waitlisted does not count.
    """

    decision = models.ForeignKey(Decision, models.CASCADE, related_name="lines")
    tier = models.CharField(max_length=10, choices=Tier)
    amount = ExactAmountField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["decision", "tier"], name="decision_line_one_per_tier"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="decision_line_tier_known"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="decision_line_positive"),
            scale_check("amount", "decision_line_in_cents", places=2),
        ]

    def __str__(self) -> str:
        return f"{self.tier}: {self.amount}"


class Offer(models.Model):
    """What a team is offered until a date; accepted, it is an allocation. Another offer takes the place of one that
    was countered, so a pitch has several of them, one open at most.

    What is open or accepted in a round stays within its cap and its caps per team and tier (trigger).
    """

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="offers")
    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="offers")
    decision = models.ForeignKey(Decision, models.PROTECT, related_name="offers")
    counter = models.OneToOneField(
        "pitches.Counter",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="made",
        help_text="The counter-offer whose lines it has; blank for what the decision awarded.",
    )
    state = models.CharField(max_length=8, choices=OfferState, default=OfferState.OPEN)
    expires_at = models.DateTimeField()
    allocation = models.OneToOneField(Allocation, models.PROTECT, null=True, blank=True, related_name="offer")
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    answered_at = models.DateTimeField(null=True, blank=True)
    answer_reason = models.TextField(blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=OfferState.values), name="offer_state_known"),
            models.CheckConstraint(
                condition=Q(state="accepted", allocation__isnull=False) | ~Q(state="accepted") & Q(allocation=None),
                name="offer_accepted_has_allocation",
            ),
            models.CheckConstraint(
                condition=Q(state="open", answered_at=None, answered_by=None)
                | ~Q(state="open") & Q(answered_at__isnull=False, answered_by__isnull=False),
                name="offer_answer_has_name_and_time",
            ),
            models.UniqueConstraint(fields=["pitch"], condition=Q(state="open"), name="offer_one_open"),
        ]
        indexes: ClassVar = [
            # What the sweep for expired offers looks for.
            models.Index(fields=["expires_at"], condition=Q(state="open"), name="offer_open_by_expiry"),
        ]

    def __str__(self) -> str:
        return f"Offer for {self.pitch}"


class OfferLine(models.Model):
    """One tier of an offer: what was asked and what is awarded, in USD, both for ever (trigger)."""

    offer = models.ForeignKey(Offer, models.PROTECT, related_name="lines")
    tier = models.CharField(max_length=10, choices=Tier)
    asked = ExactAmountField()
    awarded = ExactAmountField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["offer", "tier"], name="offer_line_one_per_tier"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="offer_line_tier_known"),
            models.CheckConstraint(condition=Q(asked__gte=0, awarded__gte=0), name="offer_line_not_negative"),
            scale_check("asked", "offer_line_asked_in_cents", places=2),
            scale_check("awarded", "offer_line_awarded_in_cents", places=2),
        ]

    def __str__(self) -> str:
        return f"{self.tier}: {self.awarded} of {self.asked}"

    @property
    def difference(self) -> Decimal:
        """Return awarded minus asked in USD."""
        awarded: Decimal = self.awarded
        asked: Decimal = self.asked
        return awarded - asked
