"""The usage subledger: one immutable record per metered call, and which sums of them were posted."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from ledger.models.journal import Account, JournalEntry
from ledger.models.rates import AiModel, Provider, Rate
from ledger.money import CURRENCY, ExactAmountField, scale_check
from teams.models import Team


class SettleKind(models.TextChoices):
    """How the figure of a record came to be."""

    EXACT = "exact", "From the provider's usage block"
    ESTIMATED = "estimated", "Estimated from the bytes seen"
    BOUND = "bound", "Charged at its bound: no usage was reported"
    BY_HAND = "by_hand", "Settled by hand from the provider's figure"


class ServedBecause(models.TextChoices):
    """Why a call was answered by another model than the one it named; of several reasons the last one on its way."""

    AUTO = "auto", "tank/auto chose it"
    ALIAS = "alias", "The name is an alias"
    FELL = "fell", "A dearer tier could not pay"
    BACKUP = "backup", "The model's own provider failed"


class UsageRecord(models.Model):
    """What one call used and cost. Written by the metering hook; never changed (trigger, rights).

    The table is partitioned by month of `request_id` (`ledger/sql/usage.sql`), so the id is unique across
    all partitions.
    """

    request_id = models.UUIDField(
        unique=True,
        help_text="The hold's id, a UUIDv7: a repeated settle cannot charge twice, and its time picks the partition.",
    )
    sent_at = models.DateTimeField(help_text="When the call went upstream; decides the rate.")
    settled_at = models.DateTimeField(db_default=Now(), editable=False)
    account = models.ForeignKey(Account, models.PROTECT, related_name="usage", help_text="The allocation line charged.")
    team = models.ForeignKey(Team, models.PROTECT, related_name="usage")
    # The key belongs to the floor above; its id and name are kept as facts of the call.
    key_id = models.BigIntegerField()
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="usage")
    model = models.ForeignKey(AiModel, models.PROTECT, related_name="usage")
    rate = models.ForeignKey(Rate, models.PROTECT, related_name="usage")
    model_asked = models.CharField(max_length=120)
    served_because = models.CharField(
        max_length=10,
        choices=ServedBecause,
        blank=True,
        default="",
        db_default="",
        help_text="Why another model than the one asked for was called.",
    )
    model_returned = models.CharField(max_length=120, blank=True)
    surface = models.CharField(max_length=30, help_text="Path called, such as chat/completions.")
    streamed = models.BooleanField()
    input_tokens = models.BigIntegerField(help_text="Uncached input.")
    cache_read_tokens = models.BigIntegerField()
    cache_write_5m_tokens = models.BigIntegerField()
    cache_write_1h_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField(help_text="Including reasoning.")
    reasoning_tokens = models.BigIntegerField(help_text="Of which reasoning.")
    currency = models.CharField(max_length=3, default=CURRENCY)
    cost = ExactAmountField(help_text="Tokens at the rate.")
    charged = ExactAmountField(help_text="What the line was charged; cost minus overage.")
    overage = ExactAmountField(help_text="What did not fit the line.")
    settle_kind = models.CharField(max_length=10, choices=SettleKind)
    service_tier = models.CharField(max_length=30, blank=True)
    upstream_id = models.CharField(max_length=120, blank=True, help_text="The provider's request id.")
    tags = models.JSONField(default=dict, help_text="From the x-tank-tags header.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(
                    input_tokens__gte=0,
                    cache_read_tokens__gte=0,
                    cache_write_5m_tokens__gte=0,
                    cache_write_1h_tokens__gte=0,
                    output_tokens__gte=0,
                    reasoning_tokens__gte=0,
                ),
                name="usage_tokens_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(cost=F("charged") + F("overage"), charged__gte=0, overage__gte=0),
                name="usage_cost_is_charged_plus_overage",
            ),
            models.CheckConstraint(condition=Q(settle_kind__in=SettleKind.values), name="usage_settle_kind_known"),
            models.CheckConstraint(
                condition=Q(served_because__in=["", *ServedBecause.values]), name="usage_served_because_known"
            ),
            scale_check("cost", "usage_cost_scale"),
            scale_check("charged", "usage_charged_scale"),
        ]
        indexes: ClassVar = [
            # Burn-down and statements of one line, and the hourly sums.
            models.Index(fields=["account", "settled_at"], name="usage_by_line"),
            models.Index(fields=["settled_at"], name="usage_by_time"),
            models.Index(fields=["key_id", "-id"], name="usage_by_key"),
        ]

    def __str__(self) -> str:
        return str(self.request_id)


class UsageSums(models.Model):
    """What a roll-up adds up; written only by the function `ledger_usage_roll`. Amounts in `currency`."""

    account = models.ForeignKey(Account, models.PROTECT, related_name="+", help_text="The allocation line charged.")
    team = models.ForeignKey(Team, models.PROTECT, related_name="+")
    key_id = models.BigIntegerField()
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+")
    model = models.ForeignKey(AiModel, models.PROTECT, related_name="+")
    rate = models.ForeignKey(Rate, models.PROTECT, related_name="+")
    currency = models.CharField(max_length=3)
    tags = models.JSONField(help_text="As on the records.")
    tags_digest = models.CharField(max_length=32, help_text="MD5 of the tags' text: a short key for them.")
    records = models.BigIntegerField(help_text="Usage records.")
    estimated = models.BigIntegerField(help_text="Of which not from a provider's usage block.")
    input_tokens = models.BigIntegerField()
    cache_read_tokens = models.BigIntegerField()
    cache_write_5m_tokens = models.BigIntegerField()
    cache_write_1h_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    reasoning_tokens = models.BigIntegerField()
    cost = ExactAmountField()
    charged = ExactAmountField()
    overage = ExactAmountField()

    class Meta:
        abstract = True


class UsageHour(UsageSums):
    """The usage of one hour of `settled_at` (UTC) per line, key, model, rate and tags. Outlives its records.

    What it refers to is held by the foreign keys of its day, which is written with it: five keys and their indexes
    on every hour would cost more than all the rest of a roll-up.
    """

    account = models.ForeignKey(Account, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    team = models.ForeignKey(Team, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    model = models.ForeignKey(AiModel, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    rate = models.ForeignKey(Rate, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    hour = models.DateTimeField(help_text="Start of the hour, UTC.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["hour", "account", "key_id", "model", "rate", "tags_digest"], name="usage_hour_unique"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["account", "hour"], name="usage_hour_by_line")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.hour:%Y-%m-%d %H}h: {self.charged}"


class UsageDay(UsageSums):
    """The usage of one day (UTC), from its hours: what reports read."""

    day = models.DateField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["day", "account", "key_id", "model", "rate", "tags_digest"], name="usage_day_unique"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["account", "day"], name="usage_day_by_line")]

    def __str__(self) -> str:
        return f"{self.account_id} {self.day}: {self.charged}"


class UsageArchive(models.Model):
    """A month of records that was detached: what it held, so that its sums stay provable. Append-only."""

    partition = models.CharField(max_length=63, unique=True, help_text="The detached table.")
    starts_on = models.DateField()
    ends_on = models.DateField()
    settled_before = models.DateTimeField(help_text="Every record in it was settled before this hour, UTC.")
    records = models.BigIntegerField()
    cost = ExactAmountField()
    charged = ExactAmountField()
    overage = ExactAmountField()
    digest = models.CharField(max_length=64, help_text="SHA-256 over the records' ids and costs, by id.")
    detached_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.partition


class UsagePosting(models.Model):
    """One posted difference: which usage sum an entry brought into the general ledger.

    A bucket is one line, one provider and one hour of `settled_at`. Each row carries the cumulative count and
    sums of its bucket after the entry, so that the next run posts only the difference.
    """

    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="usage_postings")
    account = models.ForeignKey(Account, models.PROTECT, related_name="usage_postings")
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="usage_postings")
    hour = models.DateTimeField(help_text="Start of the hour, UTC.")
    records = models.BigIntegerField(help_text="Usage records in the bucket so far.")
    charged = ExactAmountField(help_text="Their charged sum so far.")
    overage = ExactAmountField(help_text="Their overage sum so far.")
    digest = models.CharField(max_length=64, help_text="SHA-256 over the records' ids and costs, in order.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "provider", "hour", "records"], name="usage_posting_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.hour:%Y-%m-%d %H}h: {self.charged}"
