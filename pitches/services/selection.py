"""The exact choice: locked inputs, solved and checked by two programmes, stored for ever, then made into decisions."""

import json
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from ledger.models import Tier
from pitches.access import may, require_member
from pitches.choosing import Inputs, Tell, canonical, tell_nobody
from pitches.models import Adoption, Decision, DecisionLine, Pitch, Round, Selection, SelectionKind
from pitches.selection.problem import Infeasible
from pitches.selectors.conflicts import conflicted_ids
from pitches.selectors.inputs import inputs_text
from pitches.selectors.selection import decided, latest_final, pitch_results
from pitches.services.locks import round_locked
from pitches.services.options import options_make
from pitches.transitions import PitchState, RoundState
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import User
from teams.services import audit_record

SOLVER = f"HiGHS {version('highspy')}"
CENT = Decimal(100)


def selection_run(
    *,
    actor: User,
    round_: Round,
    kind: SelectionKind = SelectionKind.FINAL,
    forced: Sequence[dict[str, Any]] = (),
) -> Selection:
    """Lock the inputs, choose exactly, check with the second programme, and store both texts with their SHA-256.

    A final choice is bound by the signed overrides; `forced` adds others to a preview, as `inputs.forced_of` writes
    them. Run again with nothing changed it returns the choice that is there. It computes while the caller waits, and
    holds no lock meanwhile; pages and programs ask with `choice_ask`. Raises NotAllowed, WrongState, Refused
    (infeasible, check_failed, forced_final, changed).
    """
    if forced and kind == SelectionKind.FINAL:
        raise Refused("What is adopted departs from the best set by a signed override only.", code="forced_final")
    inputs, again = inputs_locked(actor=actor, round_=round_, kind=kind, forced=forced)
    return again or selection_store(
        actor=actor, round_=round_, kind=kind, inputs=inputs, result=computed(inputs), forced=forced
    )


@transaction.atomic
def inputs_locked(
    *, actor: User, round_: Round, kind: SelectionKind, forced: Sequence[dict[str, Any]] = ()
) -> tuple[str, Selection | None]:
    """Return what a choice rests on now, and the choice that was made from just that; makes offers where they miss.

    Raises NotAllowed, WrongState.
    """
    permission = "pitches.run_round" if kind == SelectionKind.FINAL else "pitches.sit_round"
    require_member(actor, permission, round_, message="Only the chair runs the choice that is adopted.")
    round_ = _deciding(round_)
    if conflicted_ids(actor, round_) & {row["pitch"] for row in forced}:
        raise NotAllowed("You are recused from a pitch that this is about.")
    options_make(actor=actor, round_=round_)
    inputs = _with_forced(inputs_text(round_), forced)
    same = Selection.objects.filter(round=round_, kind=kind, inputs_sha256=sha256_of(inputs))
    return inputs, same.order_by("-number").first()


def _deciding(round_: Round) -> Round:
    round_ = round_locked(round_)
    if round_.state != RoundState.DECIDING:
        raise WrongState("The choice is made once voting has closed and before the decisions are published.")
    return round_


def _with_forced(text: str, forced: Sequence[dict[str, Any]]) -> str:
    if not forced:
        return text
    said = json.loads(text)
    named = {row["pitch"] for row in forced}
    kept = [row for row in said["forced"] if row["pitch"] not in named]
    return canonical(said | {"forced": sorted([*kept, *forced], key=lambda row: int(row["pitch"]))})


def computed(inputs: str, tell: Tell = tell_nobody) -> str:
    """Return the result of locked inputs; `tell` hears how far it is. Raises Refused (infeasible, check_failed)."""
    from pitches.verdicts import CheckFailed, result_text  # loads slowly

    try:
        return result_text(inputs, tell=tell)
    except Infeasible as error:
        raise Refused(f"There is no such choice: {error}.", code="infeasible") from error
    except CheckFailed as error:
        raise Refused(str(error), code="check_failed") from error


@transaction.atomic
def selection_store(
    *,
    actor: User,
    round_: Round,
    inputs: str,
    result: str,
    kind: SelectionKind = SelectionKind.FINAL,
    forced: Sequence[dict[str, Any]] = (),
) -> Selection:
    """Store a choice if its inputs are still what it rests on; one that is stored already is returned.

    Raises WrongState, Refused (changed).
    """
    round_ = _deciding(round_)
    digest = sha256_of(inputs)
    if sha256_of(_with_forced(inputs_text(round_), forced)) != digest:
        raise Refused("Something that the choice rests on changed while it was computed: run it again.", code="changed")
    stored = Selection.objects.filter(round=round_)
    if same := stored.filter(kind=kind, inputs_sha256=digest).order_by("-number").first():
        return same
    last = stored.order_by("-number").values_list("number", flat=True).first()
    selection = Selection.objects.create(
        round=round_,
        number=(last or 0) + 1,
        kind=kind,
        inputs_text=inputs,
        inputs_sha256=digest,
        result_text=result,
        result_sha256=sha256_of(result),
        rule=Inputs(inputs).rule,
        solver=SOLVER,
        created_by=actor,
    )
    details = {"number": selection.number, "kind": kind.value, "inputs": digest, "result": selection.result_sha256}
    audit_record(actor=actor, verb="round.choose", target=round_, details=details)
    return selection


def sha256_of(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, in hexadecimal."""
    return sha256(text.encode()).hexdigest()


def selection_replay(selection: Selection) -> bool:
    """Say whether the stored inputs give the stored result, byte for byte, when they are computed again."""
    from pitches.verdicts import result_text

    is_kept = sha256_of(selection.inputs_text) == selection.inputs_sha256
    return is_kept and result_text(selection.inputs_text) == selection.result_text


@transaction.atomic
def selection_adopt(*, actor: User, round_: Round) -> list[Decision]:
    """Make the decisions that the latest final choice says: for every pitch that the actor decides on.

    Where the chair has a conflict, another member adopts for that pitch. Raises NotAllowed, WrongState, Refused
    (no_selection, stale).
    """
    round_ = round_locked(round_)
    if round_.state != RoundState.DECIDING:
        raise WrongState("Decisions are made once voting has closed and before they are published.")
    pitches = _to_decide(actor, round_)
    if not pitches:
        raise NotAllowed("The chair adopts the choice, and where the chair has a conflict another member without one.")
    selection = require_current(round_)
    results = pitch_results(selection)
    # All old lines go first: the caps are checked by trigger after every statement.
    DecisionLine.objects.filter(decision__pitch__in=pitches).delete()
    # So do the places on the waitlist: one that another member decides on is adopted by them, with its place.
    Decision.objects.filter(pitch__round=round_, waitlist_place__isnull=False).update(waitlist_place=None)
    decisions = [_decide(actor, pitch, results[pitch.pk]) for pitch in pitches]
    Adoption.objects.create(round=round_, selection=selection, adopted_by=actor)
    details = {"selection": selection.number, "pitches": [pitch.pk for pitch in pitches]}
    audit_record(actor=actor, verb="round.adopt", target=round_, details=details)
    return decisions


def _to_decide(actor: User, round_: Round) -> list[Pitch]:
    rows = Pitch.objects.select_for_update(of=("self",)).select_related("current", "round", "team__business_unit")
    pitches = rows.filter(round=round_, state=PitchState.SHORTLISTED).order_by("pk")
    return [pitch for pitch in pitches if may(actor, "pitches.decide_pitch", pitch)]


def require_current(round_: Round) -> Selection:
    """Return the latest final choice; raises Refused (no_selection, stale) when there is none or something changed."""
    selection = latest_final(round_)
    if selection is None:
        raise Refused("Run the exact choice first.", code="no_selection")
    if selection.inputs_text != inputs_text(round_):
        raise Refused(
            "Something that the choice rests on has changed since: run it again, then adopt it.", code="stale"
        )
    return selection


def _decide(actor: User, pitch: Pitch, said: dict[str, Any]) -> Decision:
    decision, _ = Decision.objects.update_or_create(
        pitch=pitch,
        defaults={
            "revision": pitch.submitted,
            "outcome": said["outcome"],
            "reason": said["text"],
            "decided_by": actor,
            "decided_at": Now(),
            "waitlist_place": said["waitlist_place"],
        },
    )
    awards = awards_of(said)
    DecisionLine.objects.bulk_create(
        DecisionLine(decision=decision, tier=tier, amount=amount) for tier, amount in awards.items()
    )
    details = {"outcome": said["outcome"], "lines": {tier.value: str(amount) for tier, amount in awards.items()}}
    audit_record(actor=actor, verb="pitch.decide", target=pitch, reason=said["text"], details=details)
    return decision


def awards_of(said: dict[str, Any]) -> dict[Tier, Decimal]:
    """Return what a result awards by tier, or would from the waitlist, in USD; nothing for what is not to be funded."""
    lines = decided(said)[1]
    return {tier: Decimal(lines[tier]) / CENT for tier in Tier if tier in lines}
