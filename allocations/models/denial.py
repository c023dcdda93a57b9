"""Calls that the gateway refused because of a quota or a key: how many, not each."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from allocations.models.keys import QuotaKey
from ledger.money import ExactAmountField


class DenialReason(models.TextChoices):
    """Why a call was refused."""

    LINE_EMPTY = "line_empty", "The line has too little left"
    KEY_CAP = "key_cap", "The key's cap has too little left"
    TOKEN_LIMIT = "token_limit", "A limit in tokens has too little left"
    RATE_LIMIT = "rate_limit", "The key called faster than its rate allows"
    NO_LINE = "no_line", "The model is unknown, or the allocation has no line or rate for it"
    ALLOCATION_SHUT = "allocation_shut", "The allocation is not open for calls"
    KEY_REVOKED = "key_revoked", "The key was revoked"
    KEY_SUSPENDED = "key_suspended", "The key is suspended"
    KEY_EXPIRED = "key_expired", "The key or its former secret has expired"
    KEY_UNKNOWN = "key_unknown", "No such key"


class Denial(models.Model):
    """The refused calls of one hour (UTC) with one key, for one reason, that asked for one model.

    Gateways count in memory and write every few seconds and when they stop; the counts of the last seconds before
    a crash are lost, and a flush whose acknowledgement was lost may be counted twice. It is a log, not a record of
    money. The example is the first call seen.
    """

    hour = models.DateTimeField(help_text="Start of the hour, UTC.")
    key = models.ForeignKey(
        QuotaKey, models.PROTECT, null=True, related_name="denials", help_text="Blank: no such key."
    )
    reason = models.CharField(max_length=16, choices=DenialReason)
    model = models.CharField(max_length=120, help_text="Asked for; blank when Tank has no model of that name.")
    count = models.BigIntegerField(help_text="Calls.")
    last_at = models.DateTimeField(help_text="The latest of them.")
    example_asked = models.CharField(max_length=120, blank=True, help_text="The model that the example named.")
    example_bytes = models.BigIntegerField(null=True, help_text="Size of the example's body.")
    example_bound = ExactAmountField(null=True, help_text="What the example could have cost, in USD.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["hour", "key", "reason", "model"], name="denial_bucket_unique", nulls_distinct=False
            ),
            models.CheckConstraint(condition=Q(reason__in=DenialReason.values), name="denial_reason_known"),
            models.CheckConstraint(condition=Q(count__gt=0), name="denial_count_positive"),
        ]
        indexes: ClassVar = [models.Index(fields=["key", "-hour"], name="denial_by_key")]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.reason}: {self.count}"
