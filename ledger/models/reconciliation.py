"""Lines that set what was metered beside what the provider reports, how each ended, and what was posted for it."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from ledger.models.feeds import TOKEN_CLASSES, Charge, ProviderKey
from ledger.models.journal import Account, JournalEntry
from ledger.models.rates import AiModel, Provider
from ledger.money import CURRENCY, ExactAmountField, scale_check


class Outcome(models.TextChoices):
    """How a line ended."""

    NEW = "new", "Not judged yet"
    WAITING = "waiting", "The provider's figures are still to come"
    MATCHED = "matched", "Matched"
    WITHIN = "within", "Within tolerance"
    EXPLAINED = "explained", "Explained"
    OPEN = "open", "Open"


class Cause(models.TextChoices):
    """Why a line's two sides differ, as found by rule."""

    PRICE = "price", "Price changed"
    UNMETERED = "unmetered", "Traffic that was not metered"
    ESTIMATED = "estimated", "Estimated settles"
    UNSETTLED = "unsettled", "Calls lost in a crash"
    TIER = "tier", "Service tier"
    BATCH = "batch", "Batch price"
    LATE = "late", "Late figures"
    MIDNIGHT = "midnight", "Calls counted on the day before or after"
    CREDIT = "credit", "Credit"
    DISCOUNT = "discount", "Discount"
    MINIMUM = "minimum", "Minimum or commitment"
    TOOL = "tool", "Tools and services"
    CACHE = "cache", "Cached tokens counted another way"
    ROUNDING = "rounding", "Rounding"
    DECIDED = "decided", "Decided by finance"


class ReconciliationPolicy(models.Model):
    """What finance lets pass for a provider, and from where on it takes two."""

    provider = models.OneToOneField(Provider, models.PROTECT, related_name="reconciliation_policy")
    tolerance = ExactAmountField(default="0.01", help_text="A line's difference up to this passes. In the currency.")
    tolerance_share = ExactAmountField(
        default="0.001", help_text="So does one up to this share of the provider's amount (0.001 is 0.1 %)."
    )
    second_person_above = ExactAmountField(
        default="100",
        help_text="A second person approves what one person sends to Variance in a month above this. In the currency.",
    )
    days_to_wait = models.PositiveSmallIntegerField(
        default=2, help_text="So many days after its own, a day's missing figures count as still to come."
    )
    suspends_on_overage = models.BooleanField(
        default=True, help_text="A correction that a line cannot pay suspends the keys of the line."
    )

    class Meta:
        verbose_name_plural = "reconciliation policies"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(
                    tolerance__gte=0, tolerance_share__gte=0, tolerance_share__lt=1, second_person_above__gte=0
                ),
                name="reconciliation_policy_in_range",
            ),
        ]

    def __str__(self) -> str:
        return self.provider.name


class ReconciliationLine(models.Model):
    """One provider, day and model (and, past the gateway, one of the provider's keys): both sides and the outcome.

    Amounts in `currency`. The difference is what the provider reports minus what was metered.
    """

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="reconciliation_lines")
    day = models.DateField(help_text="UTC.")
    subject = models.CharField(
        max_length=32, help_text="MD5 of model or its name, key and kind of charge: one line for each."
    )
    model = models.ForeignKey(AiModel, models.PROTECT, null=True, related_name="+")
    model_name = models.CharField(max_length=200, blank=True, help_text="Ours, else the provider's.")
    provider_key = models.ForeignKey(
        ProviderKey, models.PROTECT, null=True, related_name="lines", help_text="Blank: the gateway's own traffic."
    )
    charge = models.CharField(max_length=8, help_text="Tokens, or what else the provider charges for.")
    currency = models.CharField(max_length=3, default=CURRENCY)

    metered_records = models.BigIntegerField(default=0)
    metered_estimated = models.BigIntegerField(default=0, help_text="Records not from a usage block.")
    metered_input = models.BigIntegerField(default=0)
    metered_cache_read = models.BigIntegerField(default=0)
    metered_cache_write_5m = models.BigIntegerField(default=0)
    metered_cache_write_1h = models.BigIntegerField(default=0)
    metered_output = models.BigIntegerField(default=0)
    metered = ExactAmountField(default=0, help_text="Cost by the rate card.")

    has_tokens = models.BooleanField(default=False, help_text="A feed of tokens covers the day.")
    has_money = models.BooleanField(default=False, help_text="A feed of money covers the day.")
    is_complete = models.BooleanField(default=False, help_text="The provider expects no more figures for the day.")
    reported_requests = models.BigIntegerField(default=0)
    reported_input = models.BigIntegerField(default=0)
    reported_cache_read = models.BigIntegerField(default=0)
    reported_cache_write_5m = models.BigIntegerField(default=0)
    reported_cache_write_1h = models.BigIntegerField(default=0)
    reported_output = models.BigIntegerField(default=0)
    reported = ExactAmountField(
        default=0, help_text="The provider's amount; without a feed of money, its tokens at our rate."
    )

    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.NEW)
    causes = ArrayField(models.CharField(max_length=10, choices=Cause), default=list)
    explanations = models.JSONField(
        default=list, help_text="What explains the difference: cause, amount as text, evidence in words and figures."
    )
    unexplained = ExactAmountField(default=0, help_text="What no rule explains of the difference.")
    is_agreed = models.BooleanField(
        default=False, help_text="What is reported goes to Billed, the difference to accounts."
    )
    revision = models.PositiveIntegerField(default=1, help_text="Grows with every change of a figure.")
    figures_at = models.DateTimeField(db_default=Now(), help_text="When a figure last changed.")
    judged_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True, help_text="When people were told that it was not metered.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "day", "subject"], name="reconciliation_line_once"),
            models.CheckConstraint(condition=Q(outcome__in=Outcome.values), name="reconciliation_outcome_known"),
            models.CheckConstraint(
                condition=~Q(outcome="matched") | Q(metered=F("reported")), name="reconciliation_matched_is_equal"
            ),
            models.CheckConstraint(
                condition=Q(is_agreed=False) | ~Q(outcome__in=["new", "waiting", "open"]),
                name="reconciliation_agreed_is_judged",
            ),
            scale_check("metered", "reconciliation_metered_scale"),
            scale_check("reported", "reconciliation_reported_scale"),
            scale_check("unexplained", "reconciliation_unexplained_scale"),
        ]
        indexes: ClassVar = [
            # What waits for a person or for a judgement is few of many.
            models.Index(fields=["provider", "day"], condition=Q(outcome="open"), name="reconciliation_open"),
            models.Index(
                fields=["provider", "day"],
                condition=Q(outcome="explained", is_agreed=False),
                name="reconciliation_undecided",
            ),
            models.Index(fields=["provider", "day", "id"], condition=Q(outcome="new"), name="reconciliation_unjudged"),
            models.Index(fields=["provider_key", "day"], name="reconciliation_by_key"),
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} {self.day} {self.model_name}"

    @property
    def metered_tokens(self) -> int:
        """Return the metered tokens of all classes."""
        return sum(int(getattr(self, f"metered_{name}")) for name in TOKEN_CLASSES)

    @property
    def reported_tokens(self) -> int:
        """Return the reported tokens of all classes."""
        return sum(int(getattr(self, f"reported_{name}")) for name in TOKEN_CLASSES)

    @property
    def charge_words(self) -> str:
        """Return in words what it is charged for."""
        return str(Charge(self.charge).label)

    @property
    def cause_words(self) -> list[str]:
        """Return the causes in words."""
        return [str(Cause(cause).label) for cause in self.causes]


class LineRevision(models.Model):
    """A line as it was before one of its figures changed. Append-only."""

    line = models.ForeignKey(ReconciliationLine, models.PROTECT, related_name="revisions")
    revision = models.PositiveIntegerField()
    figures = models.JSONField(help_text="The line's columns; amounts as text.")
    replaced_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["line", "revision"], name="line_revision_once")]

    def __str__(self) -> str:
        return f"{self.line_id}: {self.revision}"


class AttributionRule(models.TextChoices):
    """Why an account takes a part of a difference."""

    ESTIMATE = "estimate", "Its own calls were estimated"
    LOST = "lost", "Its own calls were lost in a crash"
    SHARE = "share", "Its share of the day's use of the model"
    KEY = "key", "It pays for the key"
    TOLERANCE = "tolerance", "Within tolerance"
    DECIDED = "decided", "Decided by finance"


class LineAttribution(models.Model):
    """The part of a line's difference that an account takes; positive is charged to it."""

    line = models.ForeignKey(ReconciliationLine, models.PROTECT, related_name="attributions")
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    amount = ExactAmountField()
    rule = models.CharField(max_length=10, choices=AttributionRule)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["line", "account", "rule"], name="attribution_once"),
            models.CheckConstraint(condition=~Q(amount=0), name="attribution_not_zero"),
            scale_check("amount", "attribution_scale"),
        ]

    def __str__(self) -> str:
        return f"{self.line_id}: {self.account_id} {self.amount}"


class DecisionState(models.TextChoices):
    """Where a decision about open lines stands."""

    PROPOSED = "proposed", "Waits for a second person"
    APPROVED = "approved", "Approved"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"


class Attribution(models.TextChoices):
    """Where a decision sends the difference."""

    LINES = "lines", "To the allocation lines, by their share of the day's use"
    VARIANCE = "variance", "To Variance"


class LineDecision(models.Model):
    """What a person of finance decided about lines, and who approved it where it takes two."""

    provider = models.ForeignKey(Provider, models.PROTECT, related_name="line_decisions")
    attribution = models.CharField(max_length=8, choices=Attribution)
    reason = models.TextField()
    state = models.CharField(max_length=10, choices=DecisionState)
    to_variance = ExactAmountField(help_text="The size of what goes to Variance, differences of either sign added up.")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(db_default=Now(), editable=False)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    decision_reason = models.TextField(blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(reason=""), name="line_decision_has_a_reason"),
            models.CheckConstraint(condition=Q(state__in=DecisionState.values), name="line_decision_state_known"),
            models.CheckConstraint(
                condition=Q(decided_by=None) | ~Q(decided_by=F("proposed_by")) | Q(state="withdrawn"),
                name="line_decision_by_another",
            ),
        ]

    def __str__(self) -> str:
        return f"D-{self.pk}"


class DecidedLine(models.Model):
    """A line that a decision is about, with the revision and difference that were decided on."""

    decision = models.ForeignKey(LineDecision, models.PROTECT, related_name="lines")
    line = models.ForeignKey(ReconciliationLine, models.PROTECT, related_name="decided")
    revision = models.PositiveIntegerField()
    difference = ExactAmountField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["decision", "line"], name="decided_line_once")]

    def __str__(self) -> str:
        return f"{self.decision_id}: {self.line_id}"


class ReconciliationPosting(models.Model):
    """What an entry brought of one provider's day to one account: how much so far, so that a re-read posts the rest.

    `amount` is the target so far: what is agreed on a Billed account, what is charged on any other. Of it, `overage` is
    what an allocation line could not pay and Variance took. Append-only.
    """

    entry = models.ForeignKey(JournalEntry, models.PROTECT, related_name="reconciliation_postings")
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="reconciliation_postings")
    day = models.DateField(help_text="UTC.")
    account = models.ForeignKey(Account, models.PROTECT, related_name="+")
    step = models.PositiveIntegerField(help_text="The how-manieth for this day and account.")
    amount = ExactAmountField()
    overage = ExactAmountField(default=0)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "day", "account", "step"], name="reconciliation_posting_step"),
        ]

    def __str__(self) -> str:
        return f"{self.provider_id} {self.day}: {self.account_id} {self.amount}"
