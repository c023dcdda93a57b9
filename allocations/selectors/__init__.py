"""Reads of allocations, quotas and keys."""

from allocations.selectors.allocation import Figures, allocation_by_number, figures_by_tier, quota_figures
from allocations.selectors.burn import BurnDay, burn_down

__all__ = ["BurnDay", "Figures", "allocation_by_number", "burn_down", "figures_by_tier", "quota_figures"]
