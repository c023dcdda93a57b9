"""Allocations and their lines, quotas and holds on the hot path, the keys that spend them, calls refused, alerts."""

from allocations.models.alert import THRESHOLDS, AlertKind, BudgetAlert
from allocations.models.allocation import Allocation, AllocationLine, AllocationState, StopBehaviour
from allocations.models.denial import Denial, DenialReason
from allocations.models.keys import KeySecret, KeyState, QuotaKey
from allocations.models.outside import Outcome, OutsideCall
from allocations.models.quota import Hold, HoldState, MeterWorker, Quota, Window, WorkerState

__all__ = [
    "THRESHOLDS",
    "AlertKind",
    "Allocation",
    "AllocationLine",
    "AllocationState",
    "BudgetAlert",
    "Denial",
    "DenialReason",
    "Hold",
    "HoldState",
    "KeySecret",
    "KeyState",
    "MeterWorker",
    "Outcome",
    "OutsideCall",
    "Quota",
    "QuotaKey",
    "StopBehaviour",
    "Window",
    "WorkerState",
]
