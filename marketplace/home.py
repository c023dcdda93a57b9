"""The home page: what waits for somebody, and how their money stands. The one page that looks into every floor."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from allocations.models import Allocation
from allocations.selectors import pages as allocation_pages
from ledger.selectors.year import year_figures
from ledger.waiting import many
from ledger.waiting import things_waiting as finance_waiting
from pitches.models import Round
from pitches.selectors.desk import desk_of
from pitches.selectors.lists import next_step, offers_waiting
from pitches.selectors.offers import counters_to_answer
from pitches.selectors.pitches import pitches_of_teams
from pitches.selectors.rounds import RoundMoney, open_rounds, round_money, rounds_seated
from pitches.transitions import PitchState, RoundState
from teams.access import UserRequest, members_only
from teams.models import User
from teams.selectors import inbox, standing, teams_of

MOST = 6
LIVE_ROUNDS = (RoundState.OPEN, RoundState.REVIEWING, RoundState.VOTING, RoundState.DECIDING, RoundState.PUBLISHED)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing to do: what, why, where, and by when if there is a date."""

    title: str
    why: str
    url: str
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class RoundCard:
    """A round that somebody decides in, and how its cap stands."""

    round: Round
    money: RoundMoney


@require_safe
@members_only
def home(request: UserRequest) -> HttpResponse:
    """Show what waits for somebody and how their money stands, by role."""
    user = request.user
    sees_year = user.has_perm("ledger.view_ledger")
    seated = list(rounds_seated(user).filter(state__in=LIVE_ROUNDS)[:MOST])
    context = {
        "waiting": list(things_waiting(user, seated)),
        "unread": [line for line in inbox(user, limit=MOST) if line.read_at is None],
        "allocations": list(own_allocations(user)[:MOST]),
        "has_team": bool(standing(user).teams or standing(user).units),
        "rounds": [RoundCard(one, round_money(one)) for one in seated],
        "open_rounds": list(open_rounds()[:MOST]),
        "may_pitch": teams_of(user).exists(),
        "sees_year": sees_year,
        "year": year_figures() if sees_year else None,
    }
    return render(request, "home.html", context)


def own_allocations(user: User) -> QuerySet[Allocation]:
    """Return the live allocations of somebody's own teams and headed units, with figures."""
    own = standing(user)
    rows = Allocation.objects.filter(team__in=[pk for pk, _ in own.teams]) | Allocation.objects.filter(
        team__business_unit__in=own.units
    )
    return allocation_pages.with_figures(allocation_pages.live(rows))


def things_waiting(user: User, seated: Iterable[Round]) -> Iterator[Waiting]:
    """Go through what somebody has to do: as a member of a team, of a committee, of finance."""
    yield from _offers(user)
    yield from _pitches(user)
    for one in seated:
        yield from _committee(user, one)
    if user.has_perm("ledger.view_ledger"):
        yield from _finance(user)


def _offers(user: User) -> Iterator[Waiting]:
    for offer in offers_waiting(user)[:MOST]:
        yield Waiting(
            f"Answer the offer for {offer.pitch.title}",
            f"{offer.pitch.team} · {offer.pitch.round.name}",
            reverse("pitches:offer", args=[offer.pitch_id]),
            offer.expires_at,
        )


def _pitches(user: User) -> Iterator[Waiting]:
    unfinished = pitches_of_teams(user).filter(state__in=[PitchState.RETURNED, PitchState.DRAFT])
    for pitch in unfinished.order_by("-state", "round__submissions_close_at", "-pk")[:MOST]:
        yield Waiting(
            pitch.title or "A pitch without a title",
            f"{next_step(pitch)} · {pitch.team} · {pitch.round.name}",
            reverse("pitches:pitch", args=[pitch.pk]),
            pitch.round.submissions_close_at,
        )


def _committee(user: User, one: Round) -> Iterator[Waiting]:
    if one.state == RoundState.PUBLISHED and (count := counters_to_answer(user, one)):
        title = f"{many(count, 'counter-offer')} to answer"
        yield Waiting(title, one.name, reverse("admin:pitches_round_offers", args=[one.pk]))
    if one.state not in {RoundState.REVIEWING, RoundState.VOTING, RoundState.DECIDING}:
        return
    desk, url = desk_of(user, one), reverse("admin:pitches_round_desk", args=[one.pk])
    if one.state == RoundState.REVIEWING and desk.to_review:
        yield Waiting(f"{many(desk.to_review, 'review')} to write", one.name, url, one.reviews_close_at)
    if one.state == RoundState.VOTING and desk.to_vote:
        yield Waiting(f"{many(desk.to_vote, 'ballot')} to cast", one.name, url, one.voting_closes_at)
    if one.state == RoundState.DECIDING and desk.undecided and user.has_perm("pitches.run_round", one):
        yield Waiting(f"{many(desk.undecided, 'pitch', 'pitches')} to decide", one.name, url)


def _finance(user: User) -> Iterator[Waiting]:
    for thing in finance_waiting():
        if user.has_perm(thing.permission):
            yield Waiting(thing.title, thing.why, thing.url)
