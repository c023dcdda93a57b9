"""HiGHS behind a narrow door: arrays in, values, duals and a bound out. Only here are there floats.

Every row of cents is divided by a power of two, so that a cent stays far above the solver's tolerances and far
below its largest figures; what comes back is rounded to whole options and checked again in integers by whoever asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, log2
from typing import Any

import highspy
import numpy as np

from pitches.selection.model import Floats, Ints, Mask, Row

LARGEST = 2.0**17  # of a row's figures: a cent of $100 million is then 1e-5, and the tolerance 1e-9
TOLERANCE = 1e-9
# A good choice is known and most is closed before a search starts: what looks for a first choice only costs time.
QUICK = {
    "mip_heuristic_effort": 0.0,
    "mip_heuristic_run_feasibility_jump": False,
    "mip_detect_symmetry": False,
    "mip_allow_restart": False,
    "mip_pscost_minreliable": 4,
}


class End(Enum):
    """How a run ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Run:
    """What HiGHS said: values by option, duals by row (>= 0), the objective's bound, and how it ended."""

    end: End
    values: Floats | None
    duals: Floats
    bound: float


@dataclass(frozen=True, slots=True)
class Program:
    """Maximise `gain x` over options of which a pitch gets at most one (exactly one when it is needed), within rows."""

    gain: Ints
    pitch: Ints
    needed: Mask
    rows: Sequence[Row]
    open: Mask  # options that may be chosen


def relax(program: Program) -> Run:
    """Solve the program without whole numbers; duals come for its rows, in their order."""
    return _run(program, whole=False, start=None, seconds=None)


def choose(program: Program, *, start: Mask | None = None, seconds: float | None = None) -> Run:
    """Solve the program in whole options, to the last cent, within `seconds`; `start` is a choice that is known."""
    return _run(program, whole=True, start=start, seconds=seconds)


def _run(program: Program, *, whole: bool, start: Mask | None, seconds: float | None) -> Run:
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # compiled, without types
    settings: dict[str, Any] = {"output_flag": False, "threads": 1, "random_seed": 0}
    if whole:
        settings |= {"mip_rel_gap": 0.0, "mip_abs_gap": 0.5, "mip_feasibility_tolerance": TOLERANCE} | QUICK
    settings |= {"primal_feasibility_tolerance": TOLERANCE} | ({} if seconds is None else {"time_limit": seconds})
    for name, value in settings.items():
        solver.setOptionValue(name, value)
    places = np.flatnonzero(program.open)
    solver.passModel(_lp(program, places, whole=whole))
    if start is not None:
        known = highspy.HighsSolution()
        known.col_value = start[places].astype(float).tolist()
        solver.setSolution(known)
    solver.run()
    return _read(solver, program, places, whole=whole)


def _read(solver: Any, program: Program, places: Ints, *, whole: bool) -> Run:
    status, solution, info = solver.getModelStatus(), solver.getSolution(), solver.getInfo()
    known = highspy.HighsModelStatus
    end = {known.kOptimal: End.OPTIMAL, known.kModelEmpty: End.OPTIMAL, known.kInfeasible: End.INFEASIBLE}.get(
        status, End.TIME
    )
    values = None
    if end is not End.INFEASIBLE and solution.value_valid:
        values = np.zeros(len(program.gain))
        values[places] = solution.col_value
    duals = np.zeros(len(program.rows))
    if not whole and solution.dual_valid:
        scales = np.array([_scale(row) for row in program.rows])
        duals = np.maximum(0.0, np.array(solution.row_dual[: len(program.rows)]) * scales)
    return Run(end, values, duals, float(info.mip_dual_bound if whole else info.objective_function_value))


def _lp(program: Program, places: Ints, *, whole: bool) -> Any:
    """Return the program's open columns as HiGHS takes them, by rows: limits, then one row a pitch."""
    column = np.full(len(program.gain), -1, dtype=np.int64)
    column[places] = np.arange(len(places))
    indices, values, starts, lower, upper = [], [], [0], [], []
    infinity = highspy.kHighsInf
    for row in program.rows:
        inside = column[row.places] >= 0
        scale = _scale(row)
        indices.append(column[row.places][inside])
        values.append(row.coefficients[inside] * scale)
        starts.append(starts[-1] + int(inside.sum()))
        lower.append(-infinity)
        upper.append(row.limit * scale)
    pitch = program.pitch[places]
    order = np.argsort(pitch, kind="stable")
    counts = np.bincount(pitch, minlength=len(program.needed))
    here = np.flatnonzero(counts + program.needed)
    indices.append(order)
    values.append(np.ones(len(order)))
    starts += (starts[-1] + np.cumsum(counts[here])).tolist()
    lower += program.needed[here].astype(float).tolist()
    upper += [1.0] * len(here)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(places), len(lower)
    lp.sense_ = highspy.ObjSense.kMaximize
    lp.col_cost_ = program.gain[places].astype(float)
    lp.col_lower_, lp.col_upper_ = np.zeros(len(places)), np.ones(len(places))
    lp.row_lower_, lp.row_upper_ = np.array(lower), np.array(upper)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.array(starts)
    lp.a_matrix_.index_ = np.concatenate(indices)
    lp.a_matrix_.value_ = np.concatenate(values).astype(float)
    if whole:
        lp.integrality_ = [highspy.HighsVarType.kInteger] * len(places)
    return lp


def _scale(row: Row) -> float:
    """Return the power of two that brings a row's largest figure down to LARGEST; 1 where it is smaller."""
    largest = max(abs(row.limit), int(np.abs(row.coefficients).max(initial=0)))
    return float(2.0 ** -max(0, ceil(log2(largest / LARGEST)))) if largest > LARGEST else 1.0
