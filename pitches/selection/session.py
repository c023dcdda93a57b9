"""One problem asked again and again, as a slider does: each answer starts from the one before."""

from collections.abc import Collection
from dataclasses import replace

from pitches.selection.exact import Search
from pitches.selection.exact import solve as solve_exactly
from pitches.selection.model import Forced
from pitches.selection.problem import Problem, Solution

Key = tuple[int, tuple[str | tuple[str, str], ...], tuple[str, ...]]


class Session:
    """A problem and the answers it has had; a move starts from the last choice."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._answers: dict[Key, Solution] = {}
        self._last: Solution | None = None

    def at(self, cap: int | None) -> Problem:
        """Return the problem with another cap in cents; its shares follow it, and its reserve is at most all of it."""
        if cap is None:
            return self.problem
        return replace(self.problem, cap=cap, reserve=min(self.problem.reserve, cap))

    def solve(
        self,
        *,
        cap: int | None = None,
        forced_in: Forced = (),
        forced_out: Collection[str] = (),
        seconds: float | None = None,
    ) -> Solution:
        """Return the best choice at a cap in cents with pitches forced in and out, within `seconds`.

        Without the time to prove it, `optimal` is False and `gap` says how many cents it may be short. Raises
        Infeasible as `exact.solve` does.
        """
        key = (self.problem.cap if cap is None else cap, tuple(sorted(forced_in, key=str)), tuple(sorted(forced_out)))
        if (known := self._answers.get(key)) is not None:
            return known
        search = Search(start=self._last.selected if self._last else ())
        solution = solve_exactly(
            self.at(cap), forced_in=forced_in, forced_out=forced_out, seconds=seconds, search=search
        )
        self._last = solution
        if solution.optimal and solution.settled:
            self._answers[key] = solution
        return solution
