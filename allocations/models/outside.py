"""Calls that somebody else makes and that Tank meters, each by the id that its caller gave it."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now

from allocations.models.keys import QuotaKey
from ledger.models import AiModel
from ledger.money import ExactAmountField


class Outcome(models.TextChoices):
    """How an outside call ended."""

    SETTLED = "settled", "Settled"
    VOID = "void", "Void: it cost nothing"


class OutsideCall(models.Model):
    """A call that does not go through our gateway, from its admit on; its usage record is that of `request_id`.

    While it is held there is a `MeterWorker` of the same id that holds for this call alone, and whose heartbeat is the
    call's deadline. The row stays some days after the end, so that an admit, a settle or a void that is tried again
    gets the same answer. The run-time role adds rows; only the functions of `allocations/sql/outside.sql` change them.
    """

    key = models.ForeignKey(QuotaKey, models.PROTECT, related_name="outside_calls", db_index=False)
    caller_id = models.CharField(max_length=120, help_text="The caller's own id; unique for a key.")
    content = models.BinaryField(max_length=32, help_text="SHA-256 of what was asked: the id is for this alone.")
    request_id = models.UUIDField(unique=True, help_text="The hold's id, a UUIDv7, and the usage record's.")
    quota_ids = ArrayField(models.BigIntegerField(), help_text="What holds it: the allocation line's quota first.")
    bound = ExactAmountField(help_text="What is held, in the line's currency.")
    tokens = models.BigIntegerField(help_text="Tokens held, input and output together.")
    remaining = ExactAmountField(help_text="What the line had left after this hold.")
    model = models.ForeignKey(AiModel, models.PROTECT, related_name="+", db_index=False)
    model_asked = models.CharField(max_length=120)
    backups = ArrayField(models.CharField(max_length=120), help_text="Models that the hold covers in its place.")
    served_because = models.CharField(max_length=10, blank=True, help_text="As on the usage record.")
    fell_from = models.CharField(max_length=10, blank=True, help_text="The tier that could not pay.")
    demand = models.JSONField(help_text="What it can use at most, as `allocations.metering.bounds.Demand` has it.")
    output_cap = models.BigIntegerField(help_text="Tokens per choice that the hold covers.")
    surface = models.CharField(max_length=30, blank=True)
    streamed = models.BooleanField()
    tags = models.JSONField(default=dict)
    sent_at = models.DateTimeField(help_text="When it was admitted; decides windows and rate.")
    expires_at = models.DateTimeField(help_text="From then on its hold shows as unsettled.")
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=7, choices=Outcome, blank=True, db_default="")
    ending = models.BinaryField(max_length=32, null=True, help_text="SHA-256 of what the settle or void said.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["key", "caller_id"], name="outside_call_once_per_key"),
            models.CheckConstraint(
                condition=Q(ended_at=None, outcome="", ending=None)
                | Q(ended_at__isnull=False, outcome__in=Outcome.values, ending__isnull=False),
                name="outside_call_end_is_whole",
            ),
        ]
        indexes: ClassVar = [models.Index(Coalesce("ended_at", "expires_at"), name="outside_call_by_end")]

    def __str__(self) -> str:
        return self.caller_id
