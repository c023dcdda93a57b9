"""Scheduled work of the ledger: wake-ups only; what there is to do stands in the rows."""

from celery import shared_task

from ledger.checks import prove
from ledger.models import Feed
from ledger.services import breaches_tell, usage_partitions_make, usage_post, usage_post_open
from ledger.services.bodies import bodies_clear
from ledger.services.feed_runs import feeds_read, feeds_tell_stale, provider_read
from ledger.services.file_runs import file_runs_clear, file_runs_work
from ledger.services.reconciliation import days_back
from teams.models import User
from teams.selectors import system_user

LATEST_DAYS, ALL_DAYS = 3, 31
"""Days with today that are read every hour, and every night: providers change figures for that long."""


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


@shared_task(name="ledger.tasks.fetch_feeds")
def fetch_feeds() -> int:
    """Fetch the latest days of every feed and reconcile them; returns the fetches made."""
    return sum(len(read.fetches) for read in feeds_read(actor=system_user(), days=LATEST_DAYS))


@shared_task(name="ledger.tasks.reread_feeds")
def reread_feeds() -> int:
    """Read again all days whose figures may still change, and post what they changed; returns the fetches made."""
    return sum(len(read.fetches) for read in feeds_read(actor=system_user(), days=ALL_DAYS))


@shared_task(name="ledger.tasks.fetch_provider")
def fetch_provider(feed: int, actor: int) -> int:
    """Read the provider of a feed for somebody who asked for it now; returns the fetches made."""
    asked, person = Feed.objects.select_related("provider").get(pk=feed), User.objects.get(pk=actor)
    return len(provider_read(actor=person, provider=asked.provider, span=days_back(ALL_DAYS)).fetches)


@shared_task(name="ledger.tasks.tell_stale")
def tell_stale() -> int:
    """Tell people of feeds that bring nothing; returns of how many."""
    return feeds_tell_stale()


@shared_task(name="ledger.tasks.read_files")
def read_files() -> int:
    """Check and import the large files that were sent; returns how many steps were done.

    Safe to run twice, and at once. Nothing else wakes it: a file waits for the next of these messages, and one that is
    lost costs two seconds.
    """
    return file_runs_work()


@shared_task(name="ledger.tasks.clear_files")
def clear_files() -> int:
    """Leave files that nobody imported, and delete the bytes that nothing refers to; returns of how many."""
    file_runs_clear()
    return bodies_clear()
