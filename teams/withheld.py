"""What is withheld from whom. Floors above say which lines of the inbox, and which events of the history, are closed
to somebody by now, so that every place that shows them leaves out the same; a floor registers in `AppConfig.ready`.
"""

from collections.abc import Callable
from functools import reduce
from operator import or_

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet

from teams.models import AuditEvent, Notification, User

Person = User | AnonymousUser
Closed = Callable[[Person], Q]
_LINES: list[Closed] = []
_EVENTS: list[Closed] = []


def register(*, lines: Closed, events: Closed) -> None:
    """Add what says which notifications and which audit events are closed to somebody; added again, it stays once."""
    if lines not in _LINES:
        _LINES.append(lines)
    if events not in _EVENTS:
        _EVENTS.append(events)


def lines_open_to(user: Person, rows: QuerySet[Notification]) -> QuerySet[Notification]:
    """Return the notifications among `rows` that may be shown to somebody, or sent to them."""
    return rows.exclude(reduce(or_, (closed(user) for closed in _LINES))) if _LINES else rows


def events_open_to(user: Person, rows: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
    """Return the events among `rows` that somebody may read."""
    return rows.exclude(reduce(or_, (closed(user) for closed in _EVENTS))) if _EVENTS else rows
