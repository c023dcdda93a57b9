"""The calendar of rounds: every deadline that is still to come, in its round's own zone, and what the reader can do."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from django.urls import reverse

from pitches.ics import Event
from pitches.models import Round
from pitches.selectors.lists import offers_waiting
from pitches.selectors.rounds import rounds_seated, rounds_visible_to
from pitches.transitions import RoundState
from teams.models import User
from teams.selectors import teams_of

OVER = (RoundState.SETTLED, RoundState.CANCELLED)
LABELS = {
    "submissions_close_at": "Pitches until",
    "reviews_close_at": "Reviews until",
    "voting_closes_at": "Sealed vote until",
    "answers_due_at": "Offers answered until",
}
FAST_LANE = ("submissions_close_at", "answers_due_at")


@dataclass(frozen=True, slots=True)
class Deadline:
    """One deadline of a round; `todo` and `url` say what the reader can do about it now, empty when nothing."""

    round: Round
    name: str
    at: datetime
    todo: str = ""
    url: str = ""

    @property
    def label(self) -> str:
        """Return what ends."""
        return LABELS[self.name]

    @property
    def local(self) -> datetime:
        """Return the moment by the clocks of the round's zone."""
        return self.at.astimezone(ZoneInfo(self.round.time_zone))


@dataclass(frozen=True, slots=True)
class Month:
    """The deadlines of one month, each by its own zone's calendar."""

    first: date
    deadlines: list[Deadline]


def deadlines_ahead(user: User, *, at: datetime | None = None) -> list[Deadline]:
    """Return every deadline to come of the rounds that somebody sees, the next one first; four queries."""
    now = at or datetime.now(UTC)
    rounds = list(rounds_visible_to(user).exclude(state__in=OVER))
    act = _acts(user)
    found = [
        Deadline(round_, name, getattr(round_, name), *act(round_, name))
        for round_ in rounds
        for name in (FAST_LANE if round_.is_fast_lane else LABELS)
        if getattr(round_, name) > now
    ]
    return sorted(found, key=lambda row: (row.at, row.round.pk, row.name))


def months_ahead(user: User, *, at: datetime | None = None) -> list[Month]:
    """Return the deadlines to come by month."""
    rows = sorted(deadlines_ahead(user, at=at), key=lambda row: (row.local.year, row.local.month, row.at, row.round.pk))
    months = groupby(rows, key=lambda row: date(row.local.year, row.local.month, 1))
    return [Month(first, list(group)) for first, group in months]


def _acts(user: User) -> Callable[[Round, str], tuple[str, str]]:
    seats = frozenset(rounds_seated(user).values_list("pk", flat=True))
    offers = {offer.pitch.round_id: offer.pitch_id for offer in offers_waiting(user)}
    has_team = teams_of(user).exists()

    def act(round_: Round, name: str) -> tuple[str, str]:
        match (name, round_.state):
            case ("submissions_close_at", RoundState.OPEN) if has_team:
                return "Pitch for it", f"{reverse('pitches:new')}?round={round_.pk}"
            case ("reviews_close_at", RoundState.REVIEWING) if round_.pk in seats:
                return "Write your reviews", reverse("admin:pitches_round_desk", args=[round_.pk])
            case ("voting_closes_at", RoundState.VOTING) if round_.pk in seats:
                return "Vote", reverse("admin:pitches_round_ballot", args=[round_.pk])
            case ("answers_due_at", _) if round_.pk in offers:
                return "Answer your offer", reverse("pitches:offer", args=[offers[round_.pk]])
        return "", ""

    return act


def events_ahead(user: User, site: Callable[[str], str], *, at: datetime | None = None) -> list[Event]:
    """Return the deadlines to come as events of a calendar file; `site` makes a whole address of a path."""
    return [
        Event(
            uid=f"round-{row.round.pk}-{row.name}@tank",
            at=row.at,
            summary=f"{row.round.name}: {row.label.lower()}",
            description=f"{row.local:%A %-d %B %Y, %H:%M %Z} ({row.round.time_zone})\n{row.round.get_state_display()}",
            url=site(reverse("pitches:round", args=[row.round.pk])),
        )
        for row in deadlines_ahead(user, at=at)
    ]
