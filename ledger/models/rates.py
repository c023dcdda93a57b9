"""Providers, the models they serve, and the rate card: effective-dated prices that never change once approved."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from ledger.money import CURRENCY, ExactAmountField, scale_check


class Tier(models.TextChoices):
    """The hierarchy of needs, dearest first."""

    FRONTIER = "frontier", "Frontier"
    STANDARD = "standard", "Standard"
    ECONOMY = "economy", "Economy"
    BATCH = "batch", "Batch"


class Dialect(models.TextChoices):
    """The wire format that an upstream speaks; the sandbox speaks both."""

    OPENAI = "openai", "OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    SANDBOX = "sandbox", "Sandbox (served by Tank)"


class Provider(models.Model):
    """An upstream account: where calls go, and whom the money is owed to."""

    name = models.SlugField(max_length=40, unique=True)
    dialect = models.CharField(max_length=10, choices=Dialect)
    base_url = models.CharField(max_length=300, blank=True, help_text="Blank for the sandbox: Tank serves it itself.")
    credential_encrypted = models.BinaryField(default=b"", editable=False)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(dialect__in=Dialect.values), name="provider_dialect_known"),
            models.CheckConstraint(condition=Q(dialect="sandbox") | ~Q(base_url=""), name="provider_has_base_url"),
        ]

    def __str__(self) -> str:
        return self.name


class AiModel(models.Model):
    """A model that keys may call, with its own rates.

    A backup is the same model at another provider. What it must have in common with the one that it stands in for
    (tier, dialect), and that backups have none themselves, is held by triggers in `ledger/sql/routes.sql`.
    """

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="models")
    name = models.CharField(max_length=120, unique=True)
    upstream_name = models.CharField(
        max_length=120,
        blank=True,
        default="",
        db_default="",
        help_text="What the provider calls it; blank: the same name.",
    )
    tier = models.CharField(max_length=10, choices=Tier)
    backup_of = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="backups",
        help_text="The model that this one stands in for while that one's provider fails: of the same tier.",
    )
    backup_place = models.PositiveSmallIntegerField(
        default=0, db_default=0, blank=True, help_text="Backups are tried from the lowest place up."
    )
    context_window = models.PositiveIntegerField(default=200_000, help_text="Tokens, input and output together.")
    default_output_cap = models.PositiveIntegerField(
        default=4096, help_text="Tokens; inserted when a request names no cap."
    )
    least_output_cap = models.PositiveIntegerField(
        default=16, help_text="Tokens; the smallest cap inserted when little is left."
    )
    is_enabled = models.BooleanField(default=True)

    class Meta:
        verbose_name = "model"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="model_tier_known"),
            models.CheckConstraint(
                condition=Q(least_output_cap__gte=1, default_output_cap__gte=F("least_output_cap")),
                name="model_output_caps_in_order",
            ),
            models.CheckConstraint(
                condition=Q(backup_of=None, backup_place=0) | (Q(backup_of__isnull=False) & ~Q(backup_of=F("id"))),
                name="model_not_its_own_backup",
            ),
            models.CheckConstraint(condition=~Q(name__istartswith="tank/"), name="model_name_not_reserved"),
        ]

    def __str__(self) -> str:
        return self.name


class ModelAlias(models.Model):
    """Another name for a model, which may be given to another one later. Never the name of a model (trigger)."""

    name = models.CharField(max_length=120, unique=True)
    model = models.ForeignKey(AiModel, models.PROTECT, related_name="aliases")
    note = models.CharField(max_length=200, blank=True, help_text="What it is for.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "model alias"
        verbose_name_plural = "model aliases"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(name="") & ~Q(name__istartswith="tank/"), name="alias_name_not_reserved"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class RateSource(models.TextChoices):
    """Where a price came from."""

    PUBLISHED = "published", "Published price (genai-prices)"
    NEGOTIATED = "negotiated", "Negotiated"


class Rate(models.Model):
    """What a model costs from a moment on, in USD per million tokens, per token class.

    The rate in force at a time is the approved base with the latest `valid_from` at or before it. Where long calls
    have another price, the base has further steps: rates of their own that name it, made and approved with it
    (triggers in `ledger/sql/routes.sql`); so a new base ends all steps of the one before. A proposed rate can be
    approved once and is then immutable (trigger). The rate card's version is the highest approved id.
    """

    model = models.ForeignKey(AiModel, models.PROTECT, related_name="rates")
    valid_from = models.DateTimeField()
    base = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="further_steps", help_text="Of a further step."
    )
    above_input_tokens = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="The price of calls whose whole input, cached or not, is more than this many tokens.",
    )
    currency = models.CharField(max_length=3, default=CURRENCY)
    input = ExactAmountField(help_text="Uncached input, USD per million tokens.")
    cache_read = ExactAmountField(help_text="USD per million tokens.")
    cache_write_5m = ExactAmountField(help_text="USD per million tokens.")
    cache_write_1h = ExactAmountField(help_text="USD per million tokens.")
    output = ExactAmountField(help_text="Output including reasoning, USD per million tokens.")
    source = models.CharField(max_length=12, choices=RateSource)
    note = models.CharField(max_length=200, blank=True)
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model", "valid_from", "above_input_tokens"],
                condition=~Q(approved_at=None),
                name="rate_one_approved_per_moment",
            ),
            models.UniqueConstraint(fields=["base", "above_input_tokens"], name="rate_one_step_per_size"),
            models.CheckConstraint(
                condition=Q(base=None, above_input_tokens=0) | Q(base__isnull=False, above_input_tokens__gt=0),
                name="rate_step_has_base",
            ),
            models.CheckConstraint(
                condition=Q(
                    input__gte=0, output__gte=0, cache_read__gte=0, cache_write_5m__gte=0, cache_write_1h__gte=0
                ),
                name="rate_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(approved_by=None, approved_at=None)
                | Q(approved_by__isnull=False, approved_at__isnull=False),
                name="rate_approval_complete",
            ),
            *(
                # Six places per million tokens make twelve per token: a token's price is exact.
                scale_check(column, f"rate_{column}_scale", places=6)
                for column in ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model_id} from {self.valid_from:%Y-%m-%d}: {self.input} / {self.output}"

    @property
    def steps(self) -> list["Rate"]:
        """Return a base and its further steps, shortest calls first."""
        return [self, *sorted(self.further_steps.all(), key=lambda step: step.above_input_tokens)]
