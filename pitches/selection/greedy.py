"""The greedy choice, to compare the exact one with: best worth per dollar first, while it fits."""

from fractions import Fraction

from pitches.selection.fill import Start
from pitches.selection.model import model_of
from pitches.selection.problem import Option, Problem, Solution, solution_of

Rank = tuple[bytes, str, bytes, str]


def solve(problem: Problem) -> Solution:
    """Return what greed chooses: options by worth per cost (then by the order of ties), each that still fits.

    A pitch keeps the first of its options that fits. It is not proved to be anything: `optimal` is False and `gap` 0.
    """
    model = model_of(problem)
    start = Start(model)
    for place in sorted(range(len(model.options)), key=lambda place: _order(problem, model.options[place])):
        pitch = int(model.pitch[place])
        if model.options[place].worth and start.option[pitch] < 0 and start.fits(pitch, place):
            start.put(pitch, place)
    return solution_of(model.options[place] for place in start.option.tolist() if place >= 0)


def _order(problem: Problem, option: Option) -> tuple[bool, Fraction, Rank]:
    """Return an option's place: what costs nothing first, then the most worth per cost, exactly."""
    per_cost = Fraction(option.worth, option.cost) if option.cost else Fraction(0)
    return option.cost > 0, -per_cost, problem.rank(option)
