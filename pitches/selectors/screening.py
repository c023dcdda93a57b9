"""Screening: what waits for whom, and what was found about a revision."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import F, Q, QuerySet, Value

from pitches.models import Aspect, Finding, Pitch, RoundKind, Screening
from pitches.selectors.conflicts import HasConflict
from pitches.selectors.lists import with_ask
from pitches.transitions import PitchState, RoundState
from teams.models import Role
from teams.selectors import Person, has_role

SCREENED_BY = {Aspect.ESTIMATE: Role.PLATFORM_ADMIN, Aspect.COMPLIANCE: Role.COMPLIANCE}
"""Which role looks at which aspect."""
SCREENABLE_PITCH = frozenset({PitchState.SUBMITTED, PitchState.IN_REVIEW})


def is_screenable(pitch: Pitch) -> bool:
    """Say whether a pitch is at the point where it is screened: in review, or waiting in a fast lane."""
    state = RoundState.OPEN if pitch.round.is_fast_lane else RoundState.REVIEWING
    return pitch.round.state == state and pitch.state in SCREENABLE_PITCH


def aspects_of(user: Person) -> list[Aspect]:
    """Return what somebody screens, by role."""
    return [aspect for aspect, role in SCREENED_BY.items() if has_role(user, role)]


def findings_of(pitches: Iterable[Pitch]) -> dict[int, dict[Aspect, Screening]]:
    """Return by pitch id the newest screening of each aspect of its current revision, in one query."""
    found: dict[int, dict[Aspect, Screening]] = {pitch.pk: {} for pitch in pitches}
    rows = Screening.objects.filter(revision__current_of__in=list(found)).select_related(
        "by", "revision", "carried_from__revision"
    )
    for row in rows.order_by("pk"):
        found[row.revision.pitch_id][Aspect(row.aspect)] = row
    return found


def infeasible(pitches: Iterable[Pitch]) -> list[tuple[Pitch, Screening]]:
    """Return which of some pitches a standing screening found infeasible."""
    listed = list(pitches)
    findings = findings_of(listed)
    return [
        (pitch, screening)
        for pitch in listed
        for screening in findings[pitch.pk].values()
        if screening.finding == Finding.INFEASIBLE
    ]


def unscreened(pitches: Iterable[Pitch]) -> list[tuple[Pitch, list[Aspect]]]:
    """Return which of some pitches lack a screening of their current revision, each with the aspects that it lacks."""
    listed = list(pitches)
    findings = findings_of(listed)
    lacking = [(pitch, [aspect for aspect in Aspect if aspect not in findings[pitch.pk]]) for pitch in listed]
    return [(pitch, aspects) for pitch, aspects in lacking if aspects]


def screenable_to(user: Person) -> QuerySet[Pitch]:
    """Return the pitches that somebody may screen by role, without those they have a conflict about, oldest first."""
    at_work = Q(round__state=RoundState.REVIEWING, round__kind=RoundKind.REGULAR) | Q(
        round__state=RoundState.OPEN, round__kind=RoundKind.FAST_LANE
    )
    rows = Pitch.objects.filter(at_work, state__in=SCREENABLE_PITCH, current__isnull=False)
    if not aspects_of(user) or user.pk is None:
        return rows.none()
    rows = rows.exclude(HasConflict(F("pk"), Value(user.pk)))
    return rows.select_related("team__business_unit", "round", "owner", "current").order_by("pk")


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A pitch in the queue: what was found so far, and what the reader still has to look at."""

    pitch: Pitch
    findings: list[tuple[Aspect, Screening | None]]
    waiting: list[Aspect]


def screening_queue(user: Person) -> list[QueueRow]:
    """Return what somebody screens, what waits for them first; a constant number of queries."""
    pitches = list(with_ask(screenable_to(user)))
    findings, own = findings_of(pitches), aspects_of(user)
    rows = [
        QueueRow(
            pitch=pitch,
            findings=[(aspect, findings[pitch.pk].get(aspect)) for aspect in Aspect],
            waiting=[aspect for aspect in own if aspect not in findings[pitch.pk]],
        )
        for pitch in pitches
    ]
    return sorted(rows, key=lambda row: (not row.waiting, row.pitch.pk))
