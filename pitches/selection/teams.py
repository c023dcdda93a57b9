"""A tighter bound where teams are capped: each team's own knapsack is solved exactly at the prices of all other rows.

The Lagrangian bound at prices of every row lets a team use its cap to the last fraction of a pitch, and two hundred
teams add two hundred fractions. Here the caps of teams have no price; they are kept (Dantzig and Wolfe 1960; for one
knapsack a block, Fisher 1981). All in integers, so that what it closes is closed with certainty.
"""

from dataclasses import dataclass

import numpy as np

from pitches.selection.bounds import BLOCKED, Bound, reduced
from pitches.selection.highs import Program
from pitches.selection.model import Floats, Ints

LARGEST_TEAM = 40  # pitches in doubt; a larger team's cap keeps its price
LARGEST_FRONT = 20_000


@dataclass(frozen=True, slots=True)
class _Front:
    """Undominated (cost, value) pairs, by rising cost and value."""

    cost: Ints
    value: Ints

    def plus(self, cost: Ints, value: Ints, limit: int) -> "_Front":
        costs = np.add.outer(self.cost, cost).ravel()
        values = np.add.outer(self.value, value).ravel()
        inside = np.flatnonzero(costs <= limit)
        inside = inside[np.lexsort((-values[inside], costs[inside]))]
        best = np.maximum.accumulate(values[inside])
        rises = np.ones(len(inside), dtype=bool)
        rises[1:] = best[1:] > best[:-1]
        return _Front(costs[inside[rises]], values[inside[rises]])

    def best_with(self, other: "_Front", limit: int) -> int:
        """Return the best value of a pair of both fronts within a limit; BLOCKED when none is."""
        place = np.searchsorted(other.cost, limit - self.cost, side="right") - 1
        fits = place >= 0
        return int((self.value[fits] + other.value[place[fits]]).max(initial=-BLOCKED))


def bound_by_teams(program: Program, prices: Floats) -> Bound | None:
    """Return the bound with the priced caps of teams kept; None when there are none that are small enough."""
    kept = [number for number, row in enumerate(program.rows) if _counts(program, number, prices)]
    if not kept:
        return None
    free = prices.copy()
    free[kept] = 0
    gain, bits, total = reduced(program, free)
    loss = np.full(len(gain), BLOCKED, dtype=np.int64)
    none_loss = np.zeros(len(program.needed), dtype=np.int64)
    by_pitch: dict[int, list[int]] = {}
    for place in np.flatnonzero(program.open).tolist():
        by_pitch.setdefault(int(program.pitch[place]), []).append(place)
    blocks = []
    for number in kept:
        row = program.rows[number]
        use = np.zeros(len(gain), dtype=np.int64)
        use[row.places] = row.coefficients
        pitches = sorted({int(program.pitch[place]) for place in row.places.tolist() if program.open[place]})
        blocks.append(({pitch: by_pitch.pop(pitch) for pitch in pitches}, use, row.limit))
    zeros = np.zeros(len(gain), dtype=np.int64)
    blocks += [({pitch: places}, zeros, 0) for pitch, places in by_pitch.items()]
    for places_of, use, limit in blocks:
        best = _block(program, places_of, use, limit, gain, loss, none_loss)
        if best is None:
            return None
        total += best
    return Bound(total, bits, loss, none_loss)


def _counts(program: Program, number: int, prices: Floats) -> bool:
    row = program.rows[number]
    if not row.name.startswith("team_cap ") or prices[number] <= 0:
        return False
    options = row.places[program.open[row.places]]
    pitches, counts = np.unique(program.pitch[options], return_counts=True)
    doubtful = int(((counts > 1) | ~program.needed[pitches]).sum())
    return 0 < doubtful <= LARGEST_TEAM


def _block(
    program: Program,
    places_of: dict[int, list[int]],
    use: Ints,
    limit: int,
    gain: Ints,
    loss: Ints,
    none_loss: Ints,
) -> int | None:
    """Write the losses of a block's options and pitches, and return its best value; None when it is too large."""
    pitches = list(places_of)
    alternatives = [
        (
            np.array([*([] if program.needed[pitch] else [0]), *use[places_of[pitch]].tolist()], dtype=np.int64),
            np.array([*([] if program.needed[pitch] else [0]), *gain[places_of[pitch]].tolist()], dtype=np.int64),
        )
        for pitch in pitches
    ]
    nothing = _Front(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
    before, after = [nothing], [nothing]
    for cost, value in alternatives[:-1]:
        before.append(before[-1].plus(cost, value, limit))
    for cost, value in reversed(alternatives[1:]):
        after.append(after[-1].plus(cost, value, limit))
    if max(len(front.cost) for front in (*before, *after)) > LARGEST_FRONT:
        return None
    after.reverse()
    found = [
        [
            left.best_with(right, limit - cost) + value
            for cost, value in zip(costs.tolist(), values.tolist(), strict=True)
        ]
        for left, right, (costs, values) in zip(before, after, alternatives, strict=True)
    ]
    best: int = max(found[0])
    for pitch, values in zip(pitches, found, strict=True):
        losses = [best - value for value in values]
        none_loss[pitch] = BLOCKED if program.needed[pitch] else losses[0]
        loss[places_of[pitch]] = losses[-len(places_of[pitch]) :]
    return best
