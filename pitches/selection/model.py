"""A problem as integer arrays: the options that can matter, and every limit as a row `coefficients x <= limit`.

Options below the hurdle and dominated ones are left out. A row that nothing can break is left out too.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import reduce
from math import gcd

import numpy as np
from numpy.typing import NDArray

from pitches.selection.problem import Infeasible, Option, Problem

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Forced = Collection[str | tuple[str, str]]
FIGURES_FIT = 2**52  # sums of cents that a double holds exactly


@dataclass(frozen=True, slots=True)
class Row:
    """A limit: the options it counts, by place, their integer coefficients, and the most that they may add up to."""

    name: str
    places: Ints
    coefficients: Ints
    limit: int


@dataclass(frozen=True, slots=True)
class Model:
    """The options in order of pitch and offer, and the rows; `needed` are the pitches that are forced in."""

    problem: Problem
    options: tuple[Option, ...]
    pitch: Ints
    pitches: tuple[str, ...]
    needed: Mask
    cost: Ints
    worth: Ints
    rows: tuple[Row, ...]

    def most(self) -> int:
        """Return a bound on the worth of any choice: every pitch's best option."""
        best = np.zeros(len(self.pitches), dtype=np.int64)
        np.maximum.at(best, self.pitch, self.worth)
        return int(best.sum())


def model_of(problem: Problem, forced_in: Forced = (), forced_out: Collection[str] = ()) -> Model:
    """Return the model of a problem in which some pitches, or offers of them, must be in, and some must be out.

    What is forced in need not reach the hurdle. Raises ProblemError for a name that is not there, and Infeasible
    when something is forced both ways.
    """
    offers = {name[0]: name for name in forced_in if not isinstance(name, str)}
    needed = {name if isinstance(name, str) else name[0] for name in forced_in}
    _known(problem, forced_in, forced_out)
    if both := needed & set(forced_out):
        raise Infeasible(f"{min(both)} is forced in and out")
    tiers = sorted(problem.tier_caps)
    kept = [
        option
        for option in sorted(problem.options, key=lambda option: option.name)
        if option.pitch not in forced_out
        and (offers.get(option.pitch, option.name) == option.name)
        and (option.pitch in needed or problem.eligible(option))
    ]
    options = tuple(_undominated(kept, tiers))
    pitches = tuple(sorted({option.pitch for option in options}))
    place = {pitch: number for number, pitch in enumerate(pitches)}
    return Model(
        problem,
        options,
        _ints(place[option.pitch] for option in options),
        pitches,
        np.array([pitch in needed for pitch in pitches], dtype=bool),
        _ints(option.cost for option in options),
        _ints(option.worth for option in options),
        tuple(row for row in _rows(problem, options, tiers) if _can_break(row, options)),
    )


def _known(problem: Problem, forced_in: Forced, forced_out: Collection[str]) -> None:
    pitches = {option.pitch for option in problem.options}
    names = {option.name for option in problem.options}
    for name in (*forced_in, *forced_out):
        if name not in (pitches if isinstance(name, str) else names):
            raise Infeasible(f"there is no {name if isinstance(name, str) else ' '.join(name)}")


def _undominated(options: list[Option], tiers: list[str]) -> Iterable[Option]:
    """Leave out an option when another of its pitch is better, or as good and cheaper, and counts no more anywhere."""
    by_pitch: dict[str, list[Option]] = defaultdict(list)
    for option in options:
        by_pitch[option.pitch].append(option)
    for rivals in by_pitch.values():
        for option in rivals:
            if not any(_dominates(rival, option, tiers) for rival in rivals):
                yield option


def _dominates(rival: Option, option: Option, tiers: list[str]) -> bool:
    return (
        rival.cost <= option.cost
        and rival.worth >= option.worth
        and (rival.cost < option.cost or rival.worth > option.worth)
        and all(rival.on_tier(tier) <= option.on_tier(tier) for tier in tiers)
    )


def _rows(problem: Problem, options: tuple[Option, ...], tiers: list[str]) -> Iterable[Row]:
    yield _row("cap", [option.cost for option in options], problem.spendable)
    if (limit := problem.team_limit) is not None:
        for team in sorted({option.team for option in options}):
            yield _row(f"team_cap {team}", [option.cost * (option.team == team) for option in options], limit)
    limits = problem.tier_limits()
    for tier in tiers:
        yield _row(f"tier_cap {tier}", [option.on_tier(tier) for option in options], limits[tier])
    for one, other in sorted({(min(pair), max(pair)) for pair in problem.incompatible}):
        yield _row(f"incompatible {one} {other}", [int(option.pitch in {one, other}) for option in options], 1)
    for one, other in sorted(set(problem.requires)):
        signs = [(option.pitch == one) - (option.pitch == other) for option in options]
        yield _row(f"requires {one} {other}", signs, 0)


def _row(name: str, coefficients: list[int], limit: int) -> Row:
    """Return a row in its smallest whole numbers: a limit that no sum can meet comes down to one that a sum can."""
    places = [place for place, coefficient in enumerate(coefficients) if coefficient]
    unit = reduce(gcd, coefficients, 0) or 1
    return Row(name, _ints(places), _ints(coefficients[place] // unit for place in places), limit // unit)


def _can_break(row: Row, options: tuple[Option, ...]) -> bool:
    most: dict[str, int] = defaultdict(int)
    for place, coefficient in zip(row.places.tolist(), row.coefficients.tolist(), strict=True):
        most[options[place].pitch] = max(most[options[place].pitch], coefficient)
    return sum(most.values()) > row.limit


def _ints(values: Iterable[int]) -> Ints:
    return np.array(list(values), dtype=np.int64)
