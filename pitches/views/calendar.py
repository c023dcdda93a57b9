"""The calendar of rounds: a page by month, and the same as a file for other calendars."""

from datetime import UTC, datetime

from django.http import HttpResponse
from django.shortcuts import render

from pitches import ics
from pitches.selectors.calendar import events_ahead, months_ahead
from teams.access import UserRequest, members_only


@members_only
def calendar_page(request: UserRequest) -> HttpResponse:
    """Show every deadline to come of the rounds that the reader sees."""
    return render(request, "pitches/calendar.html", {"months": months_ahead(request.user)})


@members_only
def calendar_file(request: UserRequest) -> HttpResponse:
    """Answer with the same deadlines as an iCalendar file."""
    return calendar_answer(request)


def calendar_answer(request: UserRequest) -> HttpResponse:
    """Return the reader's deadlines as a file to keep."""
    events = events_ahead(request.user, request.build_absolute_uri)
    body = ics.calendar("Tank rounds", events, stamped_at=datetime.now(UTC))
    headers = {"Content-Disposition": 'attachment; filename="tank-rounds.ics"'}
    return HttpResponse(body, content_type="text/calendar; charset=utf-8", headers=headers)
