"""Allocations and their lines, quotas and holds on the hot path, and the keys that spend them."""

from allocations.models.allocation import Allocation, AllocationLine, AllocationState, StopBehaviour
from allocations.models.keys import KeySecret, KeyState, QuotaKey
from allocations.models.quota import Hold, HoldState, MeterWorker, Quota, WorkerState

__all__ = [
    "Allocation",
    "AllocationLine",
    "AllocationState",
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
