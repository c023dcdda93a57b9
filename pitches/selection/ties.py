"""Ties among choices that are worth the same: less cost, then teams that waited, then the order of SHA-256.

The order is lexicographic: options stand in the order of SHA-256 of seed and pitch (then of seed, pitch and offer);
of two choices that are still equal, the one that has the first option in which they differ is taken. Names take part
in it and places do not, so that the order of the input does not matter.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from pitches.selection.bounds import bound_of
from pitches.selection.highs import End, Program, Run, choose, relax
from pitches.selection.model import Floats, Ints, Mask, Model, Row
from pitches.selection.problem import WAITING_ROUNDS

BLOCK = 20  # options whose order one search decides: powers of two up to here are exact


class Time(Protocol):
    """How much of it is left."""

    @property
    def left(self) -> float | None:
        """Return the seconds that are left; None: no end."""

    @property
    def over(self) -> bool:
        """Say whether time has run out."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """The choices that are still equal, as a program, and one of them."""

    model: Model
    program: Program
    known: Mask

    def gain(self, gain: Ints) -> int:
        return int(gain[self.known].sum())

    def with_floor(self, name: str, gain: Ints, least: int) -> "_Stage":
        """Keep only choices whose gain is at least this."""
        return replace(self, program=replace(self.program, rows=(*self.program.rows, _floor(name, gain, least))))


def settle(model: Model, program: Program, prices: Floats, known: Mask, time: Time) -> tuple[Mask, bool]:
    """Return the choice that the rule takes among all that are worth as much as `known`; False: time ran out."""
    worth = int(model.worth[known].sum())
    bound = bound_of(program, prices)
    program = replace(program, open=program.open & bound.can(worth), needed=program.needed | bound.must(worth))
    stage = _Stage(model, program, known)
    if not _has_rival(stage, time):
        return known, True
    done = False
    for step in (_cheapest, _most_teams, _first):
        stage, done = step(stage, time)
        if not done:
            break
    return stage.known[: len(model.options)], done


def _is_alone(stage: _Stage) -> bool:
    """Say whether every pitch has one alternative only."""
    counts = np.bincount(stage.program.pitch[stage.program.open], minlength=len(stage.program.needed))
    return bool((counts + ~stage.program.needed <= 1).all())


def _cheapest(stage: _Stage, time: Time) -> tuple[_Stage, bool]:
    worth, gain = stage.model.worth, -stage.model.cost
    stage = stage.with_floor("worth", worth, stage.gain(worth))
    program = replace(stage.program, gain=gain)
    relaxed = relax(program)
    bound = bound_of(program, relaxed.duals)
    done = True
    if bound.gain > stage.gain(gain):
        stage, done = _better(stage, gain, time)
    least = stage.gain(gain)
    stage = stage.with_floor("cost", gain, least)
    narrowed = replace(
        stage.program, open=stage.program.open & bound.can(least), needed=stage.program.needed | bound.must(least)
    )
    return replace(stage, program=narrowed), done


def _better(stage: _Stage, gain: Ints, time: Time) -> tuple[_Stage, bool]:
    """Return the stage with the choice of most gain, and whether that is proved."""
    if time.over:
        return stage, False
    run = choose(replace(stage.program, gain=gain), start=stage.known, seconds=time.left)
    found = stage.known if run.values is None else run.values > 0.5
    if _keeps(stage.program, found) and int(gain[found].sum()) > stage.gain(gain):
        stage = replace(stage, known=found)
    return stage, run.end is End.OPTIMAL


def rival(model: Model, program: Program, known: Mask, seconds: float | None) -> Run:
    """Search for another choice that is worth as much as the known one or more; its bound is in cents.

    The known choice is kept out by a row that one more column opens at the price of a cent: so the search starts with
    something a cent worse than a rival, and drops at once whatever cannot be one. It ends at that: there is no rival.
    """
    size = len(known)
    signs = np.append(np.where(known, 1, -1), -1).astype(np.int64)
    other = Row("another", np.arange(size + 1), signs, int(known.sum()) - 1)
    wide = Program(
        np.append(model.worth, -1),
        np.append(program.pitch, len(program.needed)),
        np.append(program.needed, False),
        (*program.rows, other),
        np.append(program.open, True),
    )
    run = choose(wide, start=np.append(known, True), seconds=seconds)
    return replace(run, values=None if run.values is None else run.values[:size])


def _has_rival(stage: _Stage, time: Time) -> bool:
    """Say whether another choice may be worth as much: False is a proof."""
    if _is_alone(stage):
        return False
    run = rival(stage.model, stage.program, stage.known, time.left)
    return not (run.end is End.OPTIMAL and run.bound < stage.gain(stage.model.worth) - 0.5)


def _waiting(model: Model) -> list[Ints]:
    """Return by team that waited the places of its options."""
    teams: dict[str, list[int]] = {}
    for place, option in enumerate(model.options):
        if option.unfunded_rounds >= WAITING_ROUNDS:
            teams.setdefault(option.team, []).append(place)
    return [np.array(places, dtype=np.int64) for _, places in sorted(teams.items())]


def _most_teams(stage: _Stage, time: Time) -> tuple[_Stage, bool]:
    """Keep the choices that fund the most teams which waited: each team is a pitch more, that one of its own allows."""
    if not (teams := _waiting(stage.model)):
        return stage, True
    size, pitches = len(stage.known), len(stage.program.needed)
    rows = [
        Row(f"team {number}", np.append(places, size + number), _signs(len(places)), 0)
        for number, places in enumerate(teams)
    ]
    more = len(teams)
    wide = Program(
        np.append(np.zeros(size, dtype=np.int64), np.ones(more, dtype=np.int64)),
        np.append(stage.program.pitch, pitches + np.arange(more)),
        np.append(stage.program.needed, np.zeros(more, dtype=bool)),
        (*stage.program.rows, *rows),
        np.append(stage.program.open, np.ones(more, dtype=bool)),
    )
    funded = np.array([stage.known[places].any() for places in teams], dtype=bool)
    found, done = _better(_Stage(stage.model, wide, np.append(stage.known, funded)), wide.gain, time)
    least = int(found.known[size:].sum())
    kept = replace(wide, rows=(*wide.rows, _floor("teams", wide.gain, least)))
    return _Stage(stage.model, kept, found.known), done


def _first(stage: _Stage, time: Time) -> tuple[_Stage, bool]:
    """Take the first in the order of SHA-256, a block of options at a time."""
    order = sorted(
        range(len(stage.model.options)), key=lambda place: stage.model.problem.rank(stage.model.options[place])
    )
    open_ = [place for place in order if stage.program.open[place]]
    for begin in range(0, len(open_), BLOCK):
        block = open_[begin : begin + BLOCK]
        gain = np.zeros(len(stage.known), dtype=np.int64)
        gain[block] = [1 << (BLOCK - 1 - number) for number in range(len(block))]
        stage, done = _better(stage, gain, time)
        if not done:
            return stage, False
        closed = stage.program.open.copy()
        closed[block] = stage.known[block]
        needed = stage.program.needed.copy()
        needed[stage.program.pitch[[place for place in block if stage.known[place]]]] = True
        stage = replace(stage, program=replace(stage.program, open=closed, needed=needed))
    return replace(stage, known=stage.known[: len(stage.model.options)]), True


def _floor(name: str, gain: Ints, least: int) -> Row:
    places = np.flatnonzero(gain)
    return Row(name, places, -gain[places], -least)


def _signs(count: int) -> Ints:
    return np.append(-np.ones(count, dtype=np.int64), 1)


def _keeps(program: Program, chosen: Mask) -> bool:
    offers = np.bincount(program.pitch[chosen], minlength=len(program.needed))
    return (
        bool((offers <= 1).all())
        and bool((offers[program.needed] >= 1).all())
        and all(int(row.coefficients[chosen[row.places]].sum()) <= row.limit for row in program.rows)
    )
