"""What people were told about budgets that run low: once per threshold and limit."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from allocations.models.quota import Quota
from ledger.money import CURRENCY, ExactAmountField

THRESHOLDS = (50, 80, 95, 100)


class AlertKind(models.TextChoices):
    """Why people were told."""

    THRESHOLD = "threshold", "A part of the limit is spent"
    TOKENS = "tokens", "A part of the limit in tokens is used"
    BURN_RATE = "burn_rate", "It runs out before its last day at its present pace"


class BudgetAlert(models.Model):
    """People were told about a line or a key's cap, in all or of one day or month, as it stood then.

    `limit`, `spent` and `held` are amounts in the quota's currency, or counts of tokens where the kind says so.

    While `rearmed_at` is blank the same is not told again: the unique constraint holds it, however many workers
    look. Only `rearmed_at` ever changes (rights).
    """

    quota = models.ForeignKey(Quota, models.PROTECT, related_name="alerts")
    kind = models.CharField(max_length=10, choices=AlertKind)
    percent = models.SmallIntegerField(null=True, help_text="The threshold, of the limit.")
    limit = ExactAmountField()
    spent = ExactAmountField()
    held = ExactAmountField()
    currency = models.CharField(max_length=3, default=CURRENCY)
    runs_out_on = models.DateField(null=True, help_text="At the pace of the seven days before.")
    ends_on = models.DateField(null=True, help_text="The last day as planned then.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    rearmed_at = models.DateTimeField(null=True, help_text="From then on the same can be told again.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["quota", "kind", "percent"],
                condition=Q(rearmed_at=None),
                name="alert_once_until_rearmed",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=Q(kind__in=("threshold", "tokens"), percent__in=THRESHOLDS, runs_out_on=None, ends_on=None)
                | Q(kind="burn_rate", percent=None, runs_out_on__lt=models.F("ends_on")),
                name="alert_says_what_its_kind_needs",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["quota", "-id"], name="alert_by_quota")]

    def __str__(self) -> str:
        return f"{self.kind} {self.percent or ''} of {self.quota}".replace("  ", " ")
