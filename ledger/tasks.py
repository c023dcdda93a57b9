"""Scheduled work of the ledger: wake-ups only; what there is to do stands in the rows."""

from celery import shared_task

from ledger.services import usage_post
from teams.selectors import system_user


@shared_task(name="ledger.tasks.post_usage")
def post_usage() -> int:
    """Post the difference between the usage subledger and the general ledger; returns the entries made."""
    return len(usage_post(actor=system_user()))
