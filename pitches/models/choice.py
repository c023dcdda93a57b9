"""The choice: what can be offered, what past claims came to, which set was chosen, where people departed from it."""

from typing import ClassVar

from django.conf import settings
from django.core.validators import MinLengthValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length, Now, Trim
from django.db.models.lookups import GreaterThanOrEqual

from ledger.models import Tier
from ledger.money import ExactAmountField, scale_check
from pitches.models.decision import Outcome
from pitches.models.pitch import Pitch, PitchRevision
from pitches.models.round import Round
from pitches.options import ASKED, OptionCode, offer_name
from pitches.questions import ValueKind
from teams.models import Team

SHORTEST_OVERRIDE = 50


class OptionOrigin(models.TextChoices):
    """Whose idea an offer was."""

    ASKED = "asked", "Asked by the team"
    SYSTEM = "system", "Made by the system"


class PitchOption(models.Model):
    """One offer that a pitch can get, made by the system from the kept quote when voting closed; for ever (trigger)."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="options")
    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="options")
    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="options")
    code = models.CharField(max_length=7, choices=OptionCode)
    tier = models.CharField(max_length=10, choices=Tier, help_text="The tier that most of it, or the change, is on.")
    label = models.CharField(max_length=60)
    cost = ExactAmountField(help_text="USD over the round's months, each tier up to the cent.")
    value = ExactAmountField(help_text="USD: the expected value, scaled by the share of calls at target.")
    quality = models.DecimalField(max_digits=5, decimal_places=4, help_text="Beside what was asked, which is 1.")
    is_measured = models.BooleanField(default=False, help_text="The team measured the quality; else it is policy.")
    origin = models.CharField(max_length=6, choices=OptionOrigin)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "code", "tier"], name="option_unique"),
            models.CheckConstraint(condition=Q(code__in=OptionCode.values), name="option_code_known"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="option_tier_known"),
            models.CheckConstraint(condition=Q(origin__in=OptionOrigin.values), name="option_origin_known"),
            models.CheckConstraint(condition=Q(cost__gt=0, value__gte=0), name="option_costs_something"),
            models.CheckConstraint(condition=Q(quality__gte=0, quality__lte=1), name="option_quality_is_a_share"),
            scale_check("cost", "option_cost_in_cents", places=2),
            scale_check("value", "option_value_in_cents", places=2),
        ]

    def __str__(self) -> str:
        return f"{self.pitch}: {self.label}"

    @property
    def offer(self) -> str:
        """Return the name that tells the offers of a pitch apart, such as "cheaper:standard"."""
        return offer_name(self.code, self.tier)

    @property
    def is_asked(self) -> bool:
        """Say whether the team itself asked for this size."""
        return self.code in ASKED


class OptionLine(models.Model):
    """What an offer costs on one tier, in USD."""

    option = models.ForeignKey(PitchOption, models.PROTECT, related_name="lines")
    tier = models.CharField(max_length=10, choices=Tier)
    amount = ExactAmountField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["option", "tier"], name="option_line_one_per_tier"),
            models.CheckConstraint(condition=Q(tier__in=Tier.values), name="option_line_tier_known"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="option_line_positive"),
            scale_check("amount", "option_line_in_cents", places=2),
        ]

    def __str__(self) -> str:
        return f"{self.tier}: {self.amount}"


class ResolvedClaim(models.Model):
    """A claimed value whose outcome is known, in USD; a wrong one is replaced by another, never changed (trigger)."""

    team = models.ForeignKey(Team, models.PROTECT, related_name="resolved_claims")
    value_kind = models.CharField(max_length=10, choices=ValueKind)
    claimed = ExactAmountField()
    realised = ExactAmountField()
    resolved_on = models.DateField()
    pitch = models.ForeignKey(Pitch, models.PROTECT, null=True, blank=True, related_name="resolved_claims")
    replaces = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="replaced_by")
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    reason = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(value_kind__in=ValueKind.values), name="claim_value_kind_known"),
            models.CheckConstraint(condition=Q(claimed__gt=0, realised__gte=0), name="claim_amounts_make_sense"),
            models.CheckConstraint(condition=~Q(reason=""), name="claim_has_reason"),
            models.UniqueConstraint(fields=["pitch"], condition=Q(replaces=None), name="claim_one_per_pitch"),
            scale_check("claimed", "claim_claimed_in_cents", places=2),
            scale_check("realised", "claim_realised_in_cents", places=2),
        ]
        indexes: ClassVar = [models.Index(fields=["value_kind", "team"], name="claim_by_class")]

    def __str__(self) -> str:
        return f"{self.team}: {self.realised} of {self.claimed}"


class SelectionKind(models.TextChoices):
    """What a selection is for."""

    PREVIEW = "preview", "To look at"
    FINAL = "final", "To adopt"


class Selection(models.Model):
    """One exact choice with its locked inputs, as canonical JSON text; append-only, so that it can be replayed."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="selections")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=7, choices=SelectionKind)
    inputs_text = models.TextField()
    inputs_sha256 = models.CharField(max_length=64)
    result_text = models.TextField()
    result_sha256 = models.CharField(max_length=64)
    rule = models.CharField(max_length=40, help_text="The version of the rule that made the result.")
    solver = models.CharField(max_length=60, help_text="Name and version of the solver.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["round", "number"], name="selection_number_unique"),
            models.CheckConstraint(condition=Q(kind__in=SelectionKind.values), name="selection_kind_known"),
        ]

    def __str__(self) -> str:
        return f"Choice {self.number} of {self.round}"


class RunState(models.TextChoices):
    """How far a choice is that was asked for."""

    QUEUED = "queued", "Waiting"
    RUNNING = "running", "Being computed"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"


OPEN_RUNS = (RunState.QUEUED, RunState.RUNNING)


class ChoiceRun(models.Model):
    """A choice that somebody asked for: computed in the background from the inputs as they stood then.

    `done` of `total` pitches are explained. Who computes it holds an advisory lock of its id, which ends with the
    process: a run that is being computed and whose lock is free has lost its worker.
    """

    round = models.ForeignKey(Round, models.PROTECT, related_name="choice_runs")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(db_default=Now(), editable=False)
    inputs_text = models.TextField()
    inputs_sha256 = models.CharField(max_length=64)
    state = models.CharField(max_length=7, choices=RunState, default=RunState.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    ended_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)
    selection = models.ForeignKey(Selection, models.PROTECT, null=True, related_name="runs")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["round"],
                condition=Q(state__in=[state.value for state in OPEN_RUNS]),
                name="choice_run_one_open",
            ),
            models.CheckConstraint(condition=Q(state__in=RunState.values), name="choice_run_state_known"),
            models.CheckConstraint(condition=Q(done__lte=models.F("total")), name="choice_run_done_within_total"),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"], ended_at=None, selection=None, error="", error_code="")
                | Q(state="done", ended_at__isnull=False, selection__isnull=False, error="", error_code="")
                | Q(state="failed", ended_at__isnull=False, selection=None) & ~Q(error="") & ~Q(error_code=""),
                name="choice_run_ends_with_a_choice_or_an_error",
            ),
        ]

    def __str__(self) -> str:
        return f"Choice asked for at {self.asked_at} for {self.round}"

    @property
    def is_open(self) -> bool:
        """Say whether it has not ended."""
        return self.state in OPEN_RUNS


class Adoption(models.Model):
    """That decisions were made from a final selection, by whom; the latest one counts."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="adoptions")
    selection = models.ForeignKey(Selection, models.PROTECT, related_name="adoptions")
    adopted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    adopted_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"{self.selection}, adopted"


class Force(models.TextChoices):
    """Which way an override goes."""

    IN = "in", "Fund it all the same"
    OUT = "out", "Do not fund it"


class OverrideCategory(models.TextChoices):
    """Why people depart from the exact choice."""

    LAW = "law", "Law or regulation"
    RISK = "risk", "A risk that the figures do not show"
    STRATEGY = "strategy", "Strategy of the company"
    FIGURES = "figures", "The figures are known to be wrong"
    CAPACITY = "capacity", "The team cannot do it now"


class Override(models.Model):
    """A signed departure from the exact choice; its price is published, and all together stay small (trigger)."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="overrides")
    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="overrides")
    force = models.CharField(max_length=3, choices=Force)
    option = models.ForeignKey(PitchOption, models.PROTECT, null=True, blank=True, related_name="overrides")
    category = models.CharField(max_length=8, choices=OverrideCategory)
    reason = models.TextField(validators=[MinLengthValidator(SHORTEST_OVERRIDE)])
    price = ExactAmountField(help_text="USD of worth that it costs: the best without it less the best with it.")
    cost = ExactAmountField(help_text="USD that it moves: the award forced in, or the one taken away.")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(db_default=Now(), editable=False)
    signed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    signed_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(force__in=Force.values), name="override_force_known"),
            models.CheckConstraint(condition=Q(category__in=OverrideCategory.values), name="override_category_known"),
            models.CheckConstraint(
                condition=GreaterThanOrEqual(Length(Trim("reason")), SHORTEST_OVERRIDE),
                name="override_reason_is_long_enough",
            ),
            models.CheckConstraint(condition=Q(price__gte=0, cost__gte=0), name="override_price_not_negative"),
            models.CheckConstraint(condition=Q(force="in") | Q(option=None), name="override_out_names_no_option"),
            models.CheckConstraint(
                condition=Q(signed_by=None, signed_at=None) | Q(signed_by__isnull=False, signed_at__isnull=False),
                name="override_signature_has_name_and_time",
            ),
            models.CheckConstraint(
                condition=Q(signed_by=None) | ~Q(signed_by=models.F("proposed_by")), name="override_needs_two_people"
            ),
            models.UniqueConstraint(
                fields=["pitch"], condition=Q(withdrawn_at=None), name="override_one_standing_per_pitch"
            ),
            scale_check("price", "override_price_in_cents", places=2),
            scale_check("cost", "override_cost_in_cents", places=2),
        ]

    def __str__(self) -> str:
        return f"{self.pitch}: {self.get_force_display()}"

    @property
    def is_standing(self) -> bool:
        """Say whether it is signed and not withdrawn, so that the next choice is bound by it."""
        return self.signed_at is not None and self.withdrawn_at is None


class ReasonCode(models.TextChoices):
    """Why a pitch got what it got."""

    SELECTED = "selected", "Part of the best set"
    FORCED_IN = "forced_in", "Funded by an override"
    FORCED_OUT = "forced_out", "Left out by an override"
    BELOW_HURDLE = "below_hurdle", "Below the hurdle"
    DISPLACED = "displaced", "Others are worth more"
    CAP = "cap", "Does not fit the cap"
    TEAM_CAP = "team_cap", "Does not fit what one team can get"
    TIER_CAP = "tier_cap", "Does not fit what the frontier tier can get"
    INCOMPATIBLE = "incompatible", "Cannot run with another one"
    REQUIRES = "requires", "Needs another one first"
    NO_QUORUM = "no_quorum", "No quorum"
    NO_OFFER = "no_offer", "Nothing to award"


class Result(models.Model):
    """What publication says about one pitch, for ever (trigger). Amounts are USD, scores 1 to 9."""

    pitch = models.OneToOneField(Pitch, models.PROTECT, related_name="result")
    selection = models.ForeignKey(Selection, models.PROTECT, related_name="results")
    option = models.ForeignKey(
        PitchOption,
        models.PROTECT,
        null=True,
        related_name="results",
        help_text="What was funded; on the waitlist, what would be offered.",
    )
    outcome = models.CharField(max_length=8, choices=Outcome)
    reason_code = models.CharField(max_length=12, choices=ReasonCode)
    reason_text = models.TextField()
    mean = models.DecimalField(max_digits=3, decimal_places=1, null=True)
    median = models.DecimalField(max_digits=3, decimal_places=1, null=True)
    disagreement = models.DecimalField(max_digits=3, decimal_places=1, null=True)
    z = models.DecimalField(max_digits=8, decimal_places=4)
    k = models.DecimalField(max_digits=5, decimal_places=4)
    factor = models.DecimalField(max_digits=5, decimal_places=4)
    quality = models.DecimalField(max_digits=5, decimal_places=4, null=True)
    value = ExactAmountField(null=True)
    worth = ExactAmountField(null=True)
    cost = ExactAmountField(null=True)
    displaced_by = models.JSONField(default=list, help_text="Pitch ids.")
    smallest_change = models.JSONField(null=True, help_text="Cents less cost, or cents more worth, that would do.")
    waitlist_place = models.PositiveSmallIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(outcome__in=Outcome.values), name="result_outcome_known"),
            models.CheckConstraint(condition=Q(reason_code__in=ReasonCode.values), name="result_reason_known"),
            models.CheckConstraint(condition=~Q(reason_text=""), name="result_has_sentence"),
            models.CheckConstraint(
                condition=Q(outcome="waitlist", waitlist_place__gte=1)
                | ~Q(outcome="waitlist") & Q(waitlist_place=None),
                name="result_waitlist_is_ordered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pitch}: {self.get_outcome_display()}"
