"""A good choice to start from: greedy by price, then the best of millions of exchanges, met in the middle.

Nothing here proves anything; it gives the exact search something to beat, down to the last cent.
"""

from dataclasses import dataclass

import numpy as np

from pitches.selection.bounds import BLOCKED, Bound
from pitches.selection.model import Ints, Mask, Model

TRIES = 12


@dataclass(frozen=True, slots=True)
class Effort:
    """How long exchanges are tried: combinations in each half, and how many tries in a row may find nothing."""

    half: int
    idle: int


COLD = Effort(half=1 << 15, idle=TRIES)
WARM = Effort(half=1 << 12, idle=2)
"""What was the best a move ago is nearly the best: the search itself finds the rest sooner than exchanges do."""


class Start:
    """A choice that keeps every row, by pitch: the place of its option, or -1."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.option = np.full(len(model.pitches), -1, dtype=np.int64)
        self.slack = [row.limit for row in model.rows]
        self._uses: list[dict[int, int]] = [{} for _ in model.options]
        for number, row in enumerate(model.rows):
            for place, coefficient in zip(row.places.tolist(), row.coefficients.tolist(), strict=True):
                self._uses[place][number] = coefficient

    def change(self, old: int, new: int) -> dict[int, int]:
        """Return by row what an option in place of another takes; -1 is none."""
        change = dict(self._uses[new]) if new >= 0 else {}
        for number, coefficient in (self._uses[old] if old >= 0 else {}).items():
            change[number] = change.get(number, 0) - coefficient
        return change

    def put(self, pitch: int, new: int) -> None:
        """Put an option (or none, -1) in a pitch's place, whether it fits or not."""
        for number, more in self.change(int(self.option[pitch]), new).items():
            self.slack[number] -= more
        self.option[pitch] = new

    def fits(self, pitch: int, new: int) -> bool:
        """Say whether an option fits in place of what the pitch has, with every row that was kept still kept."""
        change = self.change(int(self.option[pitch]), new)
        return all(more <= 0 or more <= self.slack[number] for number, more in change.items())

    @property
    def feasible(self) -> bool:
        """Say whether every row is kept and every pitch that is needed has an option."""
        return min(self.slack, default=0) >= 0 and bool((self.option[self.model.needed] >= 0).all())

    @property
    def chosen(self) -> Mask:
        """Return the choice by option."""
        mask = np.zeros(len(self.model.options), dtype=bool)
        mask[self.option[self.option >= 0]] = True
        return mask

    @property
    def worth(self) -> int:
        """Return the choice's worth, in cents."""
        return int(self.model.worth[self.option[self.option >= 0]].sum())

    def greedy(self, order: Ints) -> None:
        """Go through options in an order and put in each that fits and is worth more than what its pitch has."""
        for place in order.tolist():
            pitch = int(self.model.pitch[place])
            old = int(self.option[pitch])
            if self.model.worth[place] > (self.model.worth[old] if old >= 0 else 0) and self.fits(pitch, place):
                self.put(pitch, place)


@dataclass(frozen=True, slots=True)
class _Half:
    """All combinations of some pitches' alternatives: what they add to cost and worth."""

    pitches: list[int]
    alternatives: list[list[int]]
    cost: Ints
    worth: Ints

    def put(self, start: Start, number: int) -> None:
        shape = [len(options) for options in self.alternatives]
        for pitch, options, index in zip(self.pitches, self.alternatives, np.unravel_index(number, shape), strict=True):
            start.put(pitch, options[int(index)])


def improve(start: Start, bound: Bound, most: int, effort: Effort = COLD) -> None:
    """Exchange what some pitches have for the best of all their combinations that fit, until nothing more is found.

    `bound` says which pitches are in doubt; `most` ends it: nothing is worth more.
    """
    if not start.model.rows or start.model.rows[0].name != "cap":
        return
    doubt = _doubt(start, bound)
    random = np.random.default_rng(0)
    idle = 0
    for attempt in range(TRIES):
        if start.worth >= most or idle >= effort.idle:
            return
        before = start.worth
        order = np.argsort(doubt * (1 if attempt == 0 else random.uniform(0.2, 5, len(doubt))), kind="stable")
        _exchange(start, bound, order.tolist(), effort.half)
        idle = idle + 1 if start.worth == before else 0


def _doubt(start: Start, bound: Bound) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return by pitch how much the bound loses by anything but its best alternative."""
    losses: list[list[float]] = [[float(loss)] for loss in bound.none_loss.tolist()]
    for place, pitch in enumerate(start.model.pitch.tolist()):
        losses[pitch].append(float(bound.loss[place]))
    return np.array([sorted(found)[1] for found in losses]) + 1


def _exchange(start: Start, bound: Bound, order: list[int], most: int) -> None:
    scale = start.model.rows[0]
    cost = np.zeros(len(start.model.options) + 1, dtype=np.int64)  # the last is none
    cost[scale.places] = scale.coefficients
    worth = np.append(start.model.worth, 0)
    spare = list(start.slack)
    halves: list[tuple[list[int], list[list[int]]]] = [([], []), ([], [])]
    sizes = [1, 1]
    by_pitch: dict[int, list[int]] = {}
    for place in np.flatnonzero(bound.loss < BLOCKED).tolist():
        by_pitch.setdefault(int(start.model.pitch[place]), []).append(place)
    for pitch in order:
        side = 0 if sizes[0] <= sizes[1] else 1
        options = _alternatives(start, pitch, by_pitch.get(pitch, []), spare)
        if len(options) < 2:
            continue
        if sizes[side] * len(options) > most:
            break
        halves[side][0].append(pitch)
        halves[side][1].append(options)
        sizes[side] *= len(options)
    left, right = (_half(start, pitches, options, cost, worth) for pitches, options in halves)
    _meet(start, left, right)


def _alternatives(start: Start, pitch: int, places: list[int], spare: list[int]) -> list[int]:
    """Return what a pitch can have whatever the others do, and take it off what the rows but the cap can spare."""
    old = int(start.option[pitch])
    found, worst = [old], dict[int, int]()
    for new in [*places, *([] if start.model.needed[pitch] else [-1])]:
        change = {number: more for number, more in start.change(old, new).items() if number and more > 0}
        if new != old and all(more <= spare[number] for number, more in change.items()):
            found.append(new)
            for number, more in change.items():
                worst[number] = max(worst.get(number, 0), more)
    for number, more in worst.items():
        spare[number] -= more
    return found


def _half(start: Start, pitches: list[int], alternatives: list[list[int]], cost: Ints, worth: Ints) -> _Half:
    costs = worths = np.zeros(1, dtype=np.int64)
    for pitch, options in zip(pitches, alternatives, strict=True):
        old = start.option[pitch]
        costs = np.add.outer(costs, cost[options] - cost[old]).ravel()
        worths = np.add.outer(worths, worth[options] - worth[old]).ravel()
    return _Half(pitches, alternatives, costs, worths)


def _meet(start: Start, left: _Half, right: _Half) -> None:
    """Put in the best pair of combinations of two halves that fits the cap."""
    order = np.argsort(left.cost, kind="stable")
    costs, worths = left.cost[order], left.worth[order]
    best = np.maximum.accumulate(worths)
    place = np.searchsorted(costs, start.slack[0] - right.cost, side="right") - 1
    total = np.where(place >= 0, best[np.maximum(place, 0)] + right.worth, -(2**62))
    found = int(total.argmax())
    if total[found] > 0:
        number = int(worths[: place[found] + 1].argmax())
        left.put(start, int(order[number]))
        right.put(start, found)
