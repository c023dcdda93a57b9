"""Small selections, their answer by trying everything, and large ones made from a number."""

import random
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby, product
from typing import Any

from hypothesis import strategies as st

from pitches.selection.problem import WAITING_ROUNDS, Option, Problem, Solution, breaches, solution_of

TIERS = ("frontier", "standard", "economy")
KINDS = ("plain", "weakly correlated", "strongly correlated")


def by_trying(problem: Problem, forced_in: str | None = None) -> Solution | None:
    """Return the best of all choices by the rule, ties included; None when there is none."""
    options = sorted(problem.options, key=lambda option: option.name)
    rows: list[list[Option | None]] = [
        [option for option in offers if option.pitch == forced_in or problem.eligible(option)]
        + ([] if pitch == forced_in else [None])
        for pitch, offers in ((pitch, list(offers)) for pitch, offers in groupby(options, lambda option: option.pitch))
    ]
    sets = ([option for option in row if option is not None] for row in product(*rows))
    allowed: list[list[Option]] = [found for found in sets if not breaches(problem, found)]
    best = max(allowed, key=lambda found: _key(problem, found), default=None)
    return None if best is None else solution_of(best, bound=0)


def _key(problem: Problem, found: Sequence[Option]) -> tuple[int, int, int, list[bool]]:
    waiting = {option.team for option in found if option.unfunded_rounds >= WAITING_ROUNDS}
    order = sorted(problem.options, key=problem.rank)
    worth, cost = sum(option.worth for option in found), sum(option.cost for option in found)
    return worth, -cost, len(waiting), [option in found for option in order]


@st.composite
def problems(draw: st.DrawFn, pitches: int = 5, figures: int = 12) -> Problem:
    """Draw a small problem with every kind of limit; small figures make ties likely."""
    names = [f"P{number}" for number in range(draw(st.integers(1, pitches)))]
    figure = st.integers(0, figures)
    options = []
    for name in names:
        team, waited = draw(st.sampled_from(["red", "blue", "green"])), draw(st.sampled_from([0, 0, 2, 3]))
        for offer in range(draw(st.integers(1, 3))):
            tier = draw(st.sampled_from(TIERS))
            options.append(Option(name, f"offer-{offer}", team, tier, draw(figure), draw(figure), None, waited))
    share = st.decimals("0.1", 1, places=2)
    pair = st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda two: two[0] != two[1])
    pairs = st.lists(pair, max_size=2 if len(names) > 1 else 0).map(tuple)
    return Problem(
        cap=draw(st.integers(0, figures * len(names))),
        reserve=0,
        hurdle=draw(st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(1)])),
        team_cap=draw(st.none() | share),
        tier_caps=draw(st.dictionaries(st.sampled_from(TIERS), share, max_size=2)),
        seed=draw(st.sampled_from(["a", "b"])),
        options=tuple(options),
        incompatible=draw(pairs) if len(names) > 1 else (),
        requires=draw(pairs) if len(names) > 1 else (),
    )


def large(pitches: int, kind: str, *, limits: bool, seed: int = 1) -> dict[str, Any]:
    """Return a large problem as its JSON says it: three offers a pitch, a cap of three tenths of all full offers."""
    dice = random.Random(f"{pitches} {kind} {seed}")  # noqa: S311
    teams, top = max(4, pitches // 10), 5_000_000
    offers: list[dict[str, Any]] = []
    for number in range(pitches):
        base, team = dice.randint(100_000, top), f"team-{dice.randrange(teams)}"
        for tier, part in zip(TIERS, (1.0, 0.6, 0.3), strict=True):
            cost = int(base * part * dice.uniform(0.85, 1.15))
            offers.append(
                {
                    "pitch": f"P-{number:04}",
                    "offer": tier,
                    "team": team,
                    "tier": tier,
                    "cost": cost,
                    "worth": _worth(dice, kind, cost, top // 10),
                }
            )
    full = sum(offer["cost"] for offer in offers if offer["offer"] == TIERS[0])
    said: dict[str, Any] = {"cap": full * 3 // 10, "reserve": full // 70, "hurdle": 1, "seed": "s", "offers": offers}
    if limits:
        said |= {"team_cap": round(2 / teams, 4), "tier_caps": {TIERS[0]: 0.4}}
        said |= {name: list(_pairs(dice, pitches)) for name in ("incompatible", "requires")}
    return said


def _worth(dice: random.Random, kind: str, cost: int, step: int) -> int:
    match kind:
        case "plain":
            return int(cost * dice.uniform(0.5, 4))
        case "weakly correlated":
            return max(0, cost + dice.randint(-step, step))
        case _:
            return cost + step


def _pairs(dice: random.Random, pitches: int) -> Iterator[list[str]]:
    for _ in range(pitches // 20):
        yield [f"P-{number:04}" for number in dice.sample(range(pitches), 2)]
