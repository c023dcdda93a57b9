"""Who is asked to review what, and who has done it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import F

from pitches.models import Assignment, Pitch, Review, Round
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.rounds import committee_of
from pitches.selectors.seals import sealed_ids
from pitches.transitions import PitchState
from teams.models import User
from teams.selectors import Person


def assignments_standing(round_: Round) -> list[Assignment]:
    """Return the assignments of a round that have not ended, those of withdrawn pitches left out."""
    rows = Assignment.objects.filter(pitch__round=round_, ended_at=None).exclude(pitch__state=PitchState.WITHDRAWN)
    rows = rows.select_related("member", "pitch__current", "pitch__team")
    return list(rows.order_by("pitch_id", "member__name", "pk"))


def pitches_assigned_to(user: Person, round_: Round) -> frozenset[int]:
    """Return the ids of the pitches that somebody is asked to review."""
    rows = Assignment.objects.filter(pitch__round=round_, member_id=user.pk, ended_at=None)
    return frozenset(rows.values_list("pitch_id", flat=True))


def reviewed_pairs(round_: Round) -> frozenset[tuple[int, int]]:
    """Return (pitch id, member id) of every review of a current revision."""
    rows = Review.objects.filter(revision__pitch__round=round_, revision=F("revision__pitch__current"))
    return frozenset(rows.values_list("revision__pitch_id", "reviewer_id"))


@dataclass(frozen=True, slots=True)
class Load:
    """How much one member is asked for."""

    member: User
    asked: int
    done: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Who is asked to review a pitch: (member, whether the review is in)."""

    pitch: Pitch
    members: list[tuple[User, bool]]


def loads_shown_to(user: Person, round_: Round) -> list[Load]:
    """Return for each member of the committee how many reviews they are asked for and how many are in.

    Pitches that the reader has a conflict about are not counted.
    """
    hidden = conflicted_ids(user, round_) | sealed_ids(user, round_)
    asked: Mapping[int, list[int]] = defaultdict(list)
    for assignment in assignments_standing(round_):
        if assignment.pitch_id not in hidden:
            asked[assignment.member_id].append(assignment.pitch_id)
    done = reviewed_pairs(round_)
    return [
        Load(
            member=seat.user,
            asked=len(asked[seat.user_id]),
            done=sum(1 for pitch_id in asked[seat.user_id] if (pitch_id, seat.user_id) in done),
        )
        for seat in committee_of(round_)
    ]


def assignments_shown_to(user: Person, round_: Round) -> list[Asked]:
    """Return who is asked for which pitch, without the pitches that the reader has a conflict about."""
    hidden = conflicted_ids(user, round_) | sealed_ids(user, round_)
    done = reviewed_pairs(round_)
    rows: dict[int, Asked] = {}
    for row in assignments_standing(round_):
        if row.pitch_id not in hidden:
            asked = rows.setdefault(row.pitch_id, Asked(row.pitch, []))
            asked.members.append((row.member, (row.pitch_id, row.member_id) in done))
    return list(rows.values())
