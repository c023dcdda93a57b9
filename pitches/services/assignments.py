"""Assignments: each pitch to as many members as the round says, free of conflicts and evenly; and reminders."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from django.urls import reverse

from pitches import sealing
from pitches.assignment import Pair, assign
from pitches.models import Assignment, Round
from pitches.selectors.assignments import assignments_standing
from pitches.selectors.conflicts import eligible_members
from pitches.transitions import PitchState, RoundState
from teams.models import User
from teams.services import audit_record, notification_send


def assignments_make(*, actor: User, round_: Round, tell: bool = True) -> list[Assignment]:
    """Ask members to review what is in review; who is asked already stays asked. Call it with the round locked.

    An assignment ends when its member has a conflict, or no seat any more, and only then another one is asked.
    """
    if round_.state != RoundState.REVIEWING:
        return []
    eligible = eligible_members(round_)
    held = _end_lost(actor, round_, eligible)
    waiting = set(round_.pitches.filter(state=PitchState.IN_REVIEW).values_list("pk", flat=True))
    asked = waiting | {pitch_id for pitch_id, _ in held}
    pairs = assign(
        {pitch_id: eligible.get(pitch_id, frozenset()) for pitch_id in asked},
        each=round_.reviews_per_pitch,
        seed=sealing.seed_open(bytes(round_.seed_sealed)),
        held=held,
    )
    made = Assignment.objects.bulk_create(
        Assignment(pitch_id=pitch_id, member_id=member_id) for pitch_id, member_id in sorted(pairs - held)
    )
    if made:
        audit_record(actor=actor, verb="round.assign", target=round_, details={"assignments": len(made)})
    if tell:
        _tell_asked(round_, Counter(row.member_id for row in made))
    return made


def _end_lost(actor: User, round_: Round, eligible: Mapping[int, frozenset[int]]) -> set[Pair]:
    held: set[Pair] = set()
    for row in assignments_standing(round_):
        if row.member_id in eligible.get(row.pitch_id, frozenset()):
            held.add((row.pitch_id, row.member_id))
            continue
        row.ended_at, row.end_reason = datetime.now(UTC), "The member has a conflict, or no seat any more."
        row.save()
        details = {"member": row.member.email}
        audit_record(actor=actor, verb="pitch.unassign", target=row.pitch, reason=row.end_reason, details=details)
    return held


def _tell_asked(round_: Round, counts: Counter[int]) -> None:
    url = reverse("admin:pitches_round_desk", args=[round_.pk])
    for person in User.objects.filter(pk__in=counts).order_by("pk"):
        count = counts[person.pk]
        title = f"{round_.name}: you are asked to review {count} more {'pitch' if count == 1 else 'pitches'}"
        notification_send(user=person, title=title, url=url)
