"""What a round chooses from, and a choice. Money is in integer cents everywhere, so that nothing is rounded twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from math import floor

Share = Decimal | Fraction
WAITING_ROUNDS = 2  # a team that got nothing for this many rounds in a row goes first among equals


class ProblemError(ValueError):
    """A problem that cannot be put: `place` says where, such as `offers[3].cost`, and `reason` why."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.place = place
        self.reason = reason


class Infeasible(ValueError):
    """What is forced in breaks a limit, so that there is no choice at all."""


@dataclass(frozen=True, slots=True)
class Option:
    """One offer of a pitch: its cost and worth in cents, and whose caps it counts against.

    `tier_costs` splits the cost where an offer uses several tiers; None puts all of it on `tier`.
    """

    pitch: str
    offer: str
    team: str
    tier: str
    cost: int
    worth: int
    tier_costs: Mapping[str, int] | None = None
    unfunded_rounds: int = 0

    def on_tier(self, tier: str) -> int:
        """Return the cents that count against a tier's cap."""
        if self.tier_costs is None:
            return self.cost if tier == self.tier else 0
        return self.tier_costs.get(tier, 0)

    @property
    def name(self) -> tuple[str, str]:
        """Return the pitch and the offer."""
        return self.pitch, self.offer


@dataclass(frozen=True, slots=True)
class Problem:
    """A round's choice: `cap - reserve` cents may be spent; the shares of the caps are of `cap`, floored to the cent.

    Raises ProblemError when a figure is out of its range, an offer comes twice, a pitch has two teams, or a pair
    names a pitch that is not there or is of one pitch alone.
    """

    cap: int
    reserve: int
    hurdle: Share
    team_cap: Share | None
    tier_caps: Mapping[str, Share]
    seed: str
    options: tuple[Option, ...]
    incompatible: tuple[tuple[str, str], ...] = ()
    requires: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _require(self.cap >= 0, "cap", "is below 0")
        _require(0 <= self.reserve <= self.cap, "reserve", "is not between 0 and the cap")
        _require(self.hurdle >= 0, "hurdle", "is below 0")
        shares = {f"tier_caps.{tier}": share for tier, share in self.tier_caps.items()}
        for place, share in ({"team_cap": self.team_cap} | shares).items():
            _require(share is None or 0 <= share <= 1, place, "is not between 0 and 1")
        _options_check(self.options)
        known = {option.pitch for option in self.options}
        for place, pairs in (("incompatible", self.incompatible), ("requires", self.requires)):
            for number, pair in enumerate(pairs):
                _pair_check(f"{place}[{number}]", pair, known)

    @property
    def spendable(self) -> int:
        """Return what may be spent, in cents."""
        return self.cap - self.reserve

    @property
    def team_limit(self) -> int | None:
        """Return the most that one team may get, in cents; None when there is no such cap."""
        return None if self.team_cap is None else share_of(self.cap, self.team_cap)

    def tier_limits(self) -> dict[str, int]:
        """Return the most that each capped tier may cost, in cents."""
        return {tier: share_of(self.cap, share) for tier, share in sorted(self.tier_caps.items())}

    def eligible(self, option: Option) -> bool:
        """Say whether an option's worth reaches the hurdle: `worth >= hurdle x cost`, exactly."""
        return option.worth >= Fraction(self.hurdle) * option.cost

    def rank(self, option: Option) -> tuple[bytes, str, bytes, str]:
        """Return an option's place among equals: SHA-256 of seed and pitch, then of seed, pitch and offer."""
        return rank_of(self.seed, option.pitch), option.pitch, rank_of(self.seed, *option.name), option.offer


@dataclass(frozen=True, slots=True)
class Solution:
    """A choice: `(pitch, offer)` in order, its worth and cost, and whether its worth is proved to be the best.

    `gap` is the cents between what is proved to be the most and `worth`: 0 when optimal. `settled` says that ties
    were broken by the rule to the end; time can run out on ties although the worth is proved.
    """

    selected: tuple[tuple[str, str], ...]
    worth: int
    cost: int
    optimal: bool
    gap: int
    settled: bool = field(default=True)


def solution_of(options: Iterable[Option], *, bound: int | None = None, settled: bool = True) -> Solution:
    """Return options as a solution; its gap is to `bound`, the most that any choice can be worth; None: not proved."""
    chosen = sorted(options, key=lambda option: option.name)
    worth = sum(option.worth for option in chosen)
    gap = 0 if bound is None else max(bound - worth, 0)
    optimal = bound is not None and gap == 0
    names = tuple(option.name for option in chosen)
    return Solution(names, worth, sum(option.cost for option in chosen), optimal, gap, settled)


def chosen(problem: Problem, solution: Solution) -> list[Option]:
    """Return a solution's options."""
    names = set(solution.selected)
    return [option for option in problem.options if option.name in names]


def share_of(amount: int, share: Share) -> int:
    """Return a share of cents, floored to the cent."""
    return floor(Fraction(share) * amount)


def rank_of(seed: str, *names: str) -> bytes:
    """Return SHA-256 of a seed and names with line feeds between them, as UTF-8."""
    return sha256("\n".join((seed, *names)).encode()).digest()


def breaches(problem: Problem, options: Iterable[Option]) -> list[str]:
    """Return what a choice breaks, in integer cents: nothing when it keeps the budget, every cap and every pair.

    The hurdle is not asked: what somebody forces in may be below it.
    """
    options = list(options)
    pitches = {option.pitch for option in options}
    found = [] if len(pitches) == len(options) else ["a pitch has two offers"]
    if sum(option.cost for option in options) > problem.spendable:
        found.append("cap")
    if (limit := problem.team_limit) is not None:
        spent: dict[str, int] = {}
        for option in options:
            spent[option.team] = spent.get(option.team, 0) + option.cost
        found += [f"team_cap {team}" for team, cost in sorted(spent.items()) if cost > limit]
    for tier, most in problem.tier_limits().items():
        if sum(option.on_tier(tier) for option in options) > most:
            found.append(f"tier_cap {tier}")
    found += [f"incompatible {one} {other}" for one, other in problem.incompatible if {one, other} <= pitches]
    found += [f"requires {a} {b}" for a, b in problem.requires if a in pitches and b not in pitches]
    return found


def _options_check(options: tuple[Option, ...]) -> None:
    names: set[tuple[str, str]] = set()
    teams: dict[str, str] = {}
    for number, option in enumerate(options):
        place = f"offers[{number}]"
        _require(option.cost >= 0, f"{place}.cost", "is below 0")
        _require(option.worth >= 0, f"{place}.worth", "is below 0")
        _require(option.name not in names, place, f"offer {option.offer} of {option.pitch} is there already")
        names.add(option.name)
        same_team = teams.setdefault(option.pitch, option.team) == option.team
        _require(same_team, f"{place}.team", f"pitch {option.pitch} has another team")
        if (split := option.tier_costs) is not None:
            fits = all(cost >= 0 for cost in split.values()) and sum(split.values()) == option.cost
            _require(fits, f"{place}.tier_costs", "do not add up to the cost")


def _pair_check(place: str, pair: tuple[str, str], known: set[str]) -> None:
    _require(pair[0] != pair[1], place, "is one pitch twice")
    for pitch in pair:
        _require(pitch in known, place, f"there is no pitch {pitch}")


def _require(holds: bool, place: str, reason: str) -> None:
    if not holds:
        raise ProblemError(place, reason)
