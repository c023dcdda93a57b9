"""The minutes of a round: to read, to print, and as CSV."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from zoneinfo import ZoneInfo

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from ledger.exports import Cell, csv_response
from pitches.admin.pages import page, round_or_404
from pitches.models import BoardMove
from pitches.selectors.minutes import Entry, Minutes, minutes_of
from teams.access import UserRequest

HEADER = (
    "at", "local_time", "who", "kind", "what", "pitch", "cap_usd", "price_usd", "in", "cost_usd", "worth_usd", "proved",
)  # fmt: skip


def minutes(request: UserRequest, pk: int) -> HttpResponse:
    """Show the minutes, by day in the round's time zone."""
    found = minutes_of(request.user, round_or_404(request, pk, "pitches.view_minutes"))
    zone = ZoneInfo(found.round.time_zone)
    told = [(entry, entry.at.astimezone(zone)) for entry in found.shown]
    days = [(day, list(rows)) for day, rows in groupby(told, key=lambda one: one[1].date())]
    context = {"round": found.round, "tab": "minutes", "minutes": found, "days": days}
    return page(request, "minutes.html", f"{found.round}: minutes", context)


def minutes_csv(request: UserRequest, pk: int) -> HttpResponseBase:
    """Export the minutes, every move on a line of its own."""
    found = minutes_of(request.user, round_or_404(request, pk, "pitches.view_minutes"))
    return csv_response(f"round-{pk}-minutes.csv", HEADER, _cells(found))


def _cells(found: Minutes) -> Iterator[Sequence[Cell]]:
    zone = ZoneInfo(found.round.time_zone)
    for entry in found.entries:
        local = entry.at.astimezone(zone)
        yield entry.at, f"{local:%Y-%m-%d %H:%M:%S}", entry.who, entry.kind, entry.text, *_figures(found, entry)


def _figures(found: Minutes, entry: Entry) -> Sequence[Cell]:
    move: BoardMove | None = entry.move
    title = move.pitch.submitted.title if move is not None and move.pitch is not None else ""
    if move is None or move.worth is None:
        return title, None, None, None, None, None, ""
    if not found.is_whole:
        return title, move.cap, None, None, None, None, ""
    return title, move.cap, move.price, move.chosen, move.cost, move.worth, "yes" if move.proved else "no"
