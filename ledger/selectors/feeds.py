"""How fresh what providers report is: the last good fetch of each feed, what failed since, and the days it covers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import Count, Max, Min

from ledger.models import Feed, FeedDay, FeedFetch, FetchState

STALE_AFTER = timedelta(hours=26)
"""A feed is read every hour and wholly once a day: so long without a good fetch is more than a bad night."""
FETCH_MINUTE = 35
"""The minute of every hour at which the schedule fetches."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh a feed is. Times in UTC; `failure` is why the latest fetch failed, if it did."""

    feed: Feed
    good_at: datetime | None = None
    running: FeedFetch | None = None
    failure: str = ""
    failed_at: datetime | None = None
    first_day: date | None = None
    last_day: date | None = None
    days: int = 0

    @property
    def is_failing(self) -> bool:
        """Say whether the latest fetch that ended failed."""
        return bool(self.failure)

    @property
    def is_stale(self) -> bool:
        """Say whether a feed that should be read every hour has brought nothing for too long."""
        if self.feed.is_file or not self.feed.is_enabled:
            return False
        return (self.good_at or self.feed.created_at) < datetime.now(UTC) - STALE_AFTER

    @property
    def next_at(self) -> datetime | None:
        """Return when the schedule fetches it next; None for files and for a feed that is switched off."""
        if self.feed.is_file or not self.feed.is_enabled:
            return None
        at = datetime.now(UTC).replace(minute=FETCH_MINUTE, second=0, microsecond=0)
        return at if at > datetime.now(UTC) else at + timedelta(hours=1)

    @property
    def words(self) -> str:
        """Say what is wrong with it."""
        since = f"no good fetch since {self.good_at:%Y-%m-%d %H:%M} UTC" if self.good_at else "no good fetch yet"
        return f"{since}. {self.failure}" if self.failure else f"{since}."


def freshness_of(feeds: Sequence[Feed]) -> dict[int, Freshness]:
    """Return how fresh each feed is, by id; in as many queries for many feeds as for one."""
    ids = [feed.pk for feed in feeds]
    fetches = FeedFetch.objects.filter(feed__in=ids)
    good = dict(fetches.filter(state=FetchState.DONE).values_list("feed").annotate(at=Max("begun_at")).order_by())
    ended = fetches.exclude(state=FetchState.RUNNING).order_by("feed", "-pk").distinct("feed")
    last = {fetch.feed_id: fetch for fetch in ended}
    running = {fetch.feed_id: fetch for fetch in fetches.filter(state=FetchState.RUNNING)}
    days = FeedDay.objects.filter(feed__in=ids).values_list("feed").order_by()
    covered = {row[0]: row[1:] for row in days.annotate(first=Min("day"), last=Max("day"), count=Count("pk"))}
    return {feed.pk: _fresh(feed, good, last.get(feed.pk), running.get(feed.pk), covered) for feed in feeds}


def _fresh(
    feed: Feed,
    good: dict[int, datetime],
    last: FeedFetch | None,
    running: FeedFetch | None,
    covered: dict[int, tuple[date, date, int]],
) -> Freshness:
    failed = last if last and last.state == FetchState.FAILED else None
    first_day, last_day, days = covered.get(feed.pk, (None, None, 0))
    return Freshness(
        feed,
        good_at=good.get(feed.pk),
        running=running,
        failure=failed.failure if failed else "",
        failed_at=failed.ended_at if failed else None,
        first_day=first_day,
        last_day=last_day,
        days=days,
    )


def feeds_shown() -> list[Freshness]:
    """Return every feed with how fresh it is, by provider; switched off ones last."""
    feeds = list(Feed.objects.select_related("provider").order_by("-is_enabled", "provider__name", "kind", "pk"))
    found = freshness_of(feeds)
    return [found[feed.pk] for feed in feeds]


def feeds_silent() -> list[Freshness]:
    """Return the feeds that are switched on and bring nothing: silent for too long, or failing."""
    return [one for one in feeds_shown() if one.feed.is_enabled and (one.is_stale or one.is_failing)]


def fetches_of(feed: Feed, *, before: int | None = None, limit: int = 50) -> list[FeedFetch]:
    """Return a feed's fetches, newest first, older than the id `before`."""
    rows = FeedFetch.objects.filter(feed=feed).select_related("begun_by").order_by("-pk")
    return list((rows if before is None else rows.filter(pk__lt=before))[:limit])
