"""Every write of allocations and keys; holds and charges go through `allocations.metering`."""

from allocations.services.alerts import burn_alerts_raise, threshold_alerts_raise
from allocations.services.allocation import (
    allocation_activate,
    allocation_create,
    allocation_expire,
    allocation_resume,
    allocation_return,
    allocation_suspend,
)
from allocations.services.grant import grant_make
from allocations.services.holds import hold_charge, hold_release
from allocations.services.keys import (
    KeyLimits,
    key_issue,
    key_limits_set,
    key_models_set,
    key_resume,
    key_revoke,
    key_rotate,
    key_suspend,
    limits_of,
)
from allocations.services.lines import line_tokens_set
from allocations.services.sweep import sweep_run
from allocations.services.year_end import year_return

__all__ = [
    "KeyLimits",
    "allocation_activate",
    "allocation_create",
    "allocation_expire",
    "allocation_resume",
    "allocation_return",
    "allocation_suspend",
    "burn_alerts_raise",
    "grant_make",
    "hold_charge",
    "hold_release",
    "key_issue",
    "key_limits_set",
    "key_models_set",
    "key_resume",
    "key_revoke",
    "key_rotate",
    "key_suspend",
    "limits_of",
    "line_tokens_set",
    "sweep_run",
    "threshold_alerts_raise",
    "year_return",
]
