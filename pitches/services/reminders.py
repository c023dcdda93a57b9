"""Reminders: seven days and one day before a deadline, once each, to those for whom something still waits."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q

from pitches.models import Offer, Round
from pitches.transitions import EDITABLE_PITCH, OfferState
from pitches.waiting import AT_WORK, waiting_for
from teams.models import Notification, TeamRole, User
from teams.services import notification_send
from teams.waiting import Waiting

WINDOWS = ((7, timedelta(days=7), timedelta(days=6)), (1, timedelta(days=1), timedelta(0)))
"""Days in words, and between which times before a deadline its reminder leaves. A run that comes later than a window
sends none: the last reminder is a day wide, so a day without background work loses at most the first one."""
DEADLINES = ("submissions_close_at", "reviews_close_at", "voting_closes_at", "answers_due_at")


def reminders_send(*, at: datetime | None = None) -> int:
    """Remind everybody of what waits for them and is due in seven days, or in one; returns how many were sent.

    The notice's key names the thing, its deadline and the days: another run sends it no second time, and a deadline
    that moved is reminded of anew.
    """
    now = at or datetime.now(UTC)
    sent = 0
    for person in _people(now):
        for thing in waiting_for(person):
            sent += _remind(person, thing, now)
    return sent


def _people(now: datetime) -> Iterator[User]:
    """Go through those for whom something may be due: committees, and who answers for a team's pitches and offers."""
    soon = Q()
    for _, first, last in WINDOWS:
        for name in DEADLINES:
            soon |= Q(**{f"{name}__gt": now + last, f"{name}__lte": now + first})
    rounds = Round.objects.filter(soon, state__in=AT_WORK)
    offers = Offer.objects.filter(state=OfferState.OPEN, expires_at__gt=now, expires_at__lte=now + WINDOWS[0][1])
    pitching = Q(memberships__team__pitches__round__in=rounds, memberships__team__pitches__state__in=EDITABLE_PITCH)
    people = User.objects.filter(
        Q(seats__round__in=rounds)
        | (Q(memberships__role=TeamRole.LEAD) & (pitching | Q(memberships__team__in=offers.values("pitch__team"))))
        | Q(pitches_owned__round__in=rounds, pitches_owned__state__in=EDITABLE_PITCH),
        is_active=True,
    )
    yield from people.distinct().order_by("pk")


def _remind(person: User, thing: Waiting, now: datetime) -> bool:
    if thing.due is None or not thing.key:
        return False
    left = thing.due - now
    days = next((days for days, first, last in WINDOWS if last < left <= first), None)
    if days is None:
        return False
    key = f"remind:{thing.key}:{thing.due.astimezone(UTC):%Y%m%dT%H%M%S}:{days}"
    if Notification.objects.filter(user=person, key=key).exists():
        return False
    zone = ZoneInfo(settings.TIME_ZONE_LOCAL)
    until = f"{thing.due.astimezone(zone):%-d %B %Y, %H:%M} {zone.key}"
    title = f"{'One day' if days == 1 else f'{days} days'} left: {thing.title}"
    notification_send(user=person, title=title, body=f"{thing.why}. Until {until}.", url=thing.url, key=key)
    return True
