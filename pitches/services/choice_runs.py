"""A choice that is asked for: a row that says so, computed in the background outside any lock, stored at once.

The row is the queue: every sweep computes what stands there and nobody computes. Who does holds a session's advisory
lock of its id, which the database gives back as soon as that process is gone, however it went.
"""

import logging
from time import monotonic

from django.db import transaction
from django.db.models.functions import Now

from pitches.models import OPEN_RUNS, ChoiceRun, Round, RunState, SelectionKind
from pitches.services.locks import round_locked
from pitches.services.selection import computed, inputs_locked, selection_store, sha256_of
from teams.alone import CHOICE_RUN, alone_at
from teams.errors import Refused
from teams.models import User
from teams.services import audit_record

MOST_ATTEMPTS = 5
TELL_SECONDS = 0.5

logger = logging.getLogger(__name__)


@transaction.atomic
def choice_ask(*, actor: User, round_: Round) -> ChoiceRun:
    """Ask for the choice to adopt; returns the run that computes it, the one that is there where the inputs are same.

    A run whose inputs have changed since ends as superseded. Where just this choice was made already, the run is
    done at once. Raises NotAllowed, WrongState.
    """
    inputs, again = inputs_locked(actor=actor, round_=round_, kind=SelectionKind.FINAL)
    digest = sha256_of(inputs)
    if again is not None and (run := again.runs.order_by("-pk").first()):
        return run
    open_run = ChoiceRun.objects.select_for_update().filter(round=round_, state__in=OPEN_RUNS).first()
    if open_run is not None and open_run.inputs_sha256 == digest:
        return open_run
    if open_run is not None:
        _fail(open_run, "superseded", "Something that it rests on changed, and the choice was asked for again.")
    run = ChoiceRun(round=round_, asked_by=actor, inputs_text=inputs, inputs_sha256=digest)
    if again is not None:
        run.state, run.selection, run.ended_at = RunState.DONE, again, Now()
    run.save()
    run.refresh_from_db()
    audit_record(actor=actor, verb="round.ask_choice", target=round_, details={"run": run.pk, "inputs": digest})
    return run


def choices_make_due() -> int:
    """Compute what was asked for and nobody computes, in the name of who asked; returns how many runs ended.

    Safe to run twice, and at once. Call it outside a transaction: nothing is locked while it computes.
    """
    due = list(ChoiceRun.objects.filter(state__in=OPEN_RUNS).order_by("pk").values_list("pk", flat=True))
    return sum(_make(pk) for pk in due)


def _make(pk: int) -> bool:
    with alone_at(CHOICE_RUN, pk) as is_ours:
        if not is_ours or (run := _begin(pk)) is None:
            return False
        try:
            result = computed(run.inputs_text, tell=_Teller(run))
            return _end(run, result)
        except _Superseded:
            return False
        except Refused as error:
            return _failed(run, error)
        except Exception:
            # A fault of ours: it is tried again, and must not keep other rounds waiting.
            logger.exception("choice run %s broke off", pk)
            return False


@transaction.atomic
def _begin(pk: int) -> ChoiceRun | None:
    """Return the run, begun once more; None when it ended meanwhile or broke off too often."""
    run = ChoiceRun.objects.select_for_update(of=("self",)).select_related("round", "asked_by").get(pk=pk)
    if not run.is_open:
        return None
    if run.attempts >= MOST_ATTEMPTS:
        _fail(run, "broke_off", f"It broke off {MOST_ATTEMPTS} times before it was done. Nothing is stored; report it.")
        return None
    run.state, run.done, run.attempts = RunState.RUNNING, 0, run.attempts + 1
    run.save(update_fields=["state", "done", "attempts"])
    return run


class _Superseded(Exception):
    """The run ended while it was computed."""


class _Teller:
    """Writes now and then into the row how many pitches are explained."""

    def __init__(self, run: ChoiceRun) -> None:
        self._run = ChoiceRun.objects.filter(pk=run.pk, state=RunState.RUNNING)
        self._told_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        if monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = monotonic()
        if not self._run.update(done=done, total=total):
            raise _Superseded


@transaction.atomic
def _end(run: ChoiceRun, result: str) -> bool:
    """Store a result and the end of its run in one transaction. Raises WrongState, Refused (changed)."""
    round_locked(run.round)
    run = ChoiceRun.objects.select_for_update(of=("self",)).select_related("round", "asked_by").get(pk=run.pk)
    if not run.is_open:
        return False
    stored = selection_store(actor=run.asked_by, round_=run.round, inputs=run.inputs_text, result=result)
    run.state, run.selection, run.ended_at, run.done = RunState.DONE, stored, Now(), run.total
    run.save()
    return True


@transaction.atomic
def _failed(run: ChoiceRun, error: Refused) -> bool:
    run = ChoiceRun.objects.select_for_update().get(pk=run.pk)
    if run.is_open:
        _fail(run, error.code, error.message)
    return True


def _fail(run: ChoiceRun, code: str, message: str) -> None:
    run.state, run.ended_at, run.error_code, run.error = RunState.FAILED, Now(), code, message
    run.save()
