"""The board: what the committee tries out together. A move changes no decision; it is kept with what came of it."""

from datetime import UTC, datetime
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from ledger.money import show
from pitches.access import require_member
from pitches.board.engine import Engine, Held, Setting
from pitches.models import BoardForce, BoardMove, BoardState, Force, MoveKind, Pitch, PitchOption, Round
from pitches.quotes import CENT
from pitches.selection.problem import Infeasible, Solution
from pitches.selectors.board import board_state, engine_for, held_on, is_open, slider_of, usd
from pitches.selectors.conflicts import conflicted_ids
from pitches.services.locks import round_locked
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record

LONGEST_NOTE = 2000
FORCES = {MoveKind.FORCE_IN: Force.IN, MoveKind.FORCE_OUT: Force.OUT}


@transaction.atomic
def board_move(
    *,
    actor: User,
    round_: Round,
    version: int,
    kind: MoveKind,
    cap: Decimal | None = None,
    pitch: Pitch | None = None,
    option: PitchOption | None = None,
) -> BoardMove:
    """Try another cap (USD), hold a pitch in or out, free it, or set the board back to the round; returns the move.

    `version` is the board that the actor saw. Setting back leaves what is held of pitches that the actor is recused
    from. Raises NotAllowed, WrongState (wrong_state; moved: somebody else was first), Refused (cap_out_of_range,
    not_in_cents, pitch_missing, not_on_ballot, other_option, overridden, not_held, does_not_fit).
    """
    _require_seat(actor, round_)
    if pitch is not None:
        _require_unconflicted(actor, round_, pitch)
    state = board_state(round_)
    _require_version(state, version)
    engine = engine_for(round_)
    before = engine.setting(_cents(state.cap), held_on(state))
    after = _setting(actor, round_, engine, before, kind, cap, pitch, option)
    solution, price = _played(engine, before, after, kind, pitch)
    # Solved before anything is locked: members who only look never wait for it.
    state = _locked(round_, version)
    state.cap, state.version = usd(after.cap), version + 1
    state.moved_by, state.moved_at = actor, datetime.now(UTC)
    state.save()
    _hold(state, engine, after, pitch, option)
    return _record(
        actor,
        state,
        BoardMove(
            kind=kind,
            pitch=pitch,
            option=option if kind == MoveKind.FORCE_IN else None,
            price=None if price is None else usd(price),
            worth=usd(solution.worth),
            cost=usd(solution.cost),
            chosen=len(solution.selected),
            proved=solution.optimal,
        ),
    )


@transaction.atomic
def board_note(*, actor: User, round_: Round, text: str, pitch: Pitch | None = None) -> BoardMove:
    """Note something that was said, for the minutes; about one pitch, where members recused from it shall not read it.

    Raises NotAllowed, WrongState, Refused (note_missing, note_too_long).
    """
    _require_seat(actor, round_)
    if pitch is not None:
        _require_unconflicted(actor, round_, pitch)
    text = text.strip()
    if not text:
        raise Refused("Write what shall be noted.", code="note_missing", field="text")
    if len(text) > LONGEST_NOTE:
        raise Refused(f"A note has at most {LONGEST_NOTE} characters.", code="note_too_long", field="text")
    state = _locked(round_, None)
    return _record(actor, state, BoardMove(kind=MoveKind.NOTE, pitch=pitch, text=text))


def _require_seat(actor: User, round_: Round) -> None:
    require_member(actor, "pitches.sit_round", round_, message="Only members of the committee move the board.")
    if not is_open(round_):
        raise WrongState("The board is open once voting has closed and until the decisions are published.")


def _require_unconflicted(actor: User, round_: Round, pitch: Pitch) -> None:
    if pitch.round_id != round_.pk:
        raise Refused("It is not a pitch of this round.", code="not_on_ballot", field="pitch")
    require_member(
        actor, "pitches.move_pitch", pitch, message="You are recused from this pitch: another member moves it."
    )


def _require_version(state: BoardState, version: int) -> None:
    if state.version == version:
        return
    who = state.moved_by.name if state.moved_by else "Somebody"
    raise WrongState(f"{who} moved the board at the same time: look at it, then move again.", code="moved")


def _locked(round_: Round, version: int | None) -> BoardState:
    """Lock the round and its board, and return the board as it stands now; raises WrongState as `board_move` does."""
    locked = round_locked(round_)
    if not is_open(locked):
        raise WrongState("The board is closed.")
    BoardState.objects.get_or_create(round=locked, defaults={"cap": locked.cap})
    state = BoardState.objects.select_for_update(of=("self",)).select_related("moved_by", "round").get(round=locked)
    if version is not None:
        _require_version(state, version)
    return state


def _cents(amount: Decimal) -> int:
    return int(amount * 100)


def _setting(
    actor: User,
    round_: Round,
    engine: Engine,
    before: Setting,
    kind: MoveKind,
    cap: Decimal | None,
    pitch: Pitch | None,
    option: PitchOption | None,
) -> Setting:
    """Return what the board is set to after a move."""
    if kind == MoveKind.SLIDE:
        return Setting(_cents(_cap(round_, cap)), before.held)
    if kind == MoveKind.RESET:
        kept = conflicted_ids(actor, round_)
        return engine.setting(_cents(round_.cap), tuple(one for one in before.held if one.pitch in kept))
    if pitch is None:
        raise Refused("Say which pitch.", code="pitch_missing", field="pitch")
    _require_free_to_move(engine, pitch)
    if kind == MoveKind.FREE:
        if all(one.pitch != pitch.pk for one in before.held):
            raise Refused("Nobody holds this pitch in or out.", code="not_held", field="pitch")
        return before.without(pitch.pk)
    if option is not None and (option.pitch_id != pitch.pk or kind == MoveKind.FORCE_OUT):
        raise Refused("Choose one of this pitch's own offers, to hold it in.", code="other_option", field="option")
    return before.holding(Held(pitch.pk, FORCES[kind].value, option.offer if option else ""))


def _cap(round_: Round, cap: Decimal | None) -> Decimal:
    most = max(slider_of(round_).most, round_.cap * 2)
    if cap is None or not 0 < cap <= most:
        raise Refused(f"Try a cap above zero and up to {show(most)}.", code="cap_out_of_range", field="cap")
    if cap != cap.quantize(CENT):
        raise Refused("A cap is in whole cents.", code="not_in_cents", field="cap")
    return cap


def _require_free_to_move(engine: Engine, pitch: Pitch) -> None:
    if pitch.pk not in engine.here:
        raise Refused(
            "It cannot be chosen: it has no quorum, or nothing to award.", code="not_on_ballot", field="pitch"
        )
    if any(one.pitch == pitch.pk for one in engine.signed):
        raise Refused("A signed override holds it: withdraw that first.", code="overridden", field="pitch")


def _played(
    engine: Engine, before: Setting, after: Setting, kind: MoveKind, pitch: Pitch | None
) -> tuple[Solution, int | None]:
    """Return the choice after a move, and what holding a pitch costs in cents of worth."""
    seconds = settings.BOARD_SECONDS
    try:
        solution = engine.solve(after, seconds=seconds)
    except Infeasible as error:
        raise Refused(
            "It does not fit: whatever else is left out, a limit of the round is broken.", code="does_not_fit"
        ) from error
    if kind not in FORCES or pitch is None:
        return solution, None
    held = next(one for one in after.held if one.pitch == pitch.pk)
    return solution, engine.price(before, held, seconds=seconds).worth


def _hold(state: BoardState, engine: Engine, after: Setting, pitch: Pitch | None, option: PitchOption | None) -> None:
    """Store what is held by the board itself; an option that was named before stays named."""
    signed = {one.pitch for one in engine.signed}
    wanted = {one.pitch: one for one in after.held if one.pitch not in signed}
    BoardForce.objects.filter(board=state).exclude(pitch__in=wanted).delete()
    moved = wanted.get(pitch.pk) if pitch is not None else None
    if moved is not None:
        BoardForce.objects.update_or_create(
            pitch_id=moved.pitch, defaults={"board": state, "force": moved.force, "option": option}
        )


def _record(actor: User, state: BoardState, move: BoardMove) -> BoardMove:
    last: int = BoardMove.objects.filter(round=state.round).aggregate(last=Max("number"))["last"] or 0
    move.round, move.actor, move.number = state.round, actor, last + 1
    move.version, move.cap = state.version, state.cap
    move.save()
    details = {"number": move.number, "kind": str(move.kind), "cap": str(move.cap), "pitch": move.pitch_id}
    verb = "round.note" if move.kind == MoveKind.NOTE else "round.board"
    audit_record(actor=actor, verb=verb, target=state.round, details=details)
    return move
