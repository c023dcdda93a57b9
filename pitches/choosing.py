"""From locked inputs to a whole result, as text: the same inputs give the same bytes, today and in an audit.

Inputs and result are canonical JSON: sorted keys, no spaces, money in integer cents, other figures as decimal text.
The inputs hold everything that a decision rests on: the round's rule and seed, the offers with their costs by tier,
the scores of the members without a conflict, the resolved claims and the signed overrides. Nothing is read from
anywhere else, so a replay needs the stored text alone. Pure: no database, no clock.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from pitches.calibration import Basis, Claim, basis
from pitches.options import worth
from pitches.scoring import Score, Standing, standings
from pitches.selection.problem import Infeasible, Option, Problem, Solution, rank_of

RULE = "tank-choice-1"
"""The version of the rule: it changes whenever the same inputs may give another result."""
MORE_PERCENT = 105
"""How the result looks with five percent more cap is published with it."""

Json = dict[str, Any]
Tell = Callable[[int, int], None]
"""Hears how many pitches of how many are explained."""


def tell_nobody(done: int, total: int) -> None:
    """Let nobody know."""


def canonical(thing: Json) -> str:
    """Write JSON in the one way that is hashed and compared."""
    return json.dumps(thing, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer of a pitch with its worth; money in cents."""

    pitch: int
    name: str
    label: str
    tier: str
    lines: Mapping[str, int]
    value: int
    quality: Decimal
    cost: int
    worth: int

    @property
    def per_dollar(self) -> Fraction:
        """Return the worth per dollar."""
        return Fraction(self.worth, self.cost)


@dataclass(frozen=True, slots=True)
class Judged:
    """One pitch with everything that its worth is made of."""

    pk: int
    title: str
    team: int
    standing: Standing
    has_quorum: bool
    basis: Basis
    factor: Decimal
    offers: tuple[Offer, ...]

    def offer(self, name: str) -> Offer:
        """Return the offer of a name."""
        return next(offer for offer in self.offers if offer.name == name)

    def best(self, hurdle: Fraction) -> Offer | None:
        """Return the offer with the most worth per dollar, of equals the largest; above the hurdle where one is."""
        clearing = [offer for offer in self.offers if offer.worth >= hurdle * offer.cost] or list(self.offers)
        return max(clearing, key=lambda offer: (offer.per_dollar, offer.worth), default=None)


class Inputs:
    """Locked inputs, read."""

    def __init__(self, text: str) -> None:
        said: Json = json.loads(text)
        self.rule: str = said["rule"]
        self.round: Json = said["round"]
        self.pitches: list[Json] = said["pitches"]
        self.claims = [
            Claim(team, kind, Decimal(claimed), Decimal(realised)) for team, kind, claimed, realised in said["claims"]
        ]
        self.forced: list[Json] = said["forced"]
        self._problems: dict[int, Problem] = {}
        self.pairs: dict[str, list[list[int]]] = {name: said[name] for name in ("incompatible", "requires")}

    @property
    def hurdle(self) -> Fraction:
        """Return the least worth per dollar."""
        return Fraction(self.round["hurdle"])

    @cached_property
    def judged(self) -> dict[int, Judged]:
        """Return every pitch with its scores, its factor and the worth of its offers, by id."""
        scores = [Score(row["id"], member, score) for row in self.pitches for member, score in row["scores"]]
        found = standings(scores, {row["id"]: frozenset(row["eligible"]) for row in self.pitches})
        return {row["id"]: self._judge(row, found[row["id"]]) for row in self.pitches}

    def _judge(self, row: Json, standing: Standing) -> Judged:
        rests_on = basis(self.claims, team=row["team"], kind=row["kind"])
        return Judged(
            pk=row["id"],
            title=row["title"],
            team=row["team"],
            standing=standing,
            has_quorum=standing.count >= self.round["quorum"] and 2 * row["votes"] > len(row["eligible"]),
            basis=rests_on,
            factor=rests_on.factor,
            offers=tuple(_offer(row["id"], offer, rests_on.factor, standing.k) for offer in row["offers"]),
        )

    @cached_property
    def blocked(self) -> frozenset[int]:
        """Return the pitches that need another one which is not to be had: it is not on the ballot, or has no quorum.

        What is needed and funded already is not named by the inputs at all.
        """
        here = {pk for pk, pitch in self.judged.items() if pitch.has_quorum and pitch.offers}
        lost: set[int] = set()
        while more := {a for a, b in self.pairs["requires"] if a not in lost and (b not in here or b in lost)}:
            lost |= more
        return frozenset(lost)

    @cached_property
    def in_question(self) -> list[int]:
        """Return the pitches that can be chosen."""
        rows = self.judged.values()
        return [row.pk for row in rows if row.has_quorum and row.offers and row.pk not in self.blocked]

    def problem(self, *, percent: int = 100) -> Problem:
        """Return what the solver is asked, with the cap at `percent` of what it is."""
        if percent not in self._problems:
            self._problems[percent] = self._problem(percent)
        return self._problems[percent]

    def _problem(self, percent: int) -> Problem:
        cap = self.round["cap"] * percent // 100
        spendable = int(cap * (1 - Fraction(self.round["reserve_share"])))
        share = self.round["team_cap"]
        unfunded = {row["id"]: row["unfunded_rounds"] for row in self.pitches}
        here = set(self.in_question)
        return Problem(
            cap=cap,
            reserve=cap - spendable,
            hurdle=self.hurdle,
            team_cap=None if share is None else Fraction(share),
            tier_caps={tier: Fraction(share) for tier, share in self.round["tier_caps"].items()},
            seed=self.round["seed"],
            options=tuple(
                Option(
                    pitch=str(pk),
                    offer=offer.name,
                    team=str(self.judged[pk].team),
                    tier=offer.tier,
                    cost=offer.cost,
                    worth=offer.worth,
                    tier_costs=offer.lines,
                    unfunded_rounds=unfunded[pk],
                )
                for pk in self.in_question
                for offer in self.judged[pk].offers
            ),
            incompatible=_pairs(self.pairs["incompatible"], here),
            requires=_pairs(self.pairs["requires"], here),
        )

    def bound_by_overrides(self, problem: Problem, solution: Solution) -> tuple[Problem, Solution]:
        """Return the same question and answer with overrides and hurdle built in, so that it can be asked further.

        What is forced out is not offered; what is forced in is worth more than everything else together. An offer
        below the hurdle stays only where its pitch has no other, so that forcing a pitch means an offer it could get.
        """
        out, into = set(_forced_out(self.forced)), dict(solution.selected)
        into = {pitch: into[pitch] for pitch in (str(row["pitch"]) for row in self.forced if row["force"] == "in")}
        prize = sum(option.worth for option in problem.options) + 1
        options = [
            replace(option, worth=option.worth + prize) if option.pitch in into else option
            for option in problem.options
            if option.pitch not in out and into.get(option.pitch, option.offer) == option.offer
        ]
        clear = {option.pitch for option in options if problem.eligible(option)}
        options = [option for option in options if problem.eligible(option) or option.pitch not in clear]
        here = {int(option.pitch) for option in options}
        bound = replace(
            problem,
            options=tuple(options),
            incompatible=_pairs(self.pairs["incompatible"], here),
            requires=_pairs(self.pairs["requires"], here),
        )
        return bound, replace(solution, worth=solution.worth + prize * len(into))

    def choose(self, problem: Problem, *, forced: Sequence[Json] | None = None) -> Solution:
        """Return the best choice under overrides, the signed ones unless said otherwise; raises Infeasible."""
        from pitches.selection.exact import solve  # loads slowly

        forced = self.forced if forced is None else forced
        return solve(problem, forced_in=_forced_in(forced), forced_out=_forced_out(forced))


def _offer(pitch: int, said: Json, factor: Decimal, k: Decimal) -> Offer:
    quality = Decimal(said["quality"])
    return Offer(
        pitch=pitch,
        name=said["offer"],
        label=said["label"],
        tier=said["tier"],
        lines=said["lines"],
        value=said["value"],
        quality=quality,
        cost=sum(said["lines"].values()),
        worth=worth(Decimal(said["value"]) / 100, factor, quality, k),
    )


def _pairs(pairs: Iterable[Sequence[int]], here: set[int]) -> tuple[tuple[str, str], ...]:
    return tuple((str(a), str(b)) for a, b in pairs if a in here and b in here)


def _forced_in(forced: Iterable[Json]) -> list[str | tuple[str, str]]:
    return [
        (str(row["pitch"]), row["offer"]) if row["offer"] else str(row["pitch"])
        for row in forced
        if row["force"] == "in"
    ]


def _forced_out(forced: Iterable[Json]) -> list[str]:
    return [str(row["pitch"]) for row in forced if row["force"] == "out"]


@dataclass(frozen=True, slots=True)
class Price:
    """What an override costs in worth and how much money it moves, in cents; does it change the choice at all?

    `offer` is what it funds; None where it leaves a pitch out.
    """

    worth: int
    moved: int
    changes: bool
    offer: str | None


def price(inputs: Inputs, override: Json) -> Price:
    """Return what an override costs in worth, and how much money it moves.

    The price is the best that the round can do under the overrides that are signed already, less the best with this
    one as well. What is forced in below the hurdle counts for nothing in it, as in the rule. Raises Infeasible when it
    breaks a limit.
    """
    problem = inputs.problem()
    counted = [option if problem.eligible(option) else replace(option, worth=0) for option in problem.options]
    problem = replace(problem, options=tuple(counted))
    others = [row for row in inputs.forced if row["pitch"] != override["pitch"]]
    before = inputs.choose(problem, forced=others)
    after = inputs.choose(problem, forced=[*others, override])
    is_in, pitch = override["force"] == "in", str(override["pitch"])
    offer = dict((after if is_in else before).selected).get(pitch)
    moved = sum(option.cost for option in problem.options if option.name == (pitch, offer))
    # Where what is forced in opens the way to pitches that need it, it costs nothing, not less.
    return Price(max(before.worth - after.worth, 0), moved, before.selected != after.selected, offer if is_in else None)


def more(inputs: Inputs, solution: Solution) -> Json:
    """Return the choice with five percent more cap, and how it differs: it can even drop what is funded now."""
    problem = inputs.problem(percent=MORE_PERCENT)
    try:
        other = inputs.choose(problem)
    except Infeasible:  # an override that fits the smaller cap fits the larger one; a share of it may not
        return {}
    before, after = dict(solution.selected), dict(other.selected)
    return {
        "cap": problem.cap,
        "spendable": problem.spendable,
        "worth": other.worth,
        "cost": other.cost,
        "added": sorted(int(pitch) for pitch in after.keys() - before.keys()),
        "dropped": sorted(int(pitch) for pitch in before.keys() - after.keys()),
        "changed": [
            {"pitch": int(pitch), "from": before[pitch], "to": after[pitch]}
            for pitch in sorted(after.keys() & before.keys(), key=int)
            if before[pitch] != after[pitch]
        ],
    }


def waitlist(inputs: Inputs, pitches: Iterable[int]) -> list[int]:
    """Return pitches in the order of the waitlist: most worth per dollar, then least cost, then the seed."""

    def place(pk: int) -> tuple[Fraction, int, bytes]:
        best = inputs.judged[pk].best(inputs.hurdle)
        seed = rank_of(inputs.round["seed"], str(pk))
        return (-best.per_dollar, best.cost, seed) if best else (Fraction(0), 0, seed)

    return sorted(pitches, key=place)
