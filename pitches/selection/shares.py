"""Equal shares, to compare the exact choice with: every team gets the same part of the money for its own pitches."""

from dataclasses import replace
from decimal import Decimal

from pitches.selection import greedy
from pitches.selection.problem import Option, Problem, Solution, breaches, chosen, solution_of


def solve(problem: Problem) -> Solution:
    """Return what equal shares choose: the spendable cents divided by the teams that pitched, floored.

    Each team spends its share greedily on its own; what would break a limit of all together is left out, in the
    order of teams. What a team does not use stays unspent. `optimal` is False and `gap` 0.
    """
    teams = sorted({option.team for option in problem.options})
    picked: list[Option] = []
    for team in teams:
        own = tuple(option for option in problem.options if option.team == team)
        names = {option.pitch for option in own}
        share = replace(
            problem,
            cap=problem.spendable // len(teams),
            reserve=0,
            team_cap=None,
            tier_caps=dict[str, Decimal](),
            options=own,
            incompatible=tuple(pair for pair in problem.incompatible if set(pair) <= names),
            requires=tuple(pair for pair in problem.requires if set(pair) <= names),
        )
        for option in sorted(chosen(share, greedy.solve(share)), key=problem.rank):
            if not breaches(problem, [*picked, option]):
                picked.append(option)
    return solution_of(picked)
