"""The hot path's rows: quotas with the CHECK that nobody gets past, and the holds of each gateway process.

Only the functions of `allocations/sql/metering.sql` write spent, held and the holds.
"""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from allocations.models.allocation import AllocationLine
from allocations.models.keys import QuotaKey
from ledger.money import CURRENCY, ExactAmountField, scale_check


class Window(models.TextChoices):
    """The span of a key's recurring cap, in UTC."""

    DAY = "day", "Day"
    MONTH = "month", "Month"


def starts_on(window: str, moment: datetime) -> date:
    """Return the first day, UTC, of the day or month that a moment lies in."""
    day = moment.astimezone(UTC).date()
    return day if window == Window.DAY else day.replace(day=1)


def resets_at(window: str, first: date) -> datetime:
    """Return the moment, UTC, at which the day or month that begins on a day is over."""
    after = first + timedelta(days=1 if window == Window.DAY else 31)
    return datetime.combine(after if window == Window.DAY else after.replace(day=1), time(), UTC)


class Quota(models.Model):
    """A limit that calls are held against: an allocation line's, a key's own cap, or a key's cap of one day or month.

    NULL is no limit. A window's row appears when a call first needs it. The rates protect a key from itself: they are
    counted in the same transaction as its holds, so all gateway processes share them exactly.
    """

    line = models.OneToOneField(AllocationLine, models.PROTECT, null=True, related_name="quota")
    key = models.OneToOneField(QuotaKey, models.PROTECT, null=True, related_name="quota")
    window_of = models.ForeignKey(QuotaKey, models.PROTECT, null=True, related_name="windows")
    window = models.CharField(max_length=5, choices=Window, blank=True, default="", db_default="")
    starts_on = models.DateField(null=True, help_text="First day of the window, UTC.")
    currency = models.CharField(max_length=3, default=CURRENCY)
    is_open = models.BooleanField(default=True, help_text="A closed quota admits nothing, whatever is left.")
    limit = ExactAmountField(null=True)
    spent = ExactAmountField(db_default=0)
    held = ExactAmountField(db_default=0, help_text="Of calls in flight and of crashed ones (unsettled).")
    token_limit = models.BigIntegerField(null=True, help_text="Tokens, input and output together.")
    tokens_spent = models.BigIntegerField(db_default=0)
    tokens_held = models.BigIntegerField(db_default=0)
    requests_per_minute = models.PositiveIntegerField(null=True)
    tokens_per_minute = models.PositiveBigIntegerField(null=True)
    calls_at_once = models.PositiveIntegerField(null=True)
    # When the rates would be idle again (GCRA's theoretical arrival time), in seconds since 1970.
    requests_until = models.FloatField(db_default=0, editable=False)
    tokens_until = models.FloatField(db_default=0, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(limit=None) | Q(limit__gte=F("spent") + F("held")), name="quota_is_hard"
            ),
            models.CheckConstraint(
                condition=Q(token_limit=None) | Q(token_limit__gte=F("tokens_spent") + F("tokens_held")),
                name="quota_tokens_are_hard",
            ),
            models.CheckConstraint(
                condition=Q(spent__gte=0, held__gte=0, tokens_spent__gte=0, tokens_held__gte=0),
                name="quota_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(line__isnull=False, key=None, window_of=None, limit__isnull=False)
                | Q(line=None, key__isnull=False, window_of=None)
                | Q(line=None, key=None, window_of__isnull=False),
                name="quota_of_line_or_key",
            ),
            models.CheckConstraint(
                condition=Q(window_of=None, window="", starts_on=None)
                | Q(window_of__isnull=False, window__in=Window.values, starts_on__isnull=False),
                name="quota_window_is_whole",
            ),
            models.CheckConstraint(
                condition=(Q(requests_per_minute=None) | Q(requests_per_minute__gt=0))
                & (Q(tokens_per_minute=None) | Q(tokens_per_minute__gt=0))
                & (Q(calls_at_once=None) | Q(calls_at_once__gt=0)),
                name="quota_rates_positive",
            ),
            models.UniqueConstraint(fields=["window_of", "window", "starts_on"], name="quota_once_a_window"),
            scale_check("limit", "quota_limit_scale"),
            scale_check("spent", "quota_spent_scale"),
            scale_check("held", "quota_held_scale"),
        ]

    def __str__(self) -> str:
        return f"quota {self.pk}"

    @property
    def resets_at(self) -> datetime | None:
        """Return when its day or month is over, UTC; None for a line's and a key's own quota."""
        return None if self.starts_on is None else resets_at(self.window, self.starts_on)

    @property
    def available(self) -> Decimal | None:
        """Return limit minus spent minus held in the quota's currency; None without a limit."""
        return None if self.limit is None else self.limit - self.spent - self.held

    @property
    def tokens_available(self) -> int | None:
        """Return the tokens that are neither spent nor held; None without a limit."""
        return None if self.token_limit is None else self.token_limit - self.tokens_spent - self.tokens_held


class WorkerState(models.TextChoices):
    """Whether a gateway process is there."""

    ALIVE = "alive", "Alive"
    LAPSED = "lapsed", "Lapsed"
    STOPPED = "stopped", "Stopped"


class MeterWorker(models.Model):
    """A process that meters calls; when its heartbeat lapses, its holds become unsettled."""

    id = models.UUIDField(primary_key=True)
    host = models.CharField(max_length=120)
    pid = models.IntegerField()
    epoch = models.IntegerField(db_default=1, help_text="Counts reconnections; shuts out the old connection.")
    state = models.CharField(max_length=8, choices=WorkerState, default=WorkerState.ALIVE)
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    heartbeat_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=WorkerState.values), name="worker_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class HoldState(models.TextChoices):
    """Whether the process that holds is still there to settle."""

    ACTIVE = "active", "In flight"
    UNSETTLED = "unsettled", "Unsettled"


class Hold(models.Model):
    """What one process holds of one quota, all its calls in flight together."""

    worker = models.ForeignKey(MeterWorker, models.PROTECT, related_name="holds")
    quota = models.ForeignKey(Quota, models.PROTECT, related_name="holds")
    amount = ExactAmountField(db_default=0)
    tokens = models.BigIntegerField(db_default=0)
    calls = models.IntegerField(db_default=0)
    state = models.CharField(max_length=10, choices=HoldState, default=HoldState.ACTIVE, db_default="active")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["worker", "quota"], name="hold_one_per_worker_and_quota"),
            models.CheckConstraint(condition=Q(amount__gte=0, tokens__gte=0, calls__gte=0), name="hold_not_negative"),
            models.CheckConstraint(condition=Q(state__in=HoldState.values), name="hold_state_known"),
        ]
        # Counted on every page of finance. The amount, which every call changes, stays out of the index.
        indexes: ClassVar = [models.Index(fields=["quota"], condition=Q(state="unsettled"), name="hold_unsettled")]

    def __str__(self) -> str:
        return f"{self.worker_id} holds {self.amount} of {self.quota_id}"
