"""The exact choice: the most worth within the budget, the caps and the pairs, proved, and ties broken by the rule.

1. HiGHS solves the program without whole numbers; its prices give a bound in exact integers.
2. A greedy start is improved by exchanges; what the bound shows cannot be in a choice as good is closed, for certain.
3. HiGHS (`mip_rel_gap = 0`, half a cent of absolute gap) decides what is left, a small core first.
4. Ties: least cost, most teams that had nothing for two rounds, then the first difference in the order of SHA-256.

Every choice is checked again in integer cents before it counts. When time runs out the gap says how far the bound is.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from time import monotonic

import numpy as np

from pitches.selection.bounds import Bound, bound_of, count_rows
from pitches.selection.fill import COLD, WARM, Start, improve
from pitches.selection.highs import End, Program, Run, choose, relax
from pitches.selection.model import Floats, Forced, Mask, Model, model_of
from pitches.selection.problem import Infeasible, Problem, Solution, solution_of
from pitches.selection.teams import bound_by_teams
from pitches.selection.ties import rival, settle

CORE = 120  # options of the first, small search
CORE_SECONDS = 4.0


@dataclass
class Clock:
    """How many seconds are left; None: as many as it takes."""

    seconds: float | None
    began: float = field(default_factory=monotonic)

    @property
    def left(self) -> float | None:
        """Return the seconds that are left, at least a hundredth."""
        return None if self.seconds is None else max(0.01, self.began + self.seconds - monotonic())

    @property
    def over(self) -> bool:
        """Say whether time has run out."""
        return self.seconds is not None and monotonic() - self.began >= self.seconds


@dataclass(frozen=True, slots=True)
class Search:
    """What a search starts from: known prices of rows by name, and a choice that was good a moment ago."""

    prices: dict[str, float] = field(default_factory=dict)
    start: Collection[tuple[str, str]] = ()


def solve(
    problem: Problem,
    *,
    forced_in: Forced = (),
    forced_out: Collection[str] = (),
    seconds: float | None = None,
    search: Search | None = None,
) -> Solution:
    """Return the best choice; `forced_in` names pitches, or pitch and offer, that are funded whatever they are worth.

    Raises Infeasible when what is forced breaks a limit or names what is not there. Without `seconds` it takes as
    long as the proof takes.
    """
    return solve_model(model_of(problem, forced_in, forced_out), Clock(seconds), search or Search())


def solve_model(model: Model, clock: Clock, search: Search) -> Solution:
    """Return the best choice of a model."""
    program = Program(model.worth, model.pitch, model.needed, model.rows, np.ones(len(model.options), dtype=bool))
    if missing := _missing(model):
        raise Infeasible(f"{missing} is forced in and has no offer")
    if not model.options:
        return Solution((), 0, 0, optimal=True, gap=0)
    program = replace(program, rows=(*model.rows, *count_rows(program)))
    relaxed = relax(program)
    if relaxed.end is End.INFEASIBLE:
        raise Infeasible("what is forced in breaks a limit")
    # A cut whose price is nothing only costs time.
    priced = [number >= len(model.rows) and price <= 0 for number, price in enumerate(relaxed.duals)]
    rows = tuple(row for row, drop in zip(program.rows, priced, strict=True) if not drop)
    prices = relaxed.duals[~np.array(priced, dtype=bool)] if priced else relaxed.duals
    program = replace(program, rows=rows)
    bound = bound_of(program, prices)
    known = _start(model, program, bound, relaxed.values, search, clock)
    narrowed = _Narrowed(program, bound, prices, known)
    most, alone = _prove(model, narrowed, clock)
    known = narrowed.known
    if most > _worth(model, known):
        return _solution(model, known, most, settled=False)
    if alone:
        return _solution(model, known, most, settled=True)
    known, settled = settle(model, narrowed.program, prices, known, clock)
    return _solution(model, known, most, settled=settled)


class _Narrowed:
    """A program, the best choice that is known, and the bounds that close what cannot be as good as it."""

    def __init__(self, program: Program, bound: Bound, prices: Floats, known: Mask) -> None:
        self.program, self.known, self.prices = program, known, prices
        self.bounds = [bound]
        self.gain = bound.gain
        self.narrow()

    @property
    def in_doubt(self) -> int:
        """Return how many options more are open than pitches are needed."""
        return int(self.program.open.sum()) - int(self.program.needed.sum())

    def narrow(self) -> None:
        """Close what a choice as good as the known one cannot have; what it has stays open."""
        worth = int(self.program.gain[self.known].sum())
        for bound in self.bounds:
            self.program = replace(
                self.program,
                open=self.program.open & bound.can(worth),
                needed=self.program.needed | bound.must(worth),
            )

    def tighten(self) -> None:
        """Add the bound that keeps the caps of teams."""
        bound = bound_by_teams(self.program, self.prices)
        if bound is not None and bound.gain < self.gain:
            self.bounds.append(bound)
            self.gain = bound.gain
            self.narrow()

    def core(self, count: int) -> tuple[Program, int]:
        """Return a program of the options that lose least, and the worth from which on no choice has another.

        When the best of the core is worth that much, it is the best of all.
        """
        bound, funded = self.bounds[-1], np.zeros(len(self.program.needed), dtype=bool)
        funded[self.program.pitch[self.known]] = True
        losses = np.sort(bound.loss[self.program.open])
        most = int(losses[min(len(losses) - 1, int(self.known.sum()) + count)])
        near = self.program.open & ((bound.loss <= most) | self.known)
        sure = self.program.needed | (funded & (bound.none_loss > most))
        return replace(self.program, open=near, needed=sure), -((most - bound.total) >> bound.bits)


def _missing(model: Model) -> str | None:
    here = np.bincount(model.pitch, minlength=len(model.pitches)) > 0
    lost = np.flatnonzero(model.needed & ~here)
    return model.pitches[int(lost[0])] if len(lost) else None


def _solution(model: Model, known: Mask, most: int, *, settled: bool) -> Solution:
    return solution_of((model.options[place] for place in np.flatnonzero(known)), bound=most, settled=settled)


def _worth(model: Model, known: Mask) -> int:
    return int(model.worth[known].sum())


def _start(model: Model, program: Program, bound: Bound, values: Floats | None, search: Search, clock: Clock) -> Mask:
    """Return a choice that keeps every row: the best of what rounding, greed and exchanges found."""
    names = set(search.start)
    remembered = np.array([option.name in names for option in model.options], dtype=bool)
    rounded = (values > 1 - 1e-6) if values is not None else remembered
    order = np.argsort(bound.loss - np.where(rounded, 1, 0), kind="stable")
    starts = [start for mask in (rounded, remembered) if (start := _repaired(model, mask, order)) is not None]
    if not starts:
        starts = [_found(model, program, clock)]
    for start in starts:
        improve(start, bound, bound.gain, WARM if names else COLD)
    return max(starts, key=lambda start: start.worth).chosen


def _repaired(model: Model, mask: Mask, order: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Start | None:
    start = Start(model)
    for place in np.flatnonzero(mask).tolist():
        pitch = int(model.pitch[place])
        if start.option[pitch] < 0:
            start.put(pitch, place)
    for place in np.flatnonzero(mask).tolist():  # what rounding broke
        if min(start.slack, default=0) < 0 and not model.needed[model.pitch[place]]:
            start.put(int(model.pitch[place]), -1)
    if not start.feasible:
        return None
    start.greedy(order)
    start.greedy(np.argsort(-model.worth, kind="stable"))
    return start


def _found(model: Model, program: Program, clock: Clock) -> Start:
    """Return any choice that keeps every row, from HiGHS; raises Infeasible when there is none."""
    run = choose(replace(program, gain=-model.cost), seconds=clock.left)
    if run.values is None:
        raise Infeasible("what is forced in breaks a limit")
    start = Start(model)
    for place in np.flatnonzero(run.values > 0.5).tolist():
        start.put(int(model.pitch[place]), place)
    if not start.feasible:
        raise Infeasible("what is forced in breaks a limit")
    return start


def _prove(model: Model, narrowed: _Narrowed, clock: Clock) -> tuple[int, bool]:
    """Search for the best choice; return the most that any can be worth, and whether the known one is proved alone."""
    if narrowed.gain > _worth(model, narrowed.known) and narrowed.in_doubt > CORE:
        narrowed.tighten()
    if narrowed.gain > _worth(model, narrowed.known) and narrowed.in_doubt > CORE and not clock.over:
        program, enough = narrowed.core(CORE)
        narrowed.known, most = _searched(model, program, narrowed.known, _least(clock, CORE_SECONDS))
        narrowed.narrow()
        worth = _worth(model, narrowed.known)
        if most == worth >= enough:
            return worth, False
    worth = _worth(model, narrowed.known)
    if narrowed.gain <= worth or clock.over:
        return max(narrowed.gain, worth), False
    run = rival(model, narrowed.program, narrowed.known, clock.left)
    most, alone = _most(run, narrowed.gain), run.end is End.OPTIMAL and run.bound < worth - 0.5
    narrowed.known = _better_of(model, narrowed.known, run)
    narrowed.narrow()
    return max(_worth(model, narrowed.known), most), alone


def _most(run: Run, gain: int) -> int:
    """Return what HiGHS proved to be the most, in cents; the bound where that is less."""
    if not np.isfinite(run.bound):
        return gain
    return min(gain, int(round(run.bound) if run.end is End.OPTIMAL else np.ceil(run.bound - 1e-3)))


def _better_of(model: Model, known: Mask, run: Run) -> Mask:
    """Return what a run found when it keeps every limit and is worth more than the known choice, else that."""
    found = known if run.values is None else run.values > 0.5
    return found if _worth(model, found) > _worth(model, known) and keeps(model, found) else known


def _least(clock: Clock, seconds: float) -> float:
    return seconds if clock.left is None else min(clock.left, seconds)


def _searched(model: Model, program: Program, known: Mask, seconds: float | None) -> tuple[Mask, int]:
    """Return the best choice that HiGHS found, or the known one, and HiGHS's bound in cents."""
    run = choose(program, start=known, seconds=seconds)
    return _better_of(model, known, run), _most(run, model.most())


def keeps(model: Model, chosen: Mask) -> bool:
    """Say, in integers, whether a choice keeps every row and has one offer a pitch and every pitch that is needed."""
    offers = np.bincount(model.pitch[chosen], minlength=len(model.pitches))
    return (
        bool((offers <= 1).all())
        and bool((offers[model.needed] == 1).all())
        and all(int(row.coefficients[chosen[row.places]].sum()) <= row.limit for row in model.rows)
    )
