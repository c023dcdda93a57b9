"""Declarations: what members say about their own conflicts, for a whole round at once or about one pitch."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction

from pitches.access import require_member
from pitches.models import Declaration, DeclarationAnswer, Pitch, Recusal, RecusalKind, RecusalState, RecusalType, Round
from pitches.selectors.conflicts import declarable, undeclared
from pitches.services.assignments import assignments_make
from pitches.services.conflicts import require_at_work, require_words
from pitches.services.locks import pitch_locked, round_locked
from pitches.services.notices import tell_who_judges
from teams.errors import Refused
from teams.models import User
from teams.services import audit_record


@dataclass(frozen=True, slots=True)
class ConflictAnswer:
    """What a member says about one pitch: a type of conflict with its reason; without a type, that there is none."""

    type: RecusalType | None = None
    reason: str = ""


@transaction.atomic
def declaration_make(*, actor: User, round_: Round, answers: Mapping[int, ConflictAnswer]) -> Declaration:
    """Declare for a round at once, `answers` by pitch id; reviews and ballots open for the actor with it.

    Every submitted pitch about which the actor has said nothing yet, and no rule found anything, needs an answer; one
    that was answered can be answered anew. Raises NotAllowed, WrongState, Refused (answer_missing, reason_missing,
    not_in_round).
    """
    round_ = round_locked(round_)
    require_member(actor, "pitches.sit_round", round_, message="Only members of the committee declare conflicts.")
    require_at_work(round_)
    pitches = {pitch.pk: pitch for pitch in declarable(actor, round_).select_related("round")}
    if strange := answers.keys() - pitches.keys():
        message = "There is nothing to declare about one of these pitches."
        raise Refused(message, code="not_in_round", field=_field(strange))
    if missing := {pitch.pk for pitch in undeclared(actor, round_)} - answers.keys():
        message = "Say of every pitch whether you have a conflict about it."
        raise Refused(message, code="answer_missing", field=_field(missing))
    for pk, answer in answers.items():
        if answer.type is not None:
            require_words(answer.reason, f"reason-{pk}")
    declaration = _declare(actor, round_, answers)
    for pk, answer in answers.items():
        if answer.type is not None:
            _recuse(actor, pitches[pk], answer.type, answer.reason)
    return declaration


def _field(pitches: set[int]) -> str:
    return f"type-{min(pitches)}"


@transaction.atomic
def recusal_declare(
    *, actor: User, pitch: Pitch, reason: str, conflict_type: RecusalType = RecusalType.OTHER
) -> Recusal:
    """Step aside from a pitch: from now on it is closed to the actor, and their input does not count.

    Raises NotAllowed, WrongState, Refused (reason_missing, recused_already).
    """
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.declare_conflict", pitch, message="Only members of the committee declare conflicts.")
    require_at_work(pitch.round)
    require_words(reason, "reason")
    if Recusal.objects.filter(pitch=pitch, member=actor, state=RecusalState.RECUSED).exists():
        raise Refused("You are recused from this pitch already.", code="recused_already")
    _declare(actor, pitch.round, {pitch.pk: ConflictAnswer(conflict_type, reason)})
    return _recuse(actor, pitch, conflict_type, reason)


def _declare(actor: User, round_: Round, answers: Mapping[int, ConflictAnswer]) -> Declaration:
    declaration = Declaration.objects.create(round=round_, member=actor)
    DeclarationAnswer.objects.bulk_create(
        DeclarationAnswer(
            declaration=declaration,
            pitch_id=pk,
            type=answer.type or "",
            reason=answer.reason.strip() if answer.type else "",
        )
        for pk, answer in answers.items()
    )
    conflicts = sum(answer.type is not None for answer in answers.values())
    details = {"pitches": len(answers), "conflicts": conflicts}
    audit_record(actor=actor, verb="round.declare", target=declaration, details={"round": round_.pk, **details})
    return declaration


def _recuse(actor: User, pitch: Pitch, conflict_type: RecusalType, reason: str) -> Recusal:
    recusal, _ = Recusal.objects.update_or_create(
        pitch=pitch,
        member=actor,
        defaults={
            "kind": RecusalKind.DECLARED,
            "type": conflict_type,
            "state": RecusalState.RECUSED,
            "reason": reason.strip(),
            "plan": "",
            "decided_by": None,
        },
    )
    details = {"member": actor.email, "kind": RecusalKind.DECLARED.value, "type": conflict_type.value}
    audit_record(actor=actor, verb="pitch.recuse", target=pitch, reason=reason, details=details)
    assignments_make(actor=actor, round_=pitch.round)
    about = pitch.number if pitch.round.is_sealed else pitch.current or pitch
    tell_who_judges(pitch, f"{actor.name} declared a conflict about {about}")
    return recusal
