"""Allocations and their lines, quotas and holds on the hot path, the keys that spend them, and the calls refused."""

from allocations.models.allocation import Allocation, AllocationLine, AllocationState, StopBehaviour
from allocations.models.denial import Denial, DenialReason
from allocations.models.keys import KeySecret, KeyState, QuotaKey
from allocations.models.quota import Hold, HoldState, MeterWorker, Quota, WorkerState

__all__ = [
    "Allocation",
    "AllocationLine",
    "AllocationState",
    "Denial",
    "DenialReason",
    "Hold",
    "HoldState",
    "KeySecret",
    "KeyState",
    "MeterWorker",
    "Quota",
    "QuotaKey",
    "StopBehaviour",
    "WorkerState",
]
