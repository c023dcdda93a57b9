"""Scheduled work of allocations: wake-ups only; what there is to do stands in the rows."""

from celery import shared_task

from allocations.services import sweep_run
from teams.selectors import system_user


@shared_task(name="allocations.tasks.sweep")
def sweep() -> dict[str, int]:
    """Do what is due: lapsed workers, allocations that start or end, keys with overage."""
    return sweep_run(actor=system_user())
