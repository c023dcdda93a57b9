"""Why a pitch is in or out, what forcing it costs, and the smallest change that would have funded it.

Everything is found by solving again, exactly; nothing is guessed from prices.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Literal

from pitches.selection import exact
from pitches.selection.problem import Infeasible, Option, Problem, Solution, breaches, chosen
from pitches.selection.session import Session

Code = Literal["selected", "below_hurdle", "displaced", "cap", "team_cap", "tier_cap", "incompatible", "requires"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a pitch is in or out; `by` are the pitches that displaced it, that it cannot run with, or that it needs."""

    code: Code
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """The smallest change of one offer that funds its pitch: cents less cost, or cents more worth; None: none does."""

    cost_cut: int | None
    cost_offer: str | None
    worth_raise: int | None
    worth_offer: str | None


@dataclass(frozen=True, slots=True)
class BudgetDifference:
    """What is funded at two budgets: a pitch that a larger budget drops is shown and not hidden."""

    at_cap: Solution
    at_more: Solution
    joins: tuple[str, ...]
    drops: tuple[str, ...]


def reasons(problem: Problem, solution: Solution, *, seconds: float | None = None) -> dict[str, Reason]:
    """Return why each pitch is in or out.

    `below_hurdle`: no offer reaches the hurdle. `incompatible`, `requires`: each offer that reaches it meets a funded
    pitch that it cannot run with, or lacks one that it needs. `team_cap`, `tier_cap`, `cap`: no such offer fits
    were it alone, or only a team's or tier's cap is in its way. Otherwise `displaced`: by the funded pitches that leave
    when it is forced in; `seconds` limits each of those searches.
    """
    session = Session(problem)
    return {
        pitch: replace(reason, by=displaced_by(session, solution, pitch, seconds=seconds))
        if reason.code == "displaced"
        else reason
        for pitch, reason in codes(problem, solution).items()
    }


def codes(problem: Problem, solution: Solution) -> dict[str, Reason]:
    """Return why each pitch is in or out as `reasons` does, but not by whom one is displaced: nothing is searched."""
    funded = chosen(problem, solution)
    offers: dict[str, list[Option]] = {}
    for option in problem.options:
        offers.setdefault(option.pitch, []).append(option)
    return {pitch: _reason(problem, funded, offers[pitch]) for pitch in sorted(offers)}


def _reason(problem: Problem, funded: list[Option], own: list[Option]) -> Reason:
    pitch, names = own[0].pitch, {option.pitch for option in funded}
    offers = [option for option in own if problem.eligible(option)]
    if pitch in names or not offers:
        return Reason("selected" if pitch in names else "below_hurdle")
    alone = [_limits(breaches(problem, [offer])) for offer in offers]
    if all(alone):
        return Reason(_first_of(alone))
    together = [breaches(problem, [*funded, offer]) for offer in offers]
    if (pair := _pair_reason(problem, together, pitch, names)) is not None:
        return pair
    if all(found and "cap" not in found for found in together):
        return Reason(_first_of([_limits(found) for found in together]))
    return Reason("displaced")


def _pair_reason(problem: Problem, together: list[list[str]], pitch: str, names: set[str]) -> Reason | None:
    if all(_has(found, "incompatible") for found in together):
        return Reason("incompatible", _partners(problem.incompatible, pitch, names))
    if all(_has(found, "requires") for found in together):
        needed = {other for one, other in problem.requires if one == pitch}
        return Reason("requires", tuple(sorted(needed - names)))
    return None


def displaced_by(session: Session, solution: Solution, pitch: str, *, seconds: float | None = None) -> tuple[str, ...]:
    """Return the funded pitches that leave when a pitch is forced in; nothing when it cannot be."""
    try:
        forced = session.solve(forced_in=[pitch], seconds=seconds)
    except Infeasible:
        return ()
    return tuple(sorted(set(dict(solution.selected)) - set(dict(forced.selected))))


def _limits(found: list[str]) -> list[Code]:
    codes: tuple[Code, ...] = ("cap", "team_cap", "tier_cap")
    return [code for code in codes if _has(found, code)]


def _has(found: list[str], code: str) -> bool:
    return any(breach.split(" ")[0] == code for breach in found)


def _first_of(found: list[list[Code]]) -> Code:
    return next((codes[0] for codes in found if codes), "cap")


def _partners(pairs: tuple[tuple[str, str], ...], pitch: str, names: set[str]) -> tuple[str, ...]:
    others = {other for pair in pairs if pitch in pair for other in pair} - {pitch}
    return tuple(sorted(others & names))


def force_price(problem: Problem, solution: Solution, pitch: str, in_or_out: str) -> int | None:
    """Return `U* - U*(forced)` in cents: the worth given up by forcing a pitch "in" or "out"; None when it cannot be.

    Never below 0: what is forced in below the hurdle counts for nothing here, as the rule counts it, and where it
    opens the way to pitches that need it, the price is 0.
    """
    forced_in, forced_out = ([pitch], []) if in_or_out == "in" else ([], [pitch])
    uncounted = tuple(
        option if problem.eligible(option) or option.pitch != pitch else replace(option, worth=0)
        for option in problem.options
    )
    try:
        forced = exact.solve(replace(problem, options=uncounted), forced_in=forced_in, forced_out=forced_out)
    except Infeasible:
        return None
    return max(0, solution.worth - forced.worth)


def smallest_change(problem: Problem, solution: Solution, pitch: str) -> Change:
    """Return the smallest cut of one offer's cost, and the smallest rise of one offer's worth, that funds the pitch.

    Both in cents, and each is exact: a cent less would not do, ties included. For a pitch that is funded both are 0.
    """
    offers = [option for option in problem.options if option.pitch == pitch]
    if pitch in dict(solution.selected):
        offer = dict(solution.selected)[pitch]
        return Change(0, offer, 0, offer)
    cut = _smallest(problem, offers, lambda offer: offer.cost, _cheaper)
    raised = _smallest_raise(problem, solution, offers)
    return Change(*cut, *raised)


def _smallest(
    problem: Problem,
    offers: list[Option],
    most: Callable[[Option], int],
    changed: Callable[[Option, int], Option],
) -> tuple[int, str] | tuple[None, None]:
    """Return the smallest change of one offer by bisection: what a smaller change funds, a larger one funds too."""
    best: tuple[int, str] | tuple[None, None] = (None, None)
    for offer in offers:
        high = most(offer) if best[0] is None else min(best[0] - 1, most(offer))
        if high < 1 or not _funded(problem, offer, changed(offer, high)):
            continue
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _funded(problem, offer, changed(offer, middle)) else (middle, high)
        best = (high, offer.offer)
    return best


def _smallest_raise(problem: Problem, solution: Solution, offers: list[Option]) -> tuple[int, str] | tuple[None, None]:
    """Return the smallest rise of one offer's worth: what forcing the offer in costs, or a cent more to win the tie."""
    best: tuple[int, str] | tuple[None, None] = (None, None)
    for offer in offers:
        try:
            forced = exact.solve(problem, forced_in=[offer.name])
        except Infeasible:
            continue
        hurdle = ceil(Fraction(problem.hurdle) * offer.cost) - offer.worth
        least = max(solution.worth - forced.worth, hurdle, 0)
        rise = least if _funded(problem, offer, replace(offer, worth=offer.worth + least)) else least + 1
        if best[0] is None or rise < best[0]:
            best = (rise, offer.offer)
    return best


def _funded(problem: Problem, offer: Option, changed: Option) -> bool:
    options = tuple(changed if option is offer else option for option in problem.options)
    return offer.pitch in dict(exact.solve(replace(problem, options=options)).selected)


def _cheaper(offer: Option, cut: int) -> Option:
    """Return an offer with so many cents less; a split over tiers gives from its dearest tier first."""
    if offer.tier_costs is None:
        return replace(offer, cost=offer.cost - cut)
    split, left = dict(offer.tier_costs), cut
    for tier in sorted(split, key=lambda tier: (-split[tier], tier)):
        taken = min(left, split[tier])
        split[tier], left = split[tier] - taken, left - taken
    return replace(offer, cost=offer.cost - cut, tier_costs=split)


def budget_difference(problem: Problem, factor: Decimal | Fraction = Decimal("1.05")) -> BudgetDifference:
    """Return what is funded at the cap and at `factor` times it (floored to the cent), and who joins and drops out."""
    session = Session(problem)
    at_cap, at_more = session.solve(), session.solve(cap=int(Fraction(factor) * problem.cap))
    before, after = set(dict(at_cap.selected)), set(dict(at_more.selected))
    return BudgetDifference(at_cap, at_more, tuple(sorted(after - before)), tuple(sorted(before - after)))


def described(reason: Reason) -> Mapping[str, object]:
    """Return a reason as JSON takes it."""
    return {"code": reason.code, "by": list(reason.by)}
