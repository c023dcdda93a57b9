"""What committee members do for a pitch: step aside, review, vote."""

from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from pitches.models.pitch import Pitch, PitchRevision
from pitches.models.round import Criterion


class RecusalKind(models.TextChoices):
    """How a conflict came to light."""

    DECLARED = "declared", "Declared"
    RULE = "rule", "Found by rule"


class RecusalType(models.TextChoices):
    """What kind of conflict it is. The first five a rule can find (`pitches_rule_conflict`)."""

    OWNER = "owner", "Owns the pitch"
    SAME_TEAM = "same_team", "Belongs to the team"
    REPORTING_LINE = "reporting_line", "Reporting line"
    CO_APPLICANT = "co_applicant", "Applies with the team"
    SIGN_OFF = "sign_off", "Answers for its value"
    FINANCIAL = "financial", "Financial interest"
    CLOSE_RELATION = "close_relation", "Close relation"
    OTHER = "other", "Other"


class RecusalState(models.TextChoices):
    """What a conflict means."""

    RECUSED = "recused", "Recused"
    WAIVED = "waived", "Waived with a plan"
    DISMISSED = "dismissed", "Dismissed"


class Recusal(models.Model):
    """A member's conflict about a pitch. One found by rule always recuses (CHECK)."""

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="recusals")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="recusals")
    kind = models.CharField(max_length=8, choices=RecusalKind)
    type = models.CharField(max_length=14, choices=RecusalType, default=RecusalType.OTHER)
    state = models.CharField(max_length=9, choices=RecusalState, default=RecusalState.RECUSED)
    reason = models.TextField()
    plan = models.TextField(blank=True, help_text="How a waived conflict is contained, or why it was dismissed.")
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["pitch", "member"], name="recusal_one_per_member"),
            models.CheckConstraint(condition=Q(kind__in=RecusalKind.values), name="recusal_kind_known"),
            models.CheckConstraint(condition=Q(type__in=RecusalType.values), name="recusal_type_known"),
            models.CheckConstraint(condition=Q(state__in=RecusalState.values), name="recusal_state_known"),
            models.CheckConstraint(
                condition=~Q(kind="rule") | Q(state="recused"), name="recusal_by_rule_cannot_be_waived"
            ),
            models.CheckConstraint(
                condition=Q(state="recused") | Q(decided_by__isnull=False) & ~Q(plan=""),
                name="recusal_waiver_has_plan_and_name",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member} and {self.pitch}: {self.get_state_display()}"


class Expertise(models.IntegerChoices):
    """How well a reviewer knows the matter, by their own word; the weight of their scores."""

    OUTSIDER = 1, "I read it as an outsider"
    FAMILIAR = 2, "I know the field"
    EXPERT = 3, "I have done this myself"


class Review(models.Model):
    """One member's reading of one revision. Nobody sees it before their own is in."""

    revision = models.ForeignKey(PitchRevision, models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="reviews")
    expertise = models.PositiveSmallIntegerField(choices=Expertise)
    comment = models.TextField(blank=True)
    submitted_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["revision", "reviewer"], name="review_one_per_reviewer"),
            models.CheckConstraint(condition=Q(expertise__in=Expertise.values), name="review_expertise_known"),
        ]

    def __str__(self) -> str:
        return f"{self.reviewer} on {self.revision}"


class ReviewScore(models.Model):
    """A score from 1 to 9 on one criterion, with the sentence that explains it."""

    review = models.ForeignKey(Review, models.CASCADE, related_name="scores")
    criterion = models.ForeignKey(Criterion, models.PROTECT, related_name="scores")
    score = models.PositiveSmallIntegerField(validators=[MinValueValidator(1), MaxValueValidator(9)])
    sentence = models.CharField(max_length=400)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["review", "criterion"], name="review_score_one_per_criterion"),
            models.CheckConstraint(condition=Q(score__gte=1, score__lte=9), name="review_score_one_to_nine"),
            models.CheckConstraint(condition=~Q(sentence=""), name="review_score_has_sentence"),
        ]

    def __str__(self) -> str:
        return f"{self.criterion_id}: {self.score}"


class Choice(models.TextChoices):
    """What a ballot says; abstaining counts as having voted."""

    YES = "yes", "Yes, fund it"
    NO = "no", "No"
    ABSTAIN = "abstain", "Abstain"


class Ballot(models.Model):
    """A vote in its envelope. Until voting closes only `sealed` is filled, and nothing opens it (trigger)."""

    pitch = models.ForeignKey(Pitch, models.PROTECT, related_name="ballots")
    member = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="ballots")
    sealed = models.BinaryField(editable=False)
    cast_at = models.DateTimeField(db_default=Now())
    times_cast = models.PositiveSmallIntegerField(default=1)
    choice = models.CharField(max_length=7, choices=Choice, blank=True)
    score = models.PositiveSmallIntegerField(null=True, blank=True)
    revealed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["pitch", "member"], name="ballot_one_per_member"),
            models.CheckConstraint(
                condition=Q(revealed_at=None, choice="", score=None)
                | Q(revealed_at__isnull=False, choice__in=Choice.values),
                name="ballot_sealed_or_revealed",
            ),
            models.CheckConstraint(
                condition=Q(score=None, choice__in=["", "abstain"])
                | Q(score__gte=1, score__lte=9, choice__in=["yes", "no"]),
                name="ballot_score_unless_abstaining",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member} on {self.pitch}"
