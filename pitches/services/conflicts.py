"""Committee seats and conflicts of interest: found by rule, waived with a plan or dismissed.

Members declare their own in `services/declarations.py`.
"""

from django.db import transaction

from pitches.access import require_member
from pitches.models import CommitteeSeat, Pitch, Recusal, RecusalKind, RecusalState, RecusalType, Round
from pitches.selectors.conflicts import pairs, rule_reason, rule_type
from pitches.services.assignments import assignments_make
from pitches.services.locks import pitch_locked, round_locked
from pitches.transitions import COMMITTEE_AT_WORK, RoundState
from teams.access import require
from teams.errors import SHORTEST_REASON, NotAllowed, Refused, WrongState, require_reason
from teams.models import Role, User
from teams.selectors import has_role
from teams.services import audit_record


@transaction.atomic
def seat_set(*, actor: User, round_: Round, user: User, is_chair: bool = False) -> CommitteeSeat:
    """Give somebody a seat in a round's committee, as chair or not; before the vote only.

    Raises NotAllowed, WrongState, Refused (not_committee, second_chair).
    """
    require(actor, "pitches.change_round", message="Only the chair or finance forms the committee.")
    round_ = round_locked(round_)
    _require_before_vote(round_)
    if not has_role(user, Role.COMMITTEE, Role.CHAIR):
        raise Refused(f"{user} does not have the role of a committee member.", code="not_committee", field="user")
    chair = CommitteeSeat.objects.filter(round=round_, is_chair=True).exclude(user=user)
    if is_chair and chair.exists():
        raise Refused("The committee has a chair already.", code="second_chair", field="is_chair")
    seat, _ = CommitteeSeat.objects.update_or_create(round=round_, user=user, defaults={"is_chair": is_chair})
    audit_record(actor=actor, verb="round.seat_set", target=round_, details={"user": user.email, "chair": is_chair})
    recusals_find(actor=actor, round_=round_)
    assignments_make(actor=actor, round_=round_)
    return seat


@transaction.atomic
def seat_remove(*, actor: User, seat: CommitteeSeat, reason: str) -> None:
    """Take a seat away before the vote. Raises NotAllowed, WrongState, Refused (reason_missing)."""
    require(actor, "pitches.change_round", message="Only the chair or finance forms the committee.")
    round_ = round_locked(seat.round)
    _require_before_vote(round_)
    require_words(reason, "reason")
    seat.delete()
    audit_record(actor=actor, verb="round.seat_remove", target=round_, reason=reason, details={"user": seat.user.email})
    assignments_make(actor=actor, round_=round_)


def _require_before_vote(round_: Round) -> None:
    if round_.state not in {RoundState.DRAFT, RoundState.OPEN, RoundState.REVIEWING}:
        raise WrongState("The committee is fixed once voting has begun.")


def recusals_find(*, actor: User, round_: Round) -> list[Recusal]:
    """Note every conflict that a rule finds and nobody noted yet; call it with the round locked."""
    noted = set(Recusal.objects.filter(pitch__round=round_).values_list("pitch_id", "member_id"))
    missing = [pair for pair in pairs(round_, conflict=True) if pair not in noted]
    stated = Pitch.objects.select_related("team__business_unit", "owner")
    pitches = stated.in_bulk([pitch_id for pitch_id, _ in missing])
    people = User.objects.in_bulk([member_id for _, member_id in missing])
    return [_recuse_by_rule(actor, pitches[pitch_id], people[member_id]) for pitch_id, member_id in missing]


def _recuse_by_rule(actor: User, pitch: Pitch, member: User) -> Recusal:
    found = rule_type(pitch, member) or RecusalType.OTHER
    reason = f"{member.name} {rule_reason(pitch, member, found)}."
    recusal = Recusal.objects.create(pitch=pitch, member=member, kind=RecusalKind.RULE, type=found, reason=reason)
    details = {"member": member.email, "kind": RecusalKind.RULE.value, "type": found.value}
    audit_record(actor=actor, verb="pitch.recuse", target=pitch, reason=reason, details=details)
    return recusal


def recusal_waive(*, actor: User, recusal: Recusal, plan: str) -> Recusal:
    """Let a member take part in spite of a declared conflict, with a plan that contains it.

    Raises NotAllowed, WrongState, Refused (reason_missing, by_rule).
    """
    return _judge(actor, recusal, RecusalState.WAIVED, plan)


def recusal_dismiss(*, actor: User, recusal: Recusal, plan: str) -> Recusal:
    """Find that a declared conflict is none, with the reason in `plan`.

    Raises NotAllowed, WrongState, Refused (reason_missing, by_rule).
    """
    return _judge(actor, recusal, RecusalState.DISMISSED, plan)


@transaction.atomic
def _judge(actor: User, recusal: Recusal, state: RecusalState, plan: str) -> Recusal:
    pitch = pitch_locked(recusal.pitch)
    require_member(
        actor,
        "pitches.judge_conflict",
        pitch,
        message="The chair judges conflicts, and where the chair has one too another member without one.",
    )
    require_at_work(pitch.round)
    require_words(plan, "plan")
    recusal = Recusal.objects.select_for_update(of=("self",)).select_related("member").get(pk=recusal.pk)
    if recusal.member_id == actor.pk:
        raise NotAllowed("Nobody judges their own conflict.")
    if recusal.kind == RecusalKind.RULE:
        raise Refused("A conflict that a rule found cannot be waived.", code="by_rule")
    recusal.state, recusal.plan, recusal.decided_by = state, plan.strip(), actor
    recusal.save()
    details = {"member": recusal.member.email, "to": state.value}
    audit_record(actor=actor, verb="pitch.conflict_judge", target=pitch, reason=plan, details=details)
    return recusal


def require_at_work(round_: Round) -> None:
    """Let a service go on only while the committee can still change something; raises WrongState."""
    if round_.state not in COMMITTEE_AT_WORK:
        raise WrongState("The committee has finished with this round.")


def require_words(text: str, field: str) -> None:
    """Let a service go on only with a reason of some length; raises Refused (reason_missing) for the field."""
    message = f"Say it in at least {SHORTEST_REASON} characters."
    require_reason(text, message, least=SHORTEST_REASON, field=field)
