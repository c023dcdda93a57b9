"""What providers report: feeds, what each fetch of one received, and the figures read from it.

A fetch covers whole days (UTC) and counts only once all of its pages are in. From then on the figures of those days
are what it said: an older figure stays in the table, superseded, so the history of a day is all there.
"""

import zlib
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from ledger.models.rates import AiModel, Provider
from ledger.money import CURRENCY, ExactAmountField, scale_check


class FeedKind(models.TextChoices):
    """The adapter that a feed is read with; each is a file of `ledger/providers`."""

    OPENAI_USAGE = "openai_usage", "OpenAI usage"
    OPENAI_COSTS = "openai_costs", "OpenAI costs"
    ANTHROPIC_USAGE = "anthropic_usage", "Anthropic usage analytics"
    ANTHROPIC_COST = "anthropic_cost", "Anthropic cost analytics"
    ANTHROPIC_USAGE_REPORT = "anthropic_usage_report", "Anthropic usage report (legacy)"
    ANTHROPIC_COST_REPORT = "anthropic_cost_report", "Anthropic cost report (legacy)"
    LITELLM = "litellm", "LiteLLM spend logs"
    FOCUS = "focus", "FOCUS CSV"
    PLAIN = "plain", "CSV"
    SANDBOX = "sandbox", "Sandbox"


class Feed(models.Model):
    """One source of a provider's own figures: tokens, money or both. Of each, a provider has one feed at a time."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="feeds")
    kind = models.CharField(max_length=24, choices=FeedKind)
    gives_tokens = models.BooleanField(help_text="Its tokens are what metered tokens are matched with.")
    gives_money = models.BooleanField(help_text="Its amounts are what metered amounts are matched with.")
    base_url = models.CharField(max_length=300, blank=True, help_text="Blank for files.")
    credential_encrypted = models.BinaryField(default=b"", editable=False)
    project = models.CharField(max_length=120, blank=True, help_text="Only this project or workspace of the account.")
    upstream = models.CharField(
        max_length=60,
        blank=True,
        help_text="Of a proxy in front of several providers: only what it sent to this one, by its own name for it.",
    )
    is_enabled = models.BooleanField(default=True)
    told_stale_at = models.DateTimeField(
        null=True, editable=False, help_text="When people were told that it is silent; blank since it spoke again."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=FeedKind.values), name="feed_kind_known"),
            models.CheckConstraint(condition=Q(gives_tokens=True) | Q(gives_money=True), name="feed_gives_something"),
            # Two sources of one figure would count it twice.
            models.UniqueConstraint(
                fields=["provider"], condition=Q(is_enabled=True, gives_tokens=True), name="feed_one_of_tokens"
            ),
            models.UniqueConstraint(
                fields=["provider"], condition=Q(is_enabled=True, gives_money=True), name="feed_one_of_money"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider.name}: {self.get_kind_display()}"

    @property
    def is_file(self) -> bool:
        """Say whether its figures come in files that somebody imports."""
        return self.kind in {FeedKind.FOCUS, FeedKind.PLAIN}


class FetchState(models.TextChoices):
    """Where a fetch stands; only one that is done has figures."""

    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


class FeedFetch(models.Model):
    """One reading of a feed over a span of days, or one imported file."""

    feed = models.ForeignKey(Feed, models.PROTECT, related_name="fetches")
    first_day = models.DateField(help_text="UTC.")
    last_day = models.DateField(help_text="UTC, included.")
    state = models.CharField(max_length=8, choices=FetchState, default=FetchState.RUNNING)
    begun_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    begun_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True)
    pages_count = models.PositiveIntegerField(default=0, db_default=0)
    rows_count = models.PositiveIntegerField(default=0, db_default=0)
    changes_count = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Figures that are new, or other than before."
    )
    complete_until = models.DateTimeField(null=True, help_text="The provider says that it is complete until here.")
    failure = models.TextField(blank=True, help_text="Why it failed, for people.")
    file_name = models.CharField(max_length=200, blank=True, help_text="Of an imported file.")

    class Meta:
        verbose_name_plural = "feed fetches"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=FetchState.values), name="fetch_state_known"),
            models.CheckConstraint(condition=Q(last_day__gte=F("first_day")), name="fetch_days_in_order"),
            models.CheckConstraint(
                condition=Q(state="running", ended_at=None) | (~Q(state="running") & Q(ended_at__isnull=False)),
                name="fetch_ended_when_not_running",
            ),
            models.CheckConstraint(condition=~Q(state="failed") | ~Q(failure=""), name="fetch_failed_for_a_reason"),
            models.UniqueConstraint(fields=["feed"], condition=Q(state="running"), name="fetch_one_at_a_time"),
        ]
        indexes: ClassVar = [models.Index(fields=["feed", "-id"], name="fetch_latest")]

    def __str__(self) -> str:
        return f"F-{self.pk}"


class FeedBody(models.Model):
    """What a provider answered, byte for byte, compressed; the same answer is kept once.

    What a page of a fetch refers to stays for ever (trigger). A file that was checked and that nobody imported goes a
    day after it was last kept.
    """

    sha256 = models.CharField(max_length=64, primary_key=True, help_text="Of the bytes as received.")
    compressed = models.BinaryField(help_text="zlib.")
    size = models.PositiveIntegerField(help_text="Bytes as received.")
    kept_at = models.DateTimeField(db_default=Now(), editable=False, help_text="When it came, the latest time.")

    def __str__(self) -> str:
        return self.sha256

    @property
    def content(self) -> bytes:
        """Return the bytes as they were received."""
        return zlib.decompress(bytes(self.compressed))


class FeedPage(models.Model):
    """One page of a fetch as received. Append-only."""

    fetch = models.ForeignKey(FeedFetch, models.PROTECT, related_name="pages")
    number = models.PositiveIntegerField()
    request = models.TextField(help_text="Path and query, without credentials; or the file's name.")
    body = models.ForeignKey(FeedBody, models.PROTECT, related_name="+")
    received_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["fetch", "number"], name="feed_page_number_once")]

    def __str__(self) -> str:
        return f"{self.fetch_id}: {self.number}"


class Charge(models.TextChoices):
    """What a figure is for."""

    TOKENS = "tokens", "Tokens"
    TOOL = "tool", "Tools and services"
    CREDIT = "credit", "Credit"
    MINIMUM = "minimum", "Minimum or commitment"
    OTHER = "other", "Other charge"


TOKEN_CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


class FeedFigure(models.Model):
    """What a provider said of one day and one set of its dimensions. Superseded by a later figure, never changed."""

    feed = models.ForeignKey(Feed, models.PROTECT, related_name="figures")
    day = models.DateField(help_text="UTC.")
    identity = models.CharField(max_length=32, help_text="MD5 of the dimensions: one current figure for each.")
    fetch = models.ForeignKey(FeedFetch, models.PROTECT, related_name="figures", db_index=False)
    superseded_by = models.ForeignKey(FeedFetch, models.PROTECT, null=True, related_name="+")
    provider_key = models.CharField(
        max_length=160, blank=True, help_text="The provider's id of its key; blank: not told."
    )
    project = models.CharField(max_length=160, blank=True)
    model_name = models.CharField(max_length=200, blank=True, help_text="As the provider writes it.")
    service_tier = models.CharField(max_length=30, blank=True)
    is_batch = models.BooleanField(default=False)
    charge = models.CharField(max_length=8, choices=Charge, default=Charge.TOKENS)
    token_class = models.CharField(max_length=16, blank=True, help_text="Of an amount; blank: of all classes.")
    detail = models.CharField(max_length=300, blank=True, help_text="Line item or variant, in the provider's words.")
    requests = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0, help_text="Uncached input.")
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0, help_text="Including reasoning.")
    currency = models.CharField(max_length=3, default=CURRENCY)
    amount = ExactAmountField(default=0, help_text="What it costs; zero where the feed gives no money.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(charge__in=Charge.values), name="figure_charge_known"),
            models.CheckConstraint(condition=Q(token_class__in=["", *TOKEN_CLASSES]), name="figure_token_class_known"),
            scale_check("amount", "figure_amount_scale"),
            models.UniqueConstraint(
                fields=["feed", "day", "identity"], condition=Q(superseded_by=None), name="figure_one_current"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.feed_id} {self.day} {self.model_name}"


class FeedDay(models.Model):
    """A day of a feed that a whole fetch covered, and the latest one that did."""

    feed = models.ForeignKey(Feed, models.PROTECT, related_name="days")
    day = models.DateField(help_text="UTC.")
    fetch = models.ForeignKey(FeedFetch, models.PROTECT, related_name="days")
    is_complete = models.BooleanField(help_text="The provider said nothing of more to come for it.")
    changed_by = models.ForeignKey(
        FeedFetch, models.PROTECT, related_name="+", help_text="The latest fetch that brought it another figure."
    )

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["feed", "day"], name="feed_day_once")]

    def __str__(self) -> str:
        return f"{self.feed_id} {self.day}"


class KeyStanding(models.TextChoices):
    """Whose a provider's key is."""

    GATEWAY = "gateway", "Tank's own: its traffic is metered"
    CLAIMED = "claimed", "Somebody's: used past Tank, with an owner"
    UNKNOWN = "unknown", "Unknown: used past Tank"


class ProviderKey(models.Model):
    """A key of the provider's account that a feed has named, and whose it is."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="keys")
    external_id = models.CharField(max_length=160)
    name = models.CharField(max_length=160, blank=True, help_text="As the provider has it.")
    hint = models.CharField(max_length=60, blank=True, help_text="The ends of the secret, as the provider shows them.")
    standing = models.CharField(max_length=8, choices=KeyStanding, default=KeyStanding.UNKNOWN)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", help_text="Whom to ask."
    )
    account = models.ForeignKey(
        "ledger.Account",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The allocation line that pays for what it uses; blank: finance decides each time.",
    )
    first_seen_on = models.DateField(help_text="The first day that a feed has it on, UTC.")
    told_at = models.DateTimeField(null=True, help_text="When people were told of it.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "external_id"], name="provider_key_once"),
            models.CheckConstraint(condition=Q(standing__in=KeyStanding.values), name="provider_key_standing_known"),
            models.CheckConstraint(
                condition=~Q(standing="claimed") | Q(owner__isnull=False), name="provider_key_claimed_has_owner"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.external_id


class NameFound(models.TextChoices):
    """How a provider's name of a model was found to be one of ours."""

    SAME = "same", "The same name"
    UPSTREAM = "upstream", "The model's name at the provider"
    ALIAS = "alias", "An alias"
    SNAPSHOT = "snapshot", "A dated snapshot"
    PREFIX = "prefix", "Written with the provider's prefix"
    RETURNED = "returned", "Named so in metered answers"
    BY_HAND = "by_hand", "Said by finance"
    NONE = "none", "No model of ours"


class ProviderModelName(models.Model):
    """What a name that a provider's feed uses means here."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="model_names")
    name = models.CharField(max_length=200)
    model = models.ForeignKey(AiModel, models.PROTECT, null=True, blank=True, related_name="+")
    how = models.CharField(max_length=8, choices=NameFound)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "name"], name="provider_model_name_once"),
            models.CheckConstraint(condition=Q(how__in=NameFound.values), name="model_name_found_known"),
            models.CheckConstraint(
                condition=Q(how="none", model=None) | (~Q(how="none") & Q(model__isnull=False)),
                name="model_name_found_has_model",
            ),
        ]

    def __str__(self) -> str:
        return self.name
