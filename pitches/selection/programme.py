"""The second, independent check: an integer dynamic programme of the best worth at every budget.

A multiple-choice knapsack over cents, as lists of undominated (cost, worth) pairs: a dominated pair is dropped, and
so is one that even the Lagrangian bound of what is left cannot bring up to a choice that is known (Dyer, Kayal and
Walker 1984; Pisinger 1995). No float takes part, and nothing of HiGHS.

It is exact where only the budget and the caps of teams bind: a team's pitches are combined within its cap first, and
then the teams. Caps of tiers and pairs are left out: then what it says is a bound, and still exact at each budget
whose best choice happens to keep them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from pitches.selection.problem import Option, Problem, breaches, solution_of

Ints = NDArray[np.int64]
POINTS = 400_000  # undominated pairs that a team may have; beyond it its cap is left out
STATES = 3_000_000  # pairs of one step of a budget; beyond it the answer is a bound
WORD = 60  # bits of the largest product


@dataclass(frozen=True, slots=True)
class _Group:
    """Alternatives of which one is taken: their cost, worth, and for each what it stands for; nothing is the first."""

    cost: Ints
    worth: Ints
    options: list[tuple[Option, ...]]


@dataclass(frozen=True, slots=True)
class Best:
    """The best worth at a budget, what it takes, and whether it is exact (else a bound)."""

    budget: int
    worth: int
    selected: tuple[tuple[str, str], ...]
    exact: bool


class Programme:
    """A problem's best worth at any budget in cents; the caps of teams stay what they are at the problem's cap.

    `exact` says that every limit is in it: no cap of a tier and no pair can bind, and every team's cap is kept.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._memory: dict[int, Best] = {}
        eligible = [option for option in problem.options if problem.eligible(option)]
        self._groups, team_caps_kept = _groups(problem, eligible)
        self.exact = team_caps_kept and not _others_bind(problem, eligible)

    def best(self, budget: int | None = None) -> int:
        """Return the best worth in cents at a budget in cents (all that may be spent, when left out)."""
        return self.at(budget).worth

    def selection(self, budget: int | None = None) -> tuple[tuple[str, str], ...]:
        """Return a choice of the best worth at a budget, as (pitch, offer) in order; of several, one of least cost."""
        return self.at(budget).selected

    def curve(self, points: int | Iterable[int]) -> list[tuple[int, int]]:
        """Return (budget, worth) at budgets in cents; a number: so many from 0 to 5/4 of the spendable."""
        if isinstance(points, int):
            most = self.problem.spendable * 5 // 4
            points = [most * number // max(points - 1, 1) for number in range(points)]
        return [(budget, self.best(budget)) for budget in points]

    def at(self, budget: int | None = None) -> Best:
        """Return the best at a budget with its choice, and whether this one is exact."""
        budget = self.problem.spendable if budget is None else budget
        if budget not in self._memory:
            worth, options, complete = _Search(self._groups, budget).run()
            kept = all(breach == "cap" for breach in breaches(self.problem, options))
            names = solution_of(options).selected
            self._memory[budget] = Best(budget, worth, names, complete and (self.exact or kept))
        return self._memory[budget]


def _others_bind(problem: Problem, eligible: list[Option]) -> bool:
    """Say whether a cap of a tier or a pair can bind at all."""
    pitches = {option.pitch for option in eligible}
    for tier, limit in problem.tier_limits().items():
        most: dict[str, int] = {}
        for option in eligible:
            most[option.pitch] = max(most.get(option.pitch, 0), option.on_tier(tier))
        if sum(most.values()) > limit:
            return True
    pairs = any(set(pair) <= pitches for pair in problem.incompatible)
    return pairs or any(one in pitches for one, _ in problem.requires)


def _groups(problem: Problem, eligible: list[Option]) -> tuple[list[_Group], bool]:
    """Return what is chosen from independently, and whether every cap of a team is kept by it."""
    by_team = sorted(eligible, key=lambda option: (option.team, option.name))
    groups: list[_Group] = []
    kept = True
    limit = problem.team_limit
    for _, team in groupby(by_team, key=lambda option: option.team):
        own = [_group(list(offers)) for _, offers in groupby(team, key=lambda option: option.pitch)]
        if limit is None or sum(int(group.cost.max()) for group in own) <= limit:
            groups += own
        elif (joined := _joined(own, limit)) is not None:
            groups.append(joined)
        else:
            groups += own
            kept = False
    return groups, kept


def _group(offers: list[Option]) -> _Group:
    costs = np.array([0, *(offer.cost for offer in offers)], dtype=np.int64)
    worths = np.array([0, *(offer.worth for offer in offers)], dtype=np.int64)
    kept = _front(costs, worths)
    options: list[tuple[Option, ...]] = [(), *((offer,) for offer in offers)]
    return _Group(costs[kept], worths[kept], [options[place] for place in kept.tolist()])


def _joined(own: list[_Group], limit: int) -> _Group | None:
    """Return a team's undominated choices within its cap as one group; None when there are too many."""
    cost = worth = np.zeros(1, dtype=np.int64)
    steps: list[tuple[Ints, int]] = []
    for group in own:
        costs = np.add.outer(cost, group.cost).ravel()
        worths = np.add.outer(worth, group.worth).ravel()
        inside = np.flatnonzero(costs <= limit)
        kept = inside[_front(costs[inside], worths[inside])]
        if len(kept) > POINTS // len(own):
            return None
        steps.append((kept, len(group.cost)))
        cost, worth = costs[kept], worths[kept]
    return _Group(cost, worth, [_walked(own, steps, place) for place in range(len(cost))])


def _walked(groups: list[_Group], steps: list[tuple[Ints, int]], place: int) -> tuple[Option, ...]:
    """Return the options of a pair of the last step, by going back through the steps."""
    found: list[Option] = []
    for group, (kept, width) in zip(reversed(groups), reversed(steps), strict=True):
        place, alternative = divmod(int(kept[place]), width)
        found += group.options[alternative]
    return tuple(found)


def _front(cost: Ints, worth: Ints) -> Ints:
    """Return the places of the undominated pairs, by rising cost and worth: each beats all cheaper ones."""
    order = np.lexsort((-worth, cost))
    best = np.maximum.accumulate(worth[order])
    rises = np.ones(len(order), dtype=bool)
    rises[1:] = worth[order][1:] > best[:-1]
    return order[rises]


class _Search:
    """One budget: the groups in order of doubt, each state a complete choice that differs from the Lagrangian's."""

    def __init__(self, groups: list[_Group], budget: int) -> None:
        self.budget = budget
        self.groups = [_within(group, budget) for group in groups]
        most = sum(int(group.worth[-1]) for group in self.groups)
        self.unit = 1 << max(0, WORD - most.bit_length())  # a price is in parts of this
        self.price = self._price()
        values = [self._value(group, self.price) for group in self.groups]
        self.preferred = [int(value.argmax()) for value in values]
        self.losses = [value[best] - value for value, best in zip(values, self.preferred, strict=True)]
        self.top = sum(int(value.max()) for value in values) + self.price * budget

    def run(self) -> tuple[int, list[Option], bool]:
        """Return the best worth, a choice of it, and whether the search was complete (else the worth is a bound)."""
        cost, worth = self._sums(self.preferred)
        known = self._greedy()
        steps: list[tuple[int, Ints, Ints]] = []
        for number in self._order():
            here = np.flatnonzero(self.losses[number] <= min(self.top - known * self.unit, 2**62))
            if len(cost) * len(here) > STATES:
                return self.top // self.unit, [], False
            group, old = self.groups[number], self.preferred[number]
            costs = np.add.outer(cost, group.cost[here] - group.cost[old]).ravel()
            worths = np.add.outer(worth, group.worth[here] - group.worth[old]).ravel()
            known = max(known, int(worths[costs <= self.budget].max(initial=0)))
            # A state's bound: its worth, and what the price says of the money that it leaves or lacks.
            alive = np.flatnonzero(self.unit * worths + self.price * (self.budget - costs) >= known * self.unit)
            kept = alive[_front(costs[alive], worths[alive])]
            steps.append((number, kept, here))
            cost, worth = costs[kept], worths[kept]
        return self._answer(cost, worth, steps)

    def _answer(self, cost: Ints, worth: Ints, steps: list[tuple[int, Ints, Ints]]) -> tuple[int, list[Option], bool]:
        place = int(np.flatnonzero(cost <= self.budget)[-1])
        best, taken = int(worth[place]), list(self.preferred)
        for number, kept, here in reversed(steps):
            place, alternative = divmod(int(kept[place]), len(here))
            taken[number] = int(here[alternative])
        found = (group.options[place] for group, place in zip(self.groups, taken, strict=True))
        return best, [option for options in found for option in options], True

    def _order(self) -> list[int]:
        """Return the groups that have a choice, by what anything but their preferred alternative loses, least first."""
        second = [int(np.partition(loss, 1)[1]) if len(loss) > 1 else -1 for loss in self.losses]
        return sorted((number for number, loss in enumerate(second) if loss >= 0), key=lambda number: second[number])

    def _greedy(self) -> int:
        """Return a worth that is reached: each group's preferred or a cheaper alternative, while money lasts."""
        left, worth = self.budget, 0
        for group, best in zip(self.groups, self.preferred, strict=True):
            place = min(best, int(np.searchsorted(group.cost, left, side="right")) - 1)
            left, worth = left - int(group.cost[place]), worth + int(group.worth[place])
        return worth

    def _sums(self, taken: list[int]) -> tuple[Ints, Ints]:
        pairs = list(zip(self.groups, taken, strict=True))
        cost, worth = sum(int(g.cost[place]) for g, place in pairs), sum(int(g.worth[place]) for g, place in pairs)
        return np.array([cost], dtype=np.int64), np.array([worth], dtype=np.int64)

    def _value(self, group: _Group, price: int) -> Ints:
        return self.unit * group.worth - price * group.cost

    def _price(self) -> int:
        """Return the least price at which the preferred alternatives fit the budget, by bisection.

        That price times the budget is at most the relaxed worth, so that every product stays in a 64-bit word.
        """
        low, high = 0, (1 << (WORD + 1)) // max(self.budget, 1)
        while low < high:
            middle = (low + high) // 2
            used = sum(int(g.cost[self._value(g, middle).argmax()]) for g in self.groups)
            low, high = (low, middle) if used <= self.budget else (middle + 1, high)
        return low


def _within(group: _Group, budget: int) -> _Group:
    """Return a group without what costs more than the budget alone."""
    count = int(np.searchsorted(group.cost, budget, side="right"))
    return _Group(group.cost[:count], group.worth[:count], group.options[:count])
