"""Rounds, their criteria and their committees."""

from datetime import date, timedelta
from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from djmoney.money import Money

from ledger.models import Account
from ledger.money import CURRENCY, ExactAmountField, scale_check
from pitches.transitions import RoundState
from teams.errors import WrongState


class RoundKind(models.TextChoices):
    """How a round decides."""

    REGULAR = "regular", "Regular"
    FAST_LANE = "fast_lane", "Fast lane"


class Round(models.Model):
    """A call for pitches with a cap of real money, a committee and a calendar.

    What the decision rests on (cap, shares, hurdle, quorum, seed hash) is fixed when it opens (trigger).
    """

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=9, choices=RoundKind, default=RoundKind.REGULAR)
    state = models.CharField(max_length=10, choices=RoundState, default=RoundState.DRAFT)
    cap = ExactAmountField(help_text="USD. Leaves the reserve and becomes the round's pool when it opens.")
    reserve_share = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        default=Decimal("0.1"),
        help_text="Part of the cap that is kept back, from 0 to 1.",
    )
    hurdle = models.DecimalField(
        max_digits=8, decimal_places=4, default=Decimal("1"), help_text="Least worth per dollar that can be funded."
    )
    team_cap = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Largest part of the cap that one team can be awarded, above 0 up to 1; blank: no such cap.",
    )
    frontier_cap = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Largest part of the cap that can be awarded on the frontier tier, from 0 to 1; blank: no such cap.",
    )
    quorum = models.PositiveSmallIntegerField(
        default=3, help_text="Least number of scores; more than half of the eligible members must vote as well."
    )
    reviews_per_pitch = models.PositiveSmallIntegerField(
        default=3, help_text="How many members are asked to review each pitch; the others may as well."
    )
    fast_lane_limit = ExactAmountField(
        null=True, blank=True, help_text="USD. The most that a fast lane awards one pitch; null in a regular round."
    )
    recurs_months = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="After how many months the round comes again; null: it does not."
    )
    cloned_from = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, editable=False, related_name="clones"
    )
    repeats = models.OneToOneField(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="repeated_by",
        help_text="The recurring round that this one was prepared after, once.",
    )
    time_zone = models.CharField(max_length=60, default="UTC", help_text="In which the deadlines are shown.")
    submissions_close_at = models.DateTimeField()
    reviews_close_at = models.DateTimeField()
    voting_closes_at = models.DateTimeField()
    answers_due_at = models.DateTimeField(help_text="Until when a team can accept an offer.")
    starts_on = models.DateField(help_text="First day on which the awards can be spent.")
    months = models.PositiveSmallIntegerField(
        default=6,
        validators=[MinValueValidator(1), MaxValueValidator(36)],
        help_text="For how many months the awards last, and pitches are priced.",
    )
    unsealed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Since when others than their teams may read what was submitted (trigger).",
    )
    pool = models.OneToOneField(Account, models.PROTECT, null=True, blank=True, editable=False, related_name="round")
    seed_sealed = models.BinaryField(default=b"", editable=False)
    seed_hash = models.CharField(
        max_length=64, blank=True, editable=False, help_text="SHA-256 of the seed that breaks ties."
    )
    seed = models.CharField(max_length=64, blank=True, editable=False, help_text="Shown with the decisions.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, editable=False, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=RoundState.values), name="round_state_known"),
            models.CheckConstraint(condition=Q(cap__gt=0), name="round_cap_positive"),
            scale_check("cap", "round_cap_in_cents", places=2),
            models.CheckConstraint(
                condition=Q(reserve_share__gte=0, reserve_share__lt=1), name="round_reserve_share_is_a_share"
            ),
            models.CheckConstraint(condition=Q(hurdle__gte=0), name="round_hurdle_not_negative"),
            models.CheckConstraint(
                condition=Q(team_cap=None) | Q(team_cap__gt=0, team_cap__lte=1), name="round_team_cap_is_a_share"
            ),
            models.CheckConstraint(
                condition=Q(frontier_cap=None) | Q(frontier_cap__gte=0, frontier_cap__lte=1),
                name="round_frontier_cap_is_a_share",
            ),
            models.CheckConstraint(condition=Q(quorum__gte=1), name="round_quorum_at_least_one"),
            models.CheckConstraint(condition=Q(months__gte=1, months__lte=36), name="round_months_in_range"),
            models.CheckConstraint(
                condition=Q(
                    submissions_close_at__lt=F("reviews_close_at"),
                    reviews_close_at__lt=F("voting_closes_at"),
                    voting_closes_at__lt=F("answers_due_at"),
                )
                # A fast lane has no reviews and no vote: it takes pitches and decides on them until one moment.
                | Q(
                    kind="fast_lane",
                    reviews_close_at=F("submissions_close_at"),
                    voting_closes_at=F("submissions_close_at"),
                    answers_due_at__gt=F("submissions_close_at"),
                ),
                name="round_deadlines_in_order",
            ),
            models.CheckConstraint(condition=Q(kind__in=RoundKind.values), name="round_kind_known"),
            models.CheckConstraint(
                condition=Q(kind="fast_lane", fast_lane_limit__gt=0, fast_lane_limit__lte=F("cap"))
                | Q(kind="regular", fast_lane_limit=None),
                name="round_fast_lane_has_limit",
            ),
            scale_check("fast_lane_limit", "round_fast_lane_limit_in_cents", places=2),
            models.CheckConstraint(
                condition=Q(reviews_per_pitch__gte=1, reviews_per_pitch__lte=99),
                name="round_reviews_per_pitch_in_range",
            ),
            models.CheckConstraint(
                condition=Q(recurs_months=None) | Q(recurs_months__gte=1, recurs_months__lte=36),
                name="round_recurs_months_in_range",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "cancelled"]) | Q(pool__isnull=False) & ~Q(seed_hash=""),
                name="round_open_has_pool_and_seed",
            ),
            models.CheckConstraint(
                condition=Q(seed="") | Q(state__in=["published", "settled"]), name="round_seed_sealed_until_published"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def cap_money(self) -> Money:
        """Return the cap as money."""
        return Money(self.cap, CURRENCY)

    @property
    def opened_pool(self) -> Account:
        """Return the pool's account, read on first use; raises WrongState before the round has opened."""
        if self.pool is None:
            raise WrongState(f"The round {self.name} has no money before it opens.")
        return self.pool

    @property
    def is_fast_lane(self) -> bool:
        """Say whether one member decides on each pitch as it comes."""
        return self.kind == RoundKind.FAST_LANE

    @property
    def is_sealed(self) -> bool:
        """Say whether what was submitted is closed to everybody outside the teams."""
        return self.unsealed_at is None

    @property
    def awardable(self) -> Decimal:
        """Return what may be awarded, in USD: the cap without the part kept back."""
        cap: Decimal = self.cap
        return cap - cap * self.reserve_share

    @property
    def ends_on(self) -> date:
        """Return the last day on which the awards can be spent."""
        return last_day(self.starts_on, self.months)

    def award_period(self, on: date) -> tuple[date, date]:
        """Return the first and last day of an award that is accepted on a day; a fast lane's begins on that day."""
        return (on, last_day(on, self.months)) if self.is_fast_lane else (self.starts_on, self.ends_on)


def last_day(starts_on: date, months: int) -> date:
    """Return the last day of some months that begin on a day."""
    count = starts_on.year * 12 + starts_on.month - 1 + months
    first = date(count // 12, count % 12 + 1, 1)
    # A start on the 31st ends before the 1st of the month that follows the last one.
    return min(first + timedelta(days=starts_on.day - 1), _month_end(first)) - timedelta(days=1)


def _month_end(first: date) -> date:
    return (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)


class Criterion(models.Model):
    """One thing that reviewers score, with its weight."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="criteria")
    name = models.CharField(max_length=40)
    question = models.CharField(max_length=200)
    weight = models.PositiveSmallIntegerField(help_text="Relative to the weights of the round's other criteria.")
    position = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name_plural = "criteria"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["round", "name"], name="criterion_name_unique"),
            models.CheckConstraint(condition=Q(weight__gte=1, weight__lte=100), name="criterion_weight_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.weight})"


class CommitteeSeat(models.Model):
    """A person's seat in the committee of one round; one of them chairs."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="seats")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="seats")
    is_chair = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["round", "user"], name="seat_unique"),
            models.UniqueConstraint(fields=["round"], condition=Q(is_chair=True), name="seat_one_chair"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.round}"
