"""One problem asked again and again, as a slider does: each answer starts from the one before."""

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property

import numpy as np

from pitches.selection.exact import Clock, Search, solve_model
from pitches.selection.model import Forced, Model, model_of
from pitches.selection.problem import Problem, Solution

Key = tuple[int, tuple[str | tuple[str, str], ...], tuple[str, ...]]


class Session:
    """A problem and the answers it has had; a move starts from the last choice, the first from `known`."""

    def __init__(self, problem: Problem, known: Solution | None = None) -> None:
        self.problem = problem
        self._answers: dict[Key, Solution] = {}
        self._last = known
        self._free: Model | None = None

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
        solution = solve_model(self._model(cap, forced_in, forced_out), Clock(seconds), search)
        self._last = solution
        if solution.optimal and solution.settled:
            self._answers[key] = solution
        return solution

    def _model(self, cap: int | None, forced_in: Forced, forced_out: Collection[str]) -> Model:
        """Return the model of a question: with nothing but pitches forced in, what is known already with them needed.

        That holds for pitches whose offers all reach the hurdle: others come into the model by being forced in.
        """
        names = {name for name in forced_in if isinstance(name, str)}
        if cap is not None or forced_out or len(names) < len(forced_in) or not names <= self._eligible:
            return model_of(self.at(cap), forced_in, forced_out)
        if self._free is None:
            self._free = model_of(self.problem)
        return replace(self._free, needed=np.array([pitch in names for pitch in self._free.pitches], dtype=bool))

    @cached_property
    def _eligible(self) -> set[str]:
        """Return the pitches of which every offer reaches the hurdle."""
        below = {option.pitch for option in self.problem.options if not self.problem.eligible(option)}
        return {option.pitch for option in self.problem.options} - below
