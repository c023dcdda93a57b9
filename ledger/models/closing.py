"""What needs two people or a decision: corrections, the close of a period, its reopening, exchange rates."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from ledger.models.journal import Account, JournalEntry, Period
from ledger.money import ExactAmountField, scale_check


class CorrectionState(models.TextChoices):
    """Where a proposed correction stands."""

    PROPOSED = "proposed", "Waits for a second person"
    APPROVED = "approved", "Approved and posted"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Correction(models.Model):
    """A proposed adjustment, or the proposed reversal of an entry; posted when a second person approves it."""

    reverses = models.ForeignKey(JournalEntry, models.PROTECT, null=True, related_name="corrections")
    reason = models.TextField()
    memo = models.CharField(max_length=300, blank=True)
    effective_on = models.DateField(help_text="The date of the fact.")
    state = models.CharField(max_length=10, choices=CorrectionState, default=CorrectionState.PROPOSED)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(db_default=Now(), editable=False)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision_reason = models.TextField(blank=True)
    entry = models.OneToOneField(JournalEntry, models.PROTECT, null=True, related_name="correction")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=CorrectionState.values), name="correction_state_known"),
            models.CheckConstraint(condition=~Q(reason=""), name="correction_has_a_reason"),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "refused"]) | ~Q(decided_by=F("proposed_by")),
                name="correction_decided_by_another",
            ),
            models.CheckConstraint(
                condition=Q(state="approved", entry__isnull=False, decided_by__isnull=False)
                | (~Q(state="approved") & Q(entry=None)),
                name="correction_approved_is_posted",
            ),
            models.UniqueConstraint(
                fields=["reverses"], condition=Q(state="proposed"), name="correction_one_open_reversal"
            ),
        ]
        # What waits is few of many, and is counted on every page of finance.
        indexes: ClassVar = [models.Index(fields=["id"], condition=Q(state="proposed"), name="correction_waiting")]

    def __str__(self) -> str:
        return f"C-{self.pk}"


class CorrectionLeg(models.Model):
    """One posting of a proposed adjustment: positive is a debit."""

    correction = models.ForeignKey(Correction, models.PROTECT, related_name="legs")
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    amount = ExactAmountField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(amount=0), name="correction_leg_not_zero"),
            scale_check("amount", "correction_leg_scale"),
        ]

    def __str__(self) -> str:
        return f"{self.correction_id}: {self.account_id} {self.amount}"


class CloseAcceptance(models.Model):
    """An item of a period's close checklist that was open and that somebody accepted as it is. Append-only."""

    period = models.ForeignKey(Period, models.PROTECT, related_name="acceptances")
    item = models.CharField(max_length=40, help_text="The item's stable name.")
    found = models.TextField(help_text="What the item said when it was accepted.")
    reason = models.TextField()
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    accepted_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(reason=""), name="close_acceptance_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"{self.period_id}: {self.item}"


class ReopeningState(models.TextChoices):
    """Where a request to reopen a period stands."""

    ASKED = "asked", "Waits for a second person"
    GRANTED = "granted", "Granted"
    REFUSED = "refused", "Refused"


class PeriodReopening(models.Model):
    """A request to reopen a closed period; the database reopens it only together with its being granted."""

    period = models.ForeignKey(Period, models.PROTECT, related_name="reopenings")
    reason = models.TextField()
    state = models.CharField(max_length=8, choices=ReopeningState, default=ReopeningState.ASKED)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(db_default=Now(), editable=False)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=ReopeningState.values), name="reopening_state_known"),
            models.CheckConstraint(condition=~Q(reason=""), name="reopening_has_a_reason"),
            models.CheckConstraint(
                condition=Q(state="asked", decided_by=None)
                | (~Q(state="asked") & Q(decided_by__isnull=False) & ~Q(decided_by=F("asked_by"))),
                name="reopening_decided_by_another",
            ),
            models.UniqueConstraint(fields=["period"], condition=Q(state="asked"), name="reopening_one_at_a_time"),
        ]

    def __str__(self) -> str:
        return f"{self.period_id}: {self.state}"


class ExchangeRate(models.Model):
    """How much of `quote` one unit of `base` was worth on a day. Append-only; a new day is a new row."""

    base = models.CharField(max_length=3)
    quote = models.CharField(max_length=3)
    valid_on = models.DateField()
    rate = ExactAmountField(help_text="Units of quote for one unit of base.")
    source = models.CharField(max_length=120, help_text="Where the rate is published.")
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["base", "quote", "valid_on"], name="exchange_rate_once_a_day"),
            models.CheckConstraint(condition=Q(rate__gt=0), name="exchange_rate_positive"),
            models.CheckConstraint(condition=~Q(base=F("quote")), name="exchange_rate_between_two"),
            scale_check("rate", "exchange_rate_scale"),
        ]

    def __str__(self) -> str:
        return f"{self.base}/{self.quote} {self.valid_on}: {self.rate}"
