"""What no choice can beat, in exact integers: the Lagrangian bound of a program at any prices of its rows.

For prices `y >= 0` of the rows, `L(y) = y·limit + sum over pitches of max(0, max over offers of gain - y·coefficients)`
is at least the gain of every choice (Geoffrion 1974). Prices come from HiGHS as floats, are rounded to fixed point,
and from there on everything is exact: what is closed here is closed with certainty, whatever a float did.
"""

from dataclasses import dataclass

import numpy as np

from pitches.selection.highs import Program
from pitches.selection.model import Floats, Ints, Mask, Row

WORD = 52  # bits that an option's figure may take: a team's sum, too, stays in a word
BLOCKED = 2**60  # the loss of what is closed


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound in units of `2**-bits`, and what choosing an offer, or none of a pitch, takes off it."""

    total: int
    bits: int
    loss: Ints
    none_loss: Ints

    @property
    def gain(self) -> int:
        """Return the bound on the gain, a whole number."""
        return self.total >> self.bits

    def _room(self, least: int) -> int:
        return min(self.total - (least << self.bits), BLOCKED - 1)

    def can(self, least: int) -> Mask:
        """Say which options a choice with a gain of `least` or more can have."""
        return self.loss <= self._room(least)

    def must(self, least: int) -> Mask:
        """Say which pitches a choice with a gain of `least` or more must fund."""
        return self.none_loss > self._room(least)


def bound_of(program: Program, prices: Floats) -> Bound:
    """Return the bound of a program at these prices of its rows."""
    gain, bits, total = reduced(program, prices)
    best = np.where(program.needed, np.int64(-BLOCKED), np.int64(0))
    np.maximum.at(best, program.pitch[program.open], gain[program.open])
    total += sum(value for value in best.tolist() if value != -BLOCKED)
    none_loss = np.where(program.needed, np.int64(BLOCKED), best)
    loss = np.where(program.open, best[program.pitch] - gain, np.int64(BLOCKED))
    return Bound(total, bits, loss, none_loss)


def reduced(program: Program, prices: Floats) -> tuple[Ints, int, int]:
    """Return each option's gain less its use at the prices, in units of `2**-bits`, the bits, and `prices x limits`."""
    bits = _bits(program, prices)
    gain = program.gain << bits
    total = 0
    for row, price in zip(program.rows, prices.tolist(), strict=True):
        if whole := round(price * 2.0**bits):
            gain[row.places] -= row.coefficients * whole
            total += whole * row.limit
    return gain, bits, total


def _bits(program: Program, prices: Floats) -> int:
    """Return the most bits after the point with which no figure of an option leaves a word."""
    largest = np.abs(program.gain).astype(float)
    for row, price in zip(program.rows, prices.tolist(), strict=True):
        largest[row.places] += np.abs(row.coefficients) * price
    top = float(largest.max(initial=1.0))
    return max(0, WORD - 1 - int(np.ceil(np.log2(max(top, 1.0)))))


def count_rows(program: Program) -> list[Row]:
    """Return for each limit on cents how many pitches it can hold, by their cheapest offers: a cut for close worths.

    Where worth is cost and a constant, the limit alone leaves the fraction of a pitch in the bound.
    """
    rows = []
    for row in program.rows:
        if row.coefficients.min(initial=0) < 0 or row.limit < 2 or row.coefficients.max(initial=0) < 2:
            continue
        cheapest = np.full(len(program.needed), 2**62, dtype=np.int64)
        use = np.zeros(len(program.gain), dtype=np.int64)
        use[row.places] = row.coefficients
        counted = row.places[program.open[row.places]]
        np.minimum.at(cheapest, program.pitch[counted], use[counted])
        order = np.sort(cheapest[cheapest < 2**62])
        most = int(np.searchsorted(np.cumsum(order), row.limit, side="right"))
        if most < len(order):
            rows.append(Row(f"count {row.name}", counted, np.ones(len(counted), dtype=np.int64), most))
    return rows
