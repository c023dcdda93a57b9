"""What a team was given: an allocation with one line per tier, each an envelope in the ledger."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from ledger.models import Account, Tier
from teams.models import Team


class AllocationState(models.TextChoices):
    """Where an allocation stands; `allocations.transitions` says what may follow what."""

    SCHEDULED = "scheduled", "Scheduled"
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    EXHAUSTED = "exhausted", "Exhausted"
    EXPIRED = "expired", "Expired"
    CLOSED = "closed", "Closed"


class StopBehaviour(models.TextChoices):
    """What happens when a tier's line is spent; chosen in the pitch."""

    STOP = "stop", "Stop: calls are refused"
    FALL = "fall", "Fall to the next cheaper tier"


class Allocation(models.Model):
    """Budget that a team may spend on models until a date."""

    name = models.CharField(max_length=160)
    team = models.ForeignKey(Team, models.PROTECT, related_name="allocations")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="allocations_owned")
    state = models.CharField(max_length=10, choices=AllocationState, default=AllocationState.ACTIVE)
    stop_behaviour = models.CharField(max_length=5, choices=StopBehaviour, default=StopBehaviour.STOP)
    starts_on = models.DateField()
    ends_on = models.DateField()
    committed_account = models.OneToOneField(Account, models.PROTECT, related_name="allocation")
    funded_from = models.ForeignKey(
        Account, models.PROTECT, related_name="allocations_funded", help_text="The pool or reserve the money came from."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(ends_on__gte=F("starts_on")), name="allocation_dates_in_order"),
            models.CheckConstraint(condition=Q(state__in=AllocationState.values), name="allocation_state_known"),
            models.CheckConstraint(
                condition=Q(stop_behaviour__in=StopBehaviour.values), name="allocation_stop_behaviour_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"

    @property
    def number(self) -> str:
        """Return the number that people and scripts use, such as A-0042."""
        return f"A-{self.pk:04d}"


class AllocationLine(models.Model):
    """One tier's share of an allocation: an account in the ledger and a quota on the hot path."""

    allocation = models.ForeignKey(Allocation, models.PROTECT, related_name="lines")
    tier = models.CharField(max_length=10, choices=Tier)
    account = models.OneToOneField(Account, models.PROTECT, related_name="line")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["allocation", "tier"], name="line_one_per_tier"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="line_tier_known"),
        ]

    def __str__(self) -> str:
        return self.account.code
