"""Who has a conflict of interest about which pitch: the database's own function, asked from everywhere."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from django.db.models import BooleanField, F, Func, Value

from pitches.models import CoApplicant, Pitch, Recusal, RecusalState, Round
from teams.models import Membership, User
from teams.selectors import Person


class HasConflict(Func):
    """`pitches_has_conflict(pitch id, user id)`: owner, team, head, co-applicant, or a standing recusal."""

    function = "pitches_has_conflict"
    arity = 2
    output_field = BooleanField()


def is_conflicted(user: Person, pitch: Pitch) -> bool:
    """Say whether somebody must stay away from the decision on a pitch, as things stand now."""
    if user.pk is None:
        return True
    return Pitch.objects.filter(HasConflict(F("pk"), Value(user.pk)), pk=pitch.pk).exists()


def conflicted_ids(user: Person, round_: Round) -> frozenset[int]:
    """Return the ids of the pitches of a round that somebody must stay away from."""
    pitches = Pitch.objects.filter(HasConflict(F("pk"), Value(user.pk)), round=round_)
    return frozenset(pitches.values_list("pk", flat=True))


def eligible_members(round_: Round) -> Mapping[int, frozenset[int]]:
    """Return for each pitch of a round the ids of the committee members without a conflict about it."""
    members: dict[int, set[int]] = defaultdict(set)
    for pitch_id, member_id in pairs(round_, conflict=False):
        members[pitch_id].add(member_id)
    return {pitch_id: frozenset(found) for pitch_id, found in members.items()}


def pairs(round_: Round, *, conflict: bool) -> list[tuple[int, int]]:
    """Return (pitch id, member id) of every pitch and seat of a round with, or without, a conflict between them."""
    # An annotation keeps to the join that it began; the same expression inside filter() would begin another one,
    # and pair a pitch with every member as soon as one of them has a conflict.
    seated = Pitch.objects.filter(round=round_).annotate(member=F("round__seats__user_id"))
    judged = seated.annotate(conflict=HasConflict(F("pk"), F("member"))).filter(conflict=conflict)
    return list(judged.exclude(member=None).order_by("pk", "member").values_list("pk", "member"))


def rule_reason(pitch: Pitch, member: User) -> str:
    """Return why a rule recuses a member from a pitch, as a clause about them; empty when none does."""
    unit = pitch.team.business_unit
    if pitch.owner_id == member.pk:
        return "owns the pitch"
    if Membership.objects.filter(team_id=pitch.team_id, user=member).exists():
        return f"belongs to the team {pitch.team.name}"
    if unit.head_id == member.pk:
        return f"heads the business unit {unit.name}"
    if CoApplicant.objects.filter(revision_id=pitch.current_id, user=member).exists():
        return "applies together with the team"
    return ""


def recusals_of(round_: Round, *, hidden: Iterable[int] = ()) -> list[Recusal]:
    """Return the conflicts noted in a round, without those about pitches in `hidden`, by pitch."""
    rows = Recusal.objects.filter(pitch__round=round_).exclude(pitch__in=list(hidden))
    return list(rows.select_related("pitch", "member", "decided_by").order_by("pitch_id", "pk"))


def recusals_standing(user: Person, round_: Round) -> list[Recusal]:
    """Return from which pitches of a round somebody is recused, and why."""
    rows = Recusal.objects.filter(pitch__round=round_, member_id=user.pk, state=RecusalState.RECUSED)
    return list(rows.select_related("pitch", "pitch__team").order_by("pk"))
