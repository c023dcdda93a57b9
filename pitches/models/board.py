"""The deliberation board: what the committee is trying out together, and every move that it made."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ledger.money import ExactAmountField, scale_check
from pitches.models.choice import Force, PitchOption
from pitches.models.pitch import Pitch
from pitches.models.round import Round


class BoardState(models.Model):
    """What a round's board is set to, the same for all who look; a question, never a decision."""

    round = models.OneToOneField(Round, models.PROTECT, related_name="board")
    cap = ExactAmountField(help_text="USD: the cap that is tried out; the round's own stays what it is.")
    version = models.PositiveIntegerField(default=0, help_text="Counts moves: two who move at once notice each other.")
    moved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    moved_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(cap__gt=0), name="board_cap_positive"),
            scale_check("cap", "board_cap_in_cents", places=2),
            models.CheckConstraint(
                condition=Q(version=0, moved_by=None, moved_at=None)
                | Q(version__gt=0, moved_by__isnull=False, moved_at__isnull=False),
                name="board_move_has_name_and_time",
            ),
        ]

    def __str__(self) -> str:
        return f"Board of {self.round}, version {self.version}"


class BoardForce(models.Model):
    """A pitch that the board holds in or out, whatever the best set is; `option` is the offer it is held in by."""

    board = models.ForeignKey(BoardState, models.CASCADE, related_name="forces")
    pitch = models.OneToOneField(Pitch, models.PROTECT, related_name="board_force")
    force = models.CharField(max_length=3, choices=Force)
    option = models.ForeignKey(PitchOption, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(force__in=Force.values), name="board_force_known"),
            models.CheckConstraint(condition=Q(force="in") | Q(option=None), name="board_force_out_names_no_option"),
        ]

    def __str__(self) -> str:
        return f"{self.pitch}: {self.force}"


class MoveKind(models.TextChoices):
    """What somebody did at the board."""

    SLIDE = "slide", "Tried another cap"
    FORCE_IN = "force_in", "Held a pitch in"
    FORCE_OUT = "force_out", "Held a pitch out"
    FREE = "free", "Freed a pitch"
    RESET = "reset", "Set the board back"
    NOTE = "note", "Noted something"


class BoardMove(models.Model):
    """One move and what came of it, for ever (trigger); USD. `price` is the best worth before less that after.

    `version` is the board's afterwards; a note does not move it.
    """

    round = models.ForeignKey(Round, models.PROTECT, related_name="board_moves")
    number = models.PositiveIntegerField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    at = models.DateTimeField(db_default=Now(), editable=False)
    kind = models.CharField(max_length=9, choices=MoveKind)
    version = models.PositiveIntegerField()
    pitch = models.ForeignKey(Pitch, models.PROTECT, null=True, blank=True, related_name="board_moves")
    option = models.ForeignKey(PitchOption, models.PROTECT, null=True, blank=True, related_name="+")
    cap = ExactAmountField()
    price = ExactAmountField(null=True, help_text="Of holding a pitch in or out; it can be zero.")
    worth = ExactAmountField(null=True)
    cost = ExactAmountField(null=True)
    chosen = models.PositiveIntegerField(null=True, help_text="How many pitches were in afterwards.")
    proved = models.BooleanField(null=True, help_text="Whether that was proved to be the best set.")
    text = models.TextField(blank=True, help_text="What was noted.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["round", "number"], name="board_move_number_unique"),
            models.CheckConstraint(condition=Q(kind__in=MoveKind.values), name="board_move_kind_known"),
            models.CheckConstraint(condition=Q(kind="note") | Q(text=""), name="board_move_only_notes_have_words"),
            models.CheckConstraint(condition=~Q(kind="note") | ~Q(text=""), name="board_note_says_something"),
            models.CheckConstraint(
                condition=Q(kind="note", worth=None, cost=None, chosen=None, proved=None)
                | ~Q(kind="note") & Q(worth__gte=0, cost__gte=0, chosen__isnull=False, proved__isnull=False),
                name="board_move_has_figures",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["force_in", "force_out"], pitch__isnull=False, price__gte=0)
                | ~Q(kind__in=["force_in", "force_out"]) & Q(price=None, option=None),
                name="board_move_force_has_pitch_and_price",
            ),
            models.CheckConstraint(
                condition=Q(kind="free", pitch__isnull=False)
                | Q(kind__in=["slide", "reset"], pitch=None)
                | Q(kind__in=["force_in", "force_out", "note"]),
                name="board_move_names_the_pitch_it_is_about",
            ),
            *(
                scale_check(column, f"board_move_{column}_in_cents", places=2)
                for column in ("cap", "price", "worth", "cost")
            ),
        ]

    def __str__(self) -> str:
        return f"Move {self.number} of {self.round}: {self.get_kind_display()}"
