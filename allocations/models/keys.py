"""Quota keys: what an agent authenticates with. The secret is seen once; its SHA-256 is kept."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from allocations.models.allocation import Allocation
from ledger.models import AiModel
from ledger.money import ExactAmountField, scale_check


class KeyState(models.TextChoices):
    """Whether a key may be used."""

    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    REVOKED = "revoked", "Revoked"


class QuotaKey(models.Model):
    """A named key of an allocation. Rotation gives it a new secret; its cap and history stay."""

    allocation = models.ForeignKey(Allocation, models.PROTECT, related_name="keys")
    name = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=KeyState, default=KeyState.ACTIVE)
    expires_at = models.DateTimeField(null=True, blank=True)
    # What a window's row starts with; the total and the rates stand on the key's own quota.
    day_cap = ExactAmountField(null=True, blank=True)
    month_cap = ExactAmountField(null=True, blank=True)
    day_tokens = models.BigIntegerField(null=True, blank=True)
    month_tokens = models.BigIntegerField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)
    end_reason = models.CharField(max_length=300, blank=True)
    # The last field: from here on the name means this and no longer the module.
    models = models.ManyToManyField(
        AiModel, blank=True, related_name="keys", help_text="What it may call; none: all of the allocation's tiers."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["allocation", "name"], condition=~Q(state="revoked"), name="key_name_unique_while_usable"
            ),
            models.CheckConstraint(condition=Q(state__in=KeyState.values), name="key_state_known"),
            models.CheckConstraint(
                condition=(Q(day_cap=None) | Q(day_cap__gt=0))
                & (Q(month_cap=None) | Q(month_cap__gt=0))
                & (Q(day_tokens=None) | Q(day_tokens__gt=0))
                & (Q(month_tokens=None) | Q(month_tokens__gt=0)),
                name="key_caps_positive",
            ),
            scale_check("day_cap", "key_day_cap_scale"),
            scale_check("month_cap", "key_month_cap_scale"),
        ]

    def __str__(self) -> str:
        return self.name


class KeySecret(models.Model):
    """One secret of a key: its hash and the few characters by which people tell it apart."""

    key = models.ForeignKey(QuotaKey, models.PROTECT, related_name="secrets")
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    hint = models.CharField(max_length=20)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Set when a rotation replaced it.")

    def __str__(self) -> str:
        return self.hint
