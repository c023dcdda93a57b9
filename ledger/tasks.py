"""Scheduled work of the ledger: wake-ups only; what there is to do stands in the rows."""

from celery import shared_task

from ledger.checks import prove
from ledger.services import breaches_tell, usage_partitions_make, usage_post, usage_post_open
from teams.selectors import system_user


@shared_task(name="ledger.tasks.post_usage")
def post_usage() -> int:
    """Post the difference between the usage subledger and the general ledger; returns the entries made."""
    return len(usage_post(actor=system_user()))


@shared_task(name="ledger.tasks.post_usage_open")
def post_usage_open() -> int:
    """Roll up and post everything from the first day that is not closed; returns the entries made."""
    return len(usage_post_open(actor=system_user()))


@shared_task(name="ledger.tasks.make_partitions")
def make_partitions() -> int:
    """Make the partitions of the coming months; returns how many are new."""
    return usage_partitions_make()


@shared_task(name="ledger.tasks.verify_nightly")
def verify_nightly() -> int:
    """Prove every promise and tell finance and platform admins what is broken; returns the rows that are."""
    found = prove()
    breaches_tell(found)
    return len(found)
