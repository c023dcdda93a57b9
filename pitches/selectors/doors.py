"""What is closed to whom outside the pages of pitches: lines of the inbox, and events of the history.

A member who must stay away from a pitch reads nothing about it that was meant for its committee. And nobody without a
seat reads what the committee thinks, tentative decisions first of all, before the round is published.
"""

from typing import Any

from django.db.models import CharField, F, Q, QuerySet, Value
from django.db.models.functions import Cast

from pitches.models import Pitch, Round
from pitches.selectors.conflicts import HasConflict
from pitches.selectors.rounds import rounds_seated
from pitches.transitions import DECISIONS_PUBLIC
from teams.selectors import Person

SEALED_VERBS = frozenset({"pitch.decide", "pitch.override_propose", "pitch.override_sign", "pitch.override_withdraw"})
"""Events of a pitch that say what the committee thinks of it."""
BOARD_VERBS = frozenset({"round.board", "round.note"})
"""Events of a round that say what the committee tries out at the board; their details may name a pitch."""
PITCH, ROUND = "pitches.pitch", "pitches.round"
OF_COMMITTEE = ("pitches.review", "pitches.ballot", "pitches.remark", "pitches.threadmessage", ROUND)
"""Types of objects of which an event's details may name the pitch."""


def _recused(user: Person) -> QuerySet[Pitch]:
    return Pitch.objects.filter(HasConflict(F("pk"), Value(user.pk)), round__in=rounds_seated(user).values("pk"))


def _as_text(rows: QuerySet[Pitch] | QuerySet[Round]) -> QuerySet[Any, str]:
    return rows.annotate(text=Cast("pk", CharField())).values_list("text", flat=True)


def closed_lines(user: Person) -> Q:
    """Return which notifications are closed to somebody: the committee's about what they must stay away from."""
    return Q(about_type=PITCH, about_id__in=_as_text(_recused(user)))


def closed_events(user: Person) -> Q:
    """Return which events are closed to somebody, until the round is published."""
    undecided = ~Q(round__state__in=DECISIONS_PUBLIC)
    recused = _recused(user).filter(undecided)
    seated = rounds_seated(user).values("pk")
    outside = Pitch.objects.filter(undecided).exclude(round__in=seated)
    deliberating = Round.objects.exclude(state__in=DECISIONS_PUBLIC).exclude(pk__in=seated)
    # Why a vote opened without a screening is told beside what was not screened.
    unscreened = Q(object_type=ROUND, verb="round.vote", details__has_key="unscreened")
    return (
        Q(object_type=PITCH, object_id__in=_as_text(recused))
        | Q(object_type__in=OF_COMMITTEE, details__pitch__in=list(recused.values_list("pk", flat=True)))
        | unscreened & Q(object_id__in=_as_text(Round.objects.filter(pk__in=recused.values("round"))))
        | Q(object_type=PITCH, verb__in=SEALED_VERBS, object_id__in=_as_text(outside))
        | Q(object_type=ROUND, verb__in=BOARD_VERBS, object_id__in=_as_text(deliberating))
    )
