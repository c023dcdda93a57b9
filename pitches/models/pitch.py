"""Pitches and their revisions: what a team typed, and what it submitted, number by number."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from allocations.models import StopBehaviour
from ledger.models import Tier
from ledger.money import ExactAmountField, scale_check
from pitches.models.round import Round
from pitches.questions import Basis, Case, DataClass, Evidence, Latency, ValueKind
from pitches.transitions import PitchState
from teams.errors import WrongState
from teams.models import Team


class Pitch(models.Model):
    """A team's use case in a round. The draft keeps what was typed, valid or not; revisions keep what was submitted."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="pitches")
    team = models.ForeignKey(Team, models.PROTECT, related_name="pitches")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="pitches_owned")
    state = models.CharField(max_length=12, choices=PitchState, default=PitchState.DRAFT)
    title = models.CharField(max_length=120, help_text="As last typed; revisions keep their own.")
    draft = models.JSONField(default=dict, help_text="Field name to text, exactly as typed.")
    draft_version = models.PositiveIntegerField(default=0, help_text="Counts saves: two writers notice each other.")
    draft_saved_at = models.DateTimeField(db_default=Now())
    current = models.OneToOneField("PitchRevision", models.PROTECT, null=True, related_name="current_of")
    return_note = models.TextField(blank=True, help_text="What the committee asked for when it returned the pitch.")
    continues = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="continued_by", help_text="The earlier pitch."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "pitches"
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=PitchState.values), name="pitch_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "withdrawn"]) | Q(current__isnull=False),
                name="pitch_submitted_has_revision",
            ),
            models.CheckConstraint(
                condition=Q(continues=None) | Q(continues__lt=F("id")), name="pitch_continues_an_earlier_one"
            ),
        ]
        indexes: ClassVar = [
            # A round's queue, and a team's list.
            models.Index(fields=["round", "state"], name="pitch_by_round"),
            models.Index(fields=["team", "-id"], name="pitch_by_team"),
        ]

    def __str__(self) -> str:
        return self.title or f"Pitch {self.pk}"

    @property
    def submitted(self) -> "PitchRevision":
        """Return the current revision, read on first use; raises WrongState before the first submission."""
        if self.current is None:
            raise WrongState(f"The pitch {self} was never submitted.")
        return self.current

    @property
    def number(self) -> str:
        """Return the number that people use, such as P-0007."""
        return f"P-{self.pk:04d}"


class PitchRevision(models.Model):
    """What was submitted, whole and for ever (trigger): reviews, decisions and offers point at it."""

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="revisions")
    number = models.PositiveSmallIntegerField()
    submitted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    submitted_at = models.DateTimeField(db_default=Now(), editable=False)
    title = models.CharField(max_length=120)
    summary = models.TextField()
    problem = models.TextField()
    value_kind = models.CharField(max_length=10, choices=ValueKind)
    value_p10 = ExactAmountField(help_text="USD over the period; one time in ten it is less.")
    value_p50 = ExactAmountField(help_text="USD over the period; as often more as less.")
    value_p90 = ExactAmountField(help_text="USD over the period; one time in ten it is more.")
    value_metric = models.CharField(max_length=200)
    value_method = models.TextField()
    evidence = models.CharField(max_length=10, choices=Evidence)
    sign_off = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    accountable = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Who answers for the result; null before this was asked.",
    )
    quality_bar = models.TextField()
    data_class = models.CharField(max_length=14, choices=DataClass)
    compliance = models.JSONField(help_text="Question code to answer.")
    compliance_note = models.TextField(blank=True)
    checklist = models.JSONField(default=list, help_text="Codes and texts as the round asked them; [] before that.")
    answers = models.JSONField(default=dict, help_text="Question code to answer, of the questions that were asked.")
    questions = models.JSONField(default=list, help_text="Those questions as they were asked, in order.")
    latency = models.CharField(max_length=10, choices=Latency)
    stop_behaviour = models.CharField(max_length=5, choices=StopBehaviour)
    workflows = models.TextField(
        db_default="",
        editable=False,
        help_text="Names of the line items, one a line, to be found by.",
    )
    months = models.PositiveSmallIntegerField(help_text="The period that was priced.")
    rate_card_version = models.BigIntegerField(help_text="The rate card that the quote was made with.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["pitch", "number"], name="revision_number_unique"),
            # What composite foreign keys point at: a revision and the pitch it belongs to.
            models.UniqueConstraint(fields=["pitch", "id"], name="revision_of_pitch_target"),
            models.CheckConstraint(
                condition=Q(value_p10__gte=0, value_p10__lte=F("value_p50"), value_p50__lte=F("value_p90")),
                name="revision_values_in_order",
            ),
            *(
                scale_check(column, f"revision_{column}_in_cents", places=2)
                for column in ("value_p10", "value_p50", "value_p90")
            ),
            models.CheckConstraint(condition=Q(value_kind__in=ValueKind.values), name="revision_value_kind_known"),
            models.CheckConstraint(condition=Q(evidence__in=Evidence.values), name="revision_evidence_known"),
            models.CheckConstraint(condition=Q(data_class__in=DataClass.values), name="revision_data_class_known"),
            models.CheckConstraint(condition=Q(latency__in=Latency.values), name="revision_latency_known"),
            models.CheckConstraint(
                condition=Q(stop_behaviour__in=StopBehaviour.values), name="revision_stop_behaviour_known"
            ),
            models.CheckConstraint(condition=~Q(title="") & ~Q(problem=""), name="revision_says_what_and_why"),
        ]

    def __str__(self) -> str:
        return f"{self.title}, revision {self.number}"


class LineItem(models.Model):
    """One workflow of the ask: how often it calls a model, with how many tokens, on which tier."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="line_items")
    position = models.PositiveSmallIntegerField()
    workflow = models.CharField(max_length=80)
    tier = models.CharField(max_length=10, choices=Tier)
    calls_min = models.BigIntegerField(help_text="Calls per month, at the least that is useful.")
    calls_target = models.BigIntegerField(help_text="Calls per month, as wanted.")
    calls_stretch = models.BigIntegerField(help_text="Calls per month, if more were to be had.")
    input_tokens = models.BigIntegerField(help_text="Per call, cached ones included.")
    cached_tokens = models.BigIntegerField(help_text="Per call: of the input, what is read from the cache.")
    output_tokens = models.BigIntegerField(help_text="Per call, reasoning included.")
    batch_percent = models.PositiveSmallIntegerField(help_text="How many of the calls can wait for the batch tier.")
    evidence = models.CharField(
        max_length=10, choices=Evidence, default=Evidence.GUESS, help_text="What calls and tokens rest on."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "position"], name="line_item_position_unique"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="line_item_tier_known"),
            models.CheckConstraint(
                condition=Q(calls_min__gte=0, calls_min__lte=F("calls_target"), calls_target__lte=F("calls_stretch")),
                name="line_item_calls_in_order",
            ),
            models.CheckConstraint(
                condition=Q(cached_tokens__gte=0, cached_tokens__lte=F("input_tokens"), output_tokens__gte=0),
                name="line_item_tokens_add_up",
            ),
            models.CheckConstraint(condition=Q(batch_percent__lte=100), name="line_item_batch_percent_in_range"),
            models.CheckConstraint(condition=Q(evidence__in=Evidence.values), name="line_item_evidence_known"),
        ]

    def __str__(self) -> str:
        return self.workflow


class Milestone(models.Model):
    """What will be shown by when."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="milestones")
    position = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=160)
    due_on = models.DateField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "position"], name="milestone_position_unique"),
        ]

    def __str__(self) -> str:
        return self.title


class QuoteLine(models.Model):
    """What the work costs over the period on one tier, in USD, kept with the submission."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="quote_lines")
    basis = models.CharField(max_length=5, choices=Basis)
    case = models.CharField(max_length=7, choices=Case)
    tier = models.CharField(max_length=10, choices=Tier)
    low = ExactAmountField(help_text="With the tier's cheapest model.")
    expected = ExactAmountField(help_text="With the tier's middle model.")
    high = ExactAmountField(help_text="With the tier's dearest model.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "basis", "case", "tier"], name="quote_line_unique"),
            models.CheckConstraint(
                condition=Q(low__gte=0, low__lte=F("expected"), expected__lte=F("high")), name="quote_line_in_order"
            ),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="quote_line_tier_known"),
            *(scale_check(column, f"quote_line_{column}_scale") for column in ("low", "expected", "high")),
        ]

    def __str__(self) -> str:
        return f"{self.basis} {self.case} {self.tier}: {self.expected}"
