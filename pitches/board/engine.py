"""The exact choice of one round, kept warm in this process: what was asked once is known, a move starts from the last.

An engine belongs to inputs, by their SHA-256: as soon as a score, a conflict or a signed override changes, there is
another one. Every process has its own; what they say is the same wherever it is proved and ties are settled.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from threading import Lock
from typing import TypeVar, cast

from pitches.choosing import Inputs
from pitches.selection.problem import Infeasible, Option, Problem, Solution

ENGINES = 4  # rounds that deliberate at the same time, in one process
ANSWERS = 400
ROWS = 4000
POINTS = 31  # of the curve

T = TypeVar("T")


class Memory:
    """Remembers the newest answers, up to a number of them; several threads may ask."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is known for a key, making it where nothing is."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return cast(T, self._kept[key])
        made = make()
        self.put(key, made)
        return made

    def put(self, key: Hashable, value: object) -> None:
        """Remember something, and forget the oldest where there is no room."""
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while len(self._kept) > self._size:
                self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """A pitch that is held "in" or "out", whatever the best set is; in by one offer, or by any where that is empty."""

    pitch: int
    force: str
    offer: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the board is set to: a cap in cents, and what is held."""

    cap: int
    held: tuple[Held, ...] = ()

    def without(self, pitch: int) -> "Setting":
        """Return the setting with a pitch free."""
        return replace(self, held=tuple(one for one in self.held if one.pitch != pitch))

    def holding(self, held: Held) -> "Setting":
        """Return the setting with a pitch held."""
        return replace(self, held=tuple(sorted((*self.without(held.pitch).held, held))))


@dataclass(frozen=True, slots=True)
class Price:
    """What holding a pitch costs in cents of worth, and the pitches that leave or come by it; None: it cannot be."""

    worth: int | None
    leave: tuple[int, ...] = ()
    come: tuple[int, ...] = ()
    is_proved: bool = True


@dataclass(frozen=True, slots=True)
class Rival:
    """What another rule would choose, in cents, and how its pitches differ from the exact choice's."""

    solution: Solution
    adds: tuple[int, ...]
    drops: tuple[int, ...]


class Engine:
    """The choice of a round at its inputs."""

    def __init__(self, text: str) -> None:
        self.inputs = Inputs(text)
        self.problem = self.inputs.problem()
        # What is held in below the hurdle counts for nothing, as in the price of an override.
        self._counted = tuple(
            option if self.problem.eligible(option) else replace(option, worth=0) for option in self.problem.options
        )
        self.rows = Memory(ROWS)
        """Rows of the page as they were drawn."""
        self.here = frozenset(self.inputs.in_question)
        self._share = Fraction(self.inputs.round["reserve_share"])
        self._answers = Memory(ANSWERS)
        self._last: tuple[tuple[str, str], ...] = ()
        self.signed = tuple(sorted(Held(row["pitch"], row["force"], row["offer"] or "") for row in self.inputs.forced))
        self.offers: dict[int, list[Option]] = {}
        for option in self.problem.options:
            self.offers.setdefault(int(option.pitch), []).append(option)

    def at(self, cap: int) -> Problem:
        """Return the problem at a cap in cents; reserve and shares follow it."""
        return self._answers.get(
            ("problem", cap),
            lambda: replace(self.problem, cap=cap, reserve=cap - int(cap * (1 - self._share)), options=self._counted),
        )

    def setting(self, cap: int, held: tuple[Held, ...]) -> Setting:
        """Return a setting; signed overrides hold whatever the board says, and what cannot be chosen is not held."""
        signed = {one.pitch for one in self.signed}
        both = [*self.signed, *(one for one in held if one.pitch not in signed)]
        return Setting(cap, tuple(sorted(one for one in both if one.pitch in self.here)))

    def solve(self, setting: Setting, *, seconds: float) -> Solution:
        """Return the best choice at a setting, found within `seconds`; raises Infeasible when there is none.

        Not proved in that time, `optimal` is False and `gap` says how many cents more there might be. What was not
        proved is searched again only by somebody who has more time.
        """
        known: tuple[float, Solution | Infeasible] = self._answers.get(setting, lambda: (-1.0, Infeasible()))
        spent, answer = known
        is_done = spent >= seconds or (isinstance(answer, Solution) and answer.optimal and answer.settled)
        if spent < 0 or not is_done:
            answer = self._search(setting, seconds)
            self._answers.put(setting, (seconds, answer))
        if isinstance(answer, Infeasible):
            raise answer
        return answer

    def _search(self, setting: Setting, seconds: float) -> Solution | Infeasible:
        from pitches.selection.exact import Search, solve  # loads slowly, and most processes never choose

        names: list[str | tuple[str, str]] = [
            (str(one.pitch), one.offer) if one.offer else str(one.pitch) for one in setting.held if one.force == "in"
        ]
        out = [str(one.pitch) for one in setting.held if one.force == "out"]
        search = Search(start=self._last)
        try:
            found = solve(self.at(setting.cap), forced_in=names, forced_out=out, seconds=seconds, search=search)
        except Infeasible as error:
            return error
        self._last = found.selected
        return found

    def price(self, setting: Setting, held: Held, *, seconds: float) -> Price:
        """Return what holding a pitch costs: the best worth with it free less that with it held, never below 0."""
        free = self.solve(setting.without(held.pitch), seconds=seconds)
        try:
            bound = self.solve(setting.holding(held), seconds=seconds)
        except Infeasible:
            return Price(None)
        before, after = pitches_of(free), pitches_of(bound)
        return Price(
            worth=max(free.worth - bound.worth, 0),
            leave=tuple(sorted(before - after - {held.pitch})),
            come=tuple(sorted(after - before - {held.pitch})),
            is_proved=free.optimal and bound.optimal,
        )

    def curve(self) -> tuple[list[tuple[int, int]], bool]:
        """Return (cap, worth) in cents from nothing to twice the cap, and whether each is exact or only a bound.

        Nothing is held in it.
        """
        return self._answers.get("curve", self._curve)

    def _curve(self) -> tuple[list[tuple[int, int]], bool]:
        from pitches.selection.programme import Programme

        programme = Programme(self.problem)
        caps = [self.problem.cap * 2 * number // (POINTS - 1) for number in range(POINTS)]
        return [(cap, programme.best(self.at(cap).spendable)) for cap in caps], programme.exact

    def rivals(self, cap: int, *, seconds: float) -> dict[str, Rival]:
        """Return what greed and equal shares choose at a cap with nothing held, beside the exact choice."""
        from pitches.selection import greedy, shares

        problem = self.at(cap)
        exact = self.solve(Setting(cap), seconds=seconds)
        found = {"exact": exact}
        found["greedy"] = self._answers.get(("greedy", cap), lambda: greedy.solve(problem))
        found["shares"] = self._answers.get(("shares", cap), lambda: shares.solve(problem))
        mine = pitches_of(exact)
        return {
            name: Rival(
                solution, tuple(sorted(pitches_of(solution) - mine)), tuple(sorted(mine - pitches_of(solution)))
            )
            for name, solution in found.items()
        }


def pitches_of(solution: Solution) -> set[int]:
    """Return the pitches of a choice."""
    return {int(pitch) for pitch, _ in solution.selected}


_engines = Memory(ENGINES)
_read = Memory(ENGINES)


def engine_of(mark: Hashable, read: Callable[[], str]) -> Engine:
    """Return the engine for the inputs that `read` returns, a warm one where this process has it.

    `mark` changes whenever the inputs may have: while it stands still they are not even read.
    """
    return _read.get(mark, lambda: _of(read()))


def _of(text: str) -> Engine:
    return _engines.get(sha256(text.encode()).digest(), lambda: Engine(text))
