"""Scheduled work of allocations: wake-ups only; what there is to do stands in the rows."""

from celery import shared_task

from allocations.services import burn_alerts_raise, sweep_run, threshold_alerts_raise
from teams.selectors import system_user


@shared_task(name="allocations.tasks.sweep")
def sweep() -> dict[str, int]:
    """Do what is due: lapsed workers, allocations that start or end, keys with overage."""
    return sweep_run(actor=system_user())


@shared_task(name="allocations.tasks.raise_threshold_alerts")
def raise_threshold_alerts() -> int:
    """Tell of budgets of which a threshold is spent; returns how many alerts are new. Safe to run at once."""
    return threshold_alerts_raise()


@shared_task(name="allocations.tasks.raise_burn_alerts")
def raise_burn_alerts() -> int:
    """Tell of lines that run out early; returns how many alerts are new. Safe to run at once."""
    return burn_alerts_raise()
