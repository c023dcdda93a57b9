"""Reading all feeds of a provider, reconciling it after, and telling people of a feed that has gone silent."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import transaction

from ledger.models import Feed, FeedFetch, FetchState, Provider
from ledger.providers.base import Span
from ledger.selectors.feeds import freshness_of
from ledger.services.fetching import feed_fetch
from ledger.services.reconciliation import Reconciled, days_back, feeds_of, reconcile
from teams.errors import Refused
from teams.models import Role, User
from teams.selectors import people_with_role
from teams.services import notification_send

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Read:
    """What reading a provider brought: its fetches, the run after them, and why one was refused, where one was."""

    provider: str
    fetches: list[FeedFetch] = field(default_factory=list)
    reconciled: Reconciled | None = None
    refused: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """Return in words what went wrong; empty when all went well."""
        failed = [f"{one.feed}: {one.failure}" for one in self.fetches if one.state == FetchState.FAILED]
        return [*failed, *self.refused]


def provider_read(*, actor: User, provider: Provider, span: Span) -> Read:
    """Fetch a provider's feeds over whole days and reconcile those days; one feed's failure does not stop another's.

    What a feed could not bring stays as it was before. Raises NotAllowed.
    """
    read = Read(provider.name)
    if not Feed.objects.filter(provider=provider, is_enabled=True).exists():
        read.refused.append(f"{provider.name} has no feed that is switched on.")
        return read
    for feed in feeds_of(provider):
        try:
            read.fetches.append(feed_fetch(actor=actor, feed=feed, span=span))
        except Refused as error:
            read.refused.append(f"{feed}: {error.message}")
    try:
        return Read(provider.name, read.fetches, reconcile(actor=actor, provider=provider, span=span), read.refused)
    except Refused as error:
        read.refused.append(error.message)
    return read


def feeds_read(*, actor: User, days: int) -> list[Read]:
    """Read every provider that has a feed over the last so many days with today; returns what each brought.

    A provider whose reading breaks is logged, and the others are read all the same.
    """
    providers = Provider.objects.filter(feeds__is_enabled=True).distinct().order_by("name")
    found = []
    for provider in providers:
        try:
            found.append(provider_read(actor=actor, provider=provider, span=days_back(days)))
        except Exception:
            log.exception("Reading the feeds of %s broke.", provider.name)
    return found


@transaction.atomic
def feeds_tell_stale() -> int:
    """Tell finance and platform admins, once until it speaks again, of each feed that is silent or fails.

    A feed is silent when its last good fetch began `STALE_AFTER` ago, or, without any, it was added then. Returns how
    many feeds were told of.
    """
    rows = Feed.objects.select_for_update(of=("self",)).filter(is_enabled=True, told_stale_at=None)
    feeds = [feed for feed in rows.select_related("provider").order_by("pk") if not feed.is_file]
    found = freshness_of(feeds)
    silent = [feed for feed in feeds if found[feed.pk].is_stale or found[feed.pk].is_failing]
    if not silent:
        return 0
    for person in people_with_role(Role.FINANCE, Role.PLATFORM_ADMIN):
        notification_send(
            user=person,
            title="A provider's figures do not come in" if len(silent) == 1 else "Providers' figures do not come in",
            body="\n".join(f"{feed}: {found[feed.pk].words}" for feed in silent),
            url="/ledger/reconciliation/feeds/",
        )
    Feed.objects.filter(pk__in=[feed.pk for feed in silent]).update(told_stale_at=datetime.now(UTC))
    return len(silent)
