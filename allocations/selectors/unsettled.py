"""What processes that went away still hold, by line and key: their calls, whose end nobody saw."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from allocations.models import AllocationLine, Hold, HoldState, MeterWorker, QuotaKey
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

    @property
    def worker_id(self) -> UUID:
        """Return the process's id."""
        return self.worker.pk

    @property
    def last_seen_at(self) -> datetime:
        """Return when the process was last seen: its calls were sent before that."""
        return self.worker.heartbeat_at


def lost_holds() -> list[LostHold]:
    """Return what processes that went away hold, longest unseen first, in two queries."""
    lines = _of_lines().order_by("worker__heartbeat_at", "pk")
    keys = _of_keys(lines)
    return [_lost(line, key) for line in lines for key in keys.get(_place(line), [])]


def lost_hold(line_hold: int, key_hold: int) -> LostHold | None:
    """Return what a process holds by the ids of its two holds; None when that is settled."""
    line = _of_lines().filter(pk=line_hold).first()
    if line is None:
        return None
    keys = _of_keys([line]).get(_place(line), [])
    return next((_lost(line, key) for key in keys if key.pk == key_hold), None)


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


def _of_keys(lines: QuerySet[Hold] | list[Hold]) -> dict[tuple[UUID, int], list[Hold]]:
    workers = {line.worker_id for line in lines}
    rows = _unsettled().filter(quota__key__isnull=False, worker__in=workers).select_related("quota__key")
    found: dict[tuple[UUID, int], list[Hold]] = {}
    for row in rows.order_by("quota__key__name", "pk"):
        found.setdefault(_place(row), []).append(row)
    return found


def _place(hold: Hold) -> tuple[UUID, int]:
    """Return the process and the allocation of a hold."""
    owner = hold.quota.line or hold.quota.key
    return hold.worker_id, owner.allocation_id if owner else 0


def _lost(line: Hold, key: Hold) -> LostHold:
    if line.quota.line is None or key.quota.key is None:
        raise ValueError("a lost hold is one of a line and one of a key")
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
    )
