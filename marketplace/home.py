"""The home page: what waits for somebody, and how their money stands. The one page that looks into every floor."""

from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from allocations.models import Allocation
from allocations.selectors import pages as allocation_pages
from ledger.selectors.year import year_figures
from pitches.models import Round
from pitches.selectors.rounds import RoundMoney, open_rounds, round_money, rounds_seated
from pitches.transitions import RoundState
from teams.access import UserRequest, members_only
from teams.models import User
from teams.selectors import inbox, standing, teams_of
from teams.waiting import things_waiting

MOST = 6
LIVE_ROUNDS = (RoundState.OPEN, RoundState.REVIEWING, RoundState.VOTING, RoundState.DECIDING, RoundState.PUBLISHED)


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
        "waiting": list(things_waiting(user)),
        "unread": inbox(user, limit=MOST, unread=True),
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
