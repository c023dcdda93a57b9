"""What processes that went away still hold, by line and key: their calls, whose end nobody saw.

A call from outside whose caller never said how it ended is a process of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from allocations.models import AllocationLine, Hold, HoldState, MeterWorker, OutsideCall, QuotaKey
from allocations.models.quota import resets_at
from ledger.models import AiModel

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class LostHold:
    """What a process that went away holds on a line for a key, in the line's currency.

    A process keeps one total per line and one per key. Where it held on several lines for several keys, what it held on
    this line for this key is at most `amount`, and what was settled for others lowers it.
    """

    pk: int
    key_hold: int
    worker: MeterWorker
    line: AllocationLine
    key: QuotaKey
    line_quota_id: int
    key_quota_id: int
    amount: Decimal
    calls: int
    currency: str
    sent_at: datetime
    """When its calls were sent, at the latest."""
    caller_id: str = ""
    """Of a call from outside: the id that its caller gave it."""

    @property
    def held_by(self) -> str:
        """Return who holds it, in words."""
        return f"outside call {self.caller_id}" if self.caller_id else f"{self.worker.host}, process {self.worker.pid}"

    @property
    def worker_id(self) -> UUID:
        """Return the process's id."""
        return self.worker.pk

    @property
    def last_seen_at(self) -> datetime:
        """Return when the process was last seen, or the deadline of a call from outside."""
        return self.worker.heartbeat_at


def lost_holds() -> list[LostHold]:
    """Return what processes that went away hold, longest unseen first, in four queries."""
    lines = list(_of_lines().order_by("worker__heartbeat_at", "pk"))
    beside = _beside(lines)
    return [_lost(line, key, beside) for line in lines for key in beside.keys.get(_place(line), [])]


def lost_hold(line_hold: int, key_hold: int) -> LostHold | None:
    """Return what a process holds by the ids of its two holds; None when that is settled."""
    line = _of_lines().filter(pk=line_hold).first()
    if line is None:
        return None
    beside = _beside([line])
    return next((_lost(line, key, beside) for key in beside.keys.get(_place(line), []) if key.pk == key_hold), None)


def unsettled_count() -> int:
    """Return how many lines carry unsettled holds; a key's own hold is the same money seen again."""
    return _unsettled().filter(quota__line__isnull=False).count()


def unsettled_total() -> Decimal:
    """Return the money that unsettled holds keep from being spent, in USD."""
    return _unsettled().filter(quota__line__isnull=False).aggregate(total=Sum("amount"))["total"] or ZERO


def models_of(line: AllocationLine) -> QuerySet[AiModel]:
    """Return the models that calls on a line may have used, by provider and name."""
    return AiModel.objects.filter(tier=line.tier).select_related("provider").order_by("provider__name", "name")


def _unsettled() -> QuerySet[Hold]:
    return Hold.objects.filter(state=HoldState.UNSETTLED, amount__gt=0)


def _of_lines() -> QuerySet[Hold]:
    rows = _unsettled().filter(quota__line__isnull=False)
    return rows.select_related("worker", "quota__line__allocation__team", "quota__line__account")


@dataclass(frozen=True, slots=True)
class Beside:
    """What the processes that hold on lines hold beside that, and what callers call them."""

    keys: dict[tuple[UUID, int], list[Hold]]
    windows: dict[tuple[UUID, int], list[tuple[str, date]]]
    outside: dict[UUID, str]


def _beside(lines: list[Hold]) -> Beside:
    workers = {line.worker_id for line in lines}
    return Beside(_of_keys(workers), _of_windows(workers), _outside(workers))


def _of_windows(workers: set[UUID]) -> dict[tuple[UUID, int], list[tuple[str, date]]]:
    """Return the days and months whose limits processes hold, by process and key."""
    found: dict[tuple[UUID, int], list[tuple[str, date]]] = {}
    rows = _unsettled().filter(quota__window_of__isnull=False, worker__in=workers)
    places = ("worker_id", "quota__window_of_id", "quota__window", "quota__starts_on")
    for worker, key, window, first in rows.values_list(*places):
        found.setdefault((worker, key), []).append((window, first))
    return found


def _of_keys(workers: set[UUID]) -> dict[tuple[UUID, int], list[Hold]]:
    rows = _unsettled().filter(quota__key__isnull=False, worker__in=workers).select_related("quota__key")
    found: dict[tuple[UUID, int], list[Hold]] = {}
    for row in rows.order_by("quota__key__name", "pk"):
        found.setdefault(_place(row), []).append(row)
    return found


def _outside(workers: set[UUID]) -> dict[UUID, str]:
    """Return the callers' ids of those that are calls from outside."""
    calls = OutsideCall.objects.filter(request_id__in=workers)
    return dict(calls.values_list("request_id", "caller_id"))


def _place(hold: Hold) -> tuple[UUID, int]:
    """Return the process and the allocation of a hold."""
    owner = hold.quota.line or hold.quota.key
    return hold.worker_id, owner.allocation_id if owner else 0


def _last_moment(seen: datetime, windows: Iterable[tuple[str, date]]) -> datetime:
    """Return the moment nearest to when a process was last seen that lies in the newest day and month that it holds.

    A call is held on the day that it is sent: a process that was last seen after midnight, and holds of the day before
    alone, sent its calls before midnight.
    """
    newest: dict[str, date] = {}
    for window, first in windows:
        newest[window] = max(first, newest.get(window, first))
    moment = seen
    for window, first in newest.items():
        last = resets_at(window, first) - timedelta(microseconds=1)
        moment = min(max(moment, datetime.combine(first, time(), UTC)), last)
    return moment


def _lost(line: Hold, key: Hold, beside: Beside) -> LostHold:
    if line.quota.line is None or key.quota.key is None:
        raise ValueError("a lost hold is one of a line and one of a key")
    caller_id = beside.outside.get(line.worker_id, "")
    seen = line.worker.started_at if caller_id else line.worker.heartbeat_at
    return LostHold(
        pk=line.pk,
        key_hold=key.pk,
        worker=line.worker,
        line=line.quota.line,
        key=key.quota.key,
        line_quota_id=line.quota_id,
        key_quota_id=key.quota_id,
        amount=min(line.amount, key.amount),
        calls=min(line.calls, key.calls),
        currency=line.quota.currency,
        sent_at=_last_moment(seen, beside.windows.get((line.worker_id, key.quota.key.pk), [])),
        caller_id=caller_id,
    )
