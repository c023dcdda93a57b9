"""Who has a conflict of interest about which pitch: the database's own function, asked from everywhere."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db.models import BooleanField, CharField, F, Func, Max, QuerySet, Value

from pitches.models import Declaration, DeclarationAnswer, Pitch, Recusal, RecusalState, RecusalType, Round
from pitches.selectors.rounds import chairs_of
from pitches.transitions import PRIVATE_PITCH, PitchState
from teams.models import User
from teams.selectors import Person


class HasConflict(Func):
    """`pitches_has_conflict(pitch id, user id)`: a rule that finds one, or a recusal that stands."""

    function = "pitches_has_conflict"
    arity = 2
    output_field = BooleanField()


class RuleConflict(Func):
    """`pitches_rule_conflict(pitch id, user id)`: the type of conflict that a rule finds now; NULL for none."""

    function = "pitches_rule_conflict"
    arity = 2
    output_field = CharField()


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


def rule_type(pitch: Pitch, member: Person) -> RecusalType | None:
    """Return the type of conflict that a rule finds between a pitch and a member now; None where none does."""
    rows = Pitch.objects.filter(pk=pitch.pk).annotate(found=RuleConflict(F("pk"), Value(member.pk)))
    found = rows.values_list("found", flat=True).first()
    return RecusalType(found) if found else None


def rule_reason(pitch: Pitch, member: User, found: RecusalType | None, *, you: bool = False) -> str:
    """Return why a rule recuses a member from a pitch, as a clause about them or, with `you`, to them."""
    unit = pitch.team.business_unit
    below = found == RecusalType.REPORTING_LINE and unit.head_id != member.pk
    words = {
        RecusalType.OWNER: ("own the pitch", "owns the pitch"),
        RecusalType.SAME_TEAM: (f"belong to the team {pitch.team.name}", f"belongs to the team {pitch.team.name}"),
        RecusalType.REPORTING_LINE: (f"head the business unit {unit.name}", f"heads the business unit {unit.name}"),
        RecusalType.CO_APPLICANT: ("apply with the team", "applies with the team"),
        RecusalType.SIGN_OFF: ("answer for the value of the pitch", "answers for the value of the pitch"),
    }
    if below:
        head = f"to a business unit that {pitch.owner.name} heads, who owns the pitch"
        words[RecusalType.REPORTING_LINE] = (f"belong {head}", f"belongs {head}")
    return words[found][0 if you else 1] if found in words else ""


def why_recused(pitch: Pitch, user: User) -> str:
    """Return why somebody is recused from a pitch, in a sentence to them; empty when they are not."""
    recusal = Recusal.objects.filter(pitch=pitch, member_id=user.pk, state=RecusalState.RECUSED).first()
    if recusal is not None:
        return recusal.reason
    found = rule_type(pitch, user)
    return f"You {rule_reason(pitch, user, found, you=True)}." if found else ""


def has_declared(user: Person, pitch: Pitch) -> bool:
    """Say whether a member has declared about a pitch: that they have a conflict, or that they have none."""
    return DeclarationAnswer.objects.filter(pitch=pitch, declaration__member_id=user.pk).exists()


def declared_at(round_: Round) -> dict[int, datetime]:
    """Return when each member of a round last declared, by user id."""
    rows = Declaration.objects.filter(round=round_).values_list("member").annotate(last=Max("at"))
    return dict(rows)


def undeclared(user: Person, round_: Round) -> QuerySet[Pitch]:
    """Return the submitted pitches of a round about which a member has no conflict yet and did not declare any."""
    answered = DeclarationAnswer.objects.filter(declaration__member_id=user.pk, pitch__round=round_)
    return declarable(user, round_).exclude(pk__in=answered.values("pitch"))


def declarable(user: Person, round_: Round) -> QuerySet[Pitch]:
    """Return the submitted pitches of a round from which a member is not recused, by number; none while it is sealed.

    Who may not know yet what came in has nothing to declare about it.
    """
    if round_.is_sealed:
        return Pitch.objects.none()
    left_out = [*PRIVATE_PITCH, PitchState.WITHDRAWN]
    pitches = Pitch.objects.filter(round=round_, current__isnull=False).exclude(state__in=left_out)
    return pitches.exclude(HasConflict(F("pk"), Value(user.pk))).select_related("team", "current").order_by("pk")


def judged_by(user: Person, round_: Round) -> frozenset[int]:
    """Return the ids of the pitches of a round whose conflicts somebody may judge.

    The chair judges; where the chair has a conflict about the pitch, any other member without one.
    """
    chairs = {chair.pk for chair in chairs_of(round_)}
    eligible = eligible_members(round_)
    mine = {pk: members for pk, members in eligible.items() if user.pk in members}
    return frozenset(pk for pk, members in mine.items() if user.pk in chairs or not chairs & members)


def recusals_of(round_: Round, *, hidden: Iterable[int] = ()) -> list[Recusal]:
    """Return the conflicts noted in a round, without those about pitches in `hidden`, by pitch."""
    rows = Recusal.objects.filter(pitch__round=round_).exclude(pitch__in=list(hidden))
    return list(rows.select_related("pitch", "member", "decided_by").order_by("pitch_id", "pk"))


def recusals_standing(user: Person, round_: Round) -> list[Recusal]:
    """Return from which pitches of a round somebody is recused, and why."""
    rows = Recusal.objects.filter(pitch__round=round_, member_id=user.pk, state=RecusalState.RECUSED)
    return list(rows.select_related("pitch", "pitch__team").order_by("pk"))


def answers_of(user: Person, round_: Round) -> dict[int, DeclarationAnswer]:
    """Return what somebody last declared about each pitch of a round, by pitch id."""
    rows = DeclarationAnswer.objects.filter(declaration__member_id=user.pk, pitch__round=round_).order_by("pk")
    return {answer.pitch_id: answer for answer in rows}
