"""The exact choice beside `scipy.optimize.milp` on the same problem in the same run, and a slider's moves.

Both have the same HiGHS within, in their own versions, and one thread. Ours proves the worth, breaks every tie by the
rule and checks the choice in integer cents; scipy's only finds and proves a worth.
"""

import json
from decimal import Decimal
from itertools import product
from statistics import median
from time import process_time
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from pitches.selection import documents, exact
from pitches.selection.problem import Option, Problem, Solution
from pitches.selection.programme import Programme
from pitches.selection.session import Session
from tests.bench.machine import markdown
from tests.pitches.selections import KINDS, large

SIZES = (200, 2000)
LIMIT = 30.0  # seconds that either may take
MOVES = 21


class Pair(NamedTuple):
    """One problem solved by both: seconds, and what came out."""

    ours: float
    scipys: float
    solution: Solution
    scipy_worth: int | None
    scipy_proved: bool


def main(rounds: int) -> str:
    """Measure everything and return the tables; takes up to a quarter of an hour."""
    return "\n\n".join([_beside_scipy(rounds), _slider(), _curves()])


def _beside_scipy(rounds: int) -> str:
    rows = []
    for size, kind, limits in product(SIZES, KINDS, (False, True)):
        problem = documents.read(json.dumps(large(size, kind, limits=limits)))
        count = rounds if size == SIZES[0] and kind != KINDS[-1] else 1
        pairs = [_pair(problem) for _ in range(count)]
        rows.append([f"{size:,} pitches, {kind}{', caps and pairs' if limits else ''}", *_figures(pairs)])
    return markdown(["problem", "Tank, s", "scipy, s", "ratio", "Tank says", "scipy says", "Tank's worth more"], rows)


def _figures(pairs: list[Pair]) -> list[str]:
    last = pairs[-1]
    ties = "" if last.solution.settled else ", ties open"
    ours = f"optimal{ties}" if last.solution.optimal else f"gap {last.solution.gap:,} ¢"
    theirs = "optimal" if last.scipy_proved else "out of time"
    more = "-" if last.scipy_worth is None else f"{last.solution.worth - last.scipy_worth:,} ¢"
    return [
        f"{median(pair.ours for pair in pairs):.2f}",
        f"{median(pair.scipys for pair in pairs):.2f}",
        f"{median(pair.ours / pair.scipys for pair in pairs):.2f}",
        ours,
        theirs,
        more,
    ]


def _pair(problem: Problem) -> Pair:
    began = process_time()
    solution = exact.solve(problem, seconds=LIMIT)
    between = process_time()
    worth, proved = scipy_solve(problem)
    return Pair(between - began, process_time() - between, solution, worth, proved)


def scipy_solve(problem: Problem) -> tuple[int | None, bool]:
    """Return the worth that scipy finds, in cents, and whether it says that this is proved."""
    options = [option for option in problem.options if problem.eligible(option)]
    rows = _rows(problem, options)
    indices = [place for row, _ in rows for place in row]
    values = [value for row, _ in rows for value in row.values()]
    starts = np.cumsum([0, *(len(row) for row, _ in rows)])
    found = milp(
        -np.array([option.worth for option in options], dtype=float),
        constraints=LinearConstraint(
            csr_matrix((values, indices, starts), shape=(len(rows), len(options))),
            ub=np.array([limit for _, limit in rows], dtype=float),
        ),
        bounds=Bounds(0, 1),
        integrality=np.ones(len(options)),
        options={"mip_rel_gap": 0, "time_limit": LIMIT},
    )
    return None if found.x is None else round(-found.fun), found.status == 0


def _rows(problem: Problem, options: list[Option]) -> list[tuple[dict[int, int], int]]:
    """Return every limit as anyone would write it down: coefficients by place, and the most they may add up to."""
    by_pitch: dict[str, dict[int, int]] = {}
    by_team: dict[str, dict[int, int]] = {}
    for place, option in enumerate(options):
        by_pitch.setdefault(option.pitch, {})[place] = 1
        by_team.setdefault(option.team, {})[place] = option.cost
    rows = [(row, 1) for row in by_pitch.values()]
    rows.append(({place: option.cost for place, option in enumerate(options)}, problem.spendable))
    if (limit := problem.team_limit) is not None:
        rows += [(row, limit) for row in by_team.values()]
    for tier, limit in problem.tier_limits().items():
        rows.append(({place: option.on_tier(tier) for place, option in enumerate(options)}, limit))
    for one, other in problem.incompatible:
        rows.append((by_pitch.get(one, {}) | by_pitch.get(other, {}), 1))
    for one, other in problem.requires:
        rows.append((by_pitch.get(one, {}) | dict.fromkeys(by_pitch.get(other, {}), -1), 0))
    return rows


def _slider() -> str:
    """Move the cap through a third of itself either way, and force pitches in and out."""
    rows = []
    for kind, limits in product(KINDS[:2], (False, True)):
        problem = documents.read(json.dumps(large(SIZES[0], kind, limits=limits)))
        session = Session(problem)
        funded = session.solve().selected
        taken = []
        for number in range(MOVES):
            cap = int(problem.cap * (Decimal(2) / 3 + Decimal(number) * 2 / 3 / (MOVES - 1)))
            out = [funded[number][0]] if number % 3 == 2 else []
            began = process_time()
            session.solve(cap=cap, forced_out=out)
            taken.append((process_time() - began) * 1000)
        figures = [f"{median(taken):.0f}", f"{sorted(taken)[-2]:.0f}", f"{max(taken):.0f}"]
        rows.append([f"{SIZES[0]} pitches, {kind}{', caps and pairs' if limits else ''}", *figures])
    return markdown(
        [f"{MOVES} moves of a slider, each proved", "median, ms", "second slowest, ms", "slowest, ms"], rows
    )


def _curves() -> str:
    rows = []
    for size, kind in product(SIZES, KINDS[:2]):
        problem = documents.read(json.dumps(large(size, kind, limits=False)))
        programme = Programme(problem)
        began = process_time()
        best = programme.best()
        between = process_time()
        programme.curve(20)
        same = best == exact.solve(problem, seconds=LIMIT).worth
        figures = [f"{between - began:.2f}", f"{process_time() - between:.2f}", "same" if same else "DIFFERENT"]
        rows.append([f"{size:,} pitches, {kind}", *figures])
    return markdown(["integer programme", "at the cap, s", "at 20 budgets, and HiGHS, s", "worth beside HiGHS"], rows)
