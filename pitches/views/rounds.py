"""Rounds: the list, and one round with its calendar, its money and, once published, its decisions."""

from django.http import HttpResponse
from django.shortcuts import render

from pitches.access import may
from pitches.models import Result
from pitches.selectors.lists import published_decisions
from pitches.selectors.pitches import pitches_of_teams, pitches_visible_to
from pitches.selectors.rounds import (
    committee_of,
    open_rounds,
    round_money,
    rounds_visible_to,
    rounds_with_counts,
    seat_of,
)
from pitches.transitions import PRIVATE_PITCH
from teams.access import UserRequest, find_or_404, members_only
from teams.selectors import teams_of


@members_only
def round_list(request: UserRequest) -> HttpResponse:
    """Show every round that the reader may see."""
    rounds = rounds_with_counts(rounds_visible_to(request.user))
    return render(request, "pitches/rounds.html", {"rounds": rounds, "can_pitch": _can_pitch(request)})


def _can_pitch(request: UserRequest) -> bool:
    return teams_of(request.user).exists() and open_rounds().exists()


@members_only
def round_page(request: UserRequest, pk: int) -> HttpResponse:
    """Show one round."""
    round_ = find_or_404(rounds_visible_to(request.user), request.user, "pitches.view_round", pk=pk)
    shown = pitches_visible_to(request.user).filter(round=round_)
    context = {
        "round": round_,
        "money": round_money(round_),
        "committee": committee_of(round_),
        "criteria": round_.criteria.order_by("position"),
        "decisions": published_decisions(round_),
        "has_results": Result.objects.filter(pitch__round=round_).exists(),
        "visible": frozenset(shown.values_list("pk", flat=True)),
        "pitch_count": round_.pitches.exclude(state__in=[*PRIVATE_PITCH, "withdrawn"]).count(),
        "own": pitches_of_teams(request.user).filter(round=round_),
        "seat": seat_of(request.user, round_),
        "may_peek": may(request.user, "pitches.peek_round", round_),
        "takes_pitches": open_rounds().filter(pk=round_.pk).exists(),
        "can_pitch": teams_of(request.user).exists(),
    }
    return render(request, "pitches/round.html", context)
