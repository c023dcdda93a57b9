"""What a round asks: its own questions and its checklist, set while it is prepared and fixed when it opens."""

from collections.abc import Sequence

from django.db import transaction

from pitches.asking import Asked, Check, Terms, checklist_check, questions_require
from pitches.models import ChecklistItem, Round, RoundQuestion
from pitches.selectors.asking import terms_of
from pitches.services.locks import round_locked
from pitches.transitions import RoundState
from teams.access import require
from teams.errors import WrongState
from teams.models import User
from teams.services import audit_record


@transaction.atomic
def questions_set(*, actor: User, round_: Round, questions: Sequence[Asked]) -> None:
    """Replace the questions that a round asks beyond the form's own fields.

    Raises NotAllowed, WrongState once the round is open, Refused with a field such as `questions-0-code`.
    """
    round_ = _draft_locked(actor, round_)
    questions_require(questions)
    _questions_write(round_, questions)
    details = {"questions": [question.code for question in questions]}
    audit_record(actor=actor, verb="round.questions_set", target=round_, details=details)


@transaction.atomic
def checklist_set(*, actor: User, round_: Round, checklist: Sequence[Check]) -> None:
    """Replace the compliance checklist of a round.

    Raises NotAllowed, WrongState once the round is open, Refused with a field such as `checklist-0-code`.
    """
    round_ = _draft_locked(actor, round_)
    checklist_check(checklist)
    checklist_write(round_, checklist)
    details = {"checklist": [check.code for check in checklist]}
    audit_record(actor=actor, verb="round.checklist_set", target=round_, details=details)


@transaction.atomic
def terms_set(*, actor: User, round_: Round, terms: Terms) -> None:
    """Replace questions and checklist together. Raises what `questions_set` and `checklist_set` raise."""
    checklist_set(actor=actor, round_=round_, checklist=terms.checklist)
    questions_set(actor=actor, round_=round_, questions=terms.questions)


@transaction.atomic
def terms_copy(*, actor: User, source: Round, target: Round) -> None:
    """Let a round that is prepared ask what another one asks. Raises NotAllowed, WrongState."""
    target = _draft_locked(actor, target)
    terms = terms_of(source)
    checklist_write(target, terms.checklist)
    _questions_write(target, terms.questions)
    details = {"from": source.name, "questions": [question.code for question in terms.questions]}
    audit_record(actor=actor, verb="round.questions_set", target=target, details=details)


def _draft_locked(actor: User, round_: Round) -> Round:
    require(actor, "pitches.change_round", round_, message="Only the chair or finance sets what a round asks.")
    round_ = round_locked(round_)
    if round_.state != RoundState.DRAFT:
        raise WrongState("Questions and checklist are fixed since the round opened.")
    return round_


def checklist_write(round_: Round, checklist: Sequence[Check]) -> None:
    """Write the checklist of a round that is locked, or was just made."""
    ChecklistItem.objects.filter(round=round_).delete()
    ChecklistItem.objects.bulk_create(
        ChecklistItem(
            round=round_, code=check.code, text=check.text.strip(), explain_no=check.explain_no, position=position
        )
        for position, check in enumerate(checklist, start=1)
    )


def _questions_write(round_: Round, questions: Sequence[Asked]) -> None:
    RoundQuestion.objects.filter(round=round_).delete()
    RoundQuestion.objects.bulk_create(
        RoundQuestion(
            round=round_,
            code=question.code,
            section=question.section,
            text=question.text.strip(),
            help=question.help.strip(),
            kind=question.kind,
            choices=list(question.choices),
            required=question.required,
            shown_when=_when(question),
            position=position,
        )
        for position, question in enumerate(questions, start=1)
    )


def _when(question: Asked) -> dict[str, object] | None:
    condition = question.shown_when
    return {"field": condition.field, "is": list(condition.answers)} if condition else None
