"""The whole result of a choice as canonical text: what every pitch gets and why, in figures and in words.

The exact choice is checked by a second, independent programme before anything is said about it. Pure.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from typing import Any

from pitches.choosing import Inputs, Json, Judged, Offer, Tell, canonical, more, tell_nobody, waitlist
from pitches.selection.explain import Reason
from pitches.selection.explain import codes as codes_of
from pitches.selection.problem import Infeasible, Problem, Solution, breaches
from pitches.selection.problem import chosen as chosen_options
from pitches.selection.programme import Programme
from pitches.selection.session import Session
from pitches.wording import formula, sentence

ON_WAITLIST = frozenset({"displaced", "cap", "team_cap", "tier_cap", "incompatible", "requires"})
"""Reasons that leave a pitch waiting: it is good enough, and money that comes back can reach it."""


class CheckFailed(Exception):
    """The second programme found another best worth: neither result can be trusted."""


def result_text(inputs_text: str, *, tell: Tell = tell_nobody) -> str:
    """Compute a whole result from locked inputs; `tell` hears how many of all pitches are explained.

    Raises Infeasible, CheckFailed.
    """
    inputs = Inputs(inputs_text)
    problem = inputs.problem()
    solution = inputs.choose(problem)
    if broken := breaches(problem, chosen_options(problem, solution)):
        raise CheckFailed(f"The choice breaks a limit of the round: {', '.join(broken)}. Nothing is stored; report it.")
    free = inputs.choose(problem, forced=()) if inputs.forced else solution
    return canonical(
        {
            "spendable": problem.spendable,
            "worth": solution.worth,
            "cost": solution.cost,
            "optimal": solution.optimal,
            "gap": solution.gap,
            "worth_without_overrides": free.worth,
            "check": checked(problem, free),
            "more": more(inputs, solution),
            "pitches": _pitches(inputs, problem, solution, tell),
        }
    )


def checked(problem: Problem, solution: Solution) -> Json:
    """Compare a choice with the independent programme; raises CheckFailed when both cannot be right.

    Where only the cap binds that programme is exact too; where other limits bind, it bounds the worth from above.
    """
    found = Programme(problem).at(problem.spendable)
    agrees = solution.worth == found.worth if found.exact and solution.optimal else solution.worth <= found.worth
    if not agrees:
        raise CheckFailed(
            f"The two programmes disagree: one found a worth of {solution.worth} cents, the other {found.worth}. "
            "Nothing is stored; report it."
        )
    return {"best": found.worth, "exact": found.exact}


def _pitches(inputs: Inputs, problem: Problem, solution: Solution, tell: Tell) -> list[Json]:
    chosen = {int(pitch): offer for pitch, offer in solution.selected}
    bound, same = inputs.bound_by_overrides(problem, solution)
    # What displaces whom comes from the search for the price below.
    why = {int(pitch): reason for pitch, reason in codes_of(bound, same).items()}
    session = Session(bound, same)
    forced = {row["pitch"]: row["force"] for row in inputs.forced}
    codes = {pk: _code(inputs, judged, forced, why, chosen) for pk, judged in inputs.judged.items()}
    places = {pk: n for n, pk in enumerate(waitlist(inputs, [p for p in codes if codes[p] in ON_WAITLIST]), start=1)}
    rows = []
    for done, (pk, judged) in enumerate(inputs.judged.items()):
        tell(done, len(inputs.judged))
        details = _details(session, same, why.get(pk), codes[pk], judged)
        rows.append(_pitch(inputs, judged, codes[pk], chosen.get(pk), details, places))
    return rows


def _code(
    inputs: Inputs, judged: Judged, forced: Mapping[int, str], why: Mapping[int, Reason], chosen: Mapping[int, str]
) -> str:
    if not judged.has_quorum:
        return "no_quorum"
    if not judged.offers:
        return "no_offer"
    if judged.pk in forced:
        return f"forced_{forced[judged.pk]}"
    if judged.pk in inputs.blocked:
        return "requires"
    return "selected" if judged.pk in chosen else why[judged.pk].code


def _details(session: Session, solution: Solution, reason: Reason | None, code: str, judged: Judged) -> Json:
    """Return what displaces a pitch, and the smallest change that would have funded it."""
    if reason is None or code not in ON_WAITLIST | {"below_hurdle"}:
        return {"displaced_by": [], "change": None}
    if code != "below_hurdle":
        after, change = _forced(session, solution, str(judged.pk), judged)
        leave = dict(solution.selected).keys() - after.keys() if code == "displaced" and after else reason.by
        return {"displaced_by": sorted(int(other) for other in leave), "change": change}
    return {"displaced_by": [], "change": _least_raise(session, solution, judged)}


def _least_raise(session: Session, solution: Solution, judged: Judged) -> Json | None:
    """Return the smallest change for a pitch below the hurdle; what is farther below than that is not tried."""
    hurdle = Fraction(session.problem.hurdle)
    least: Json | None = None
    for offer in sorted(judged.offers, key=lambda offer: hurdle * offer.cost - offer.worth):
        if least is not None and hurdle * offer.cost - offer.worth >= least["worth_raise"]:
            break
        change = _forced(session, solution, (str(judged.pk), offer.name), judged)[1]
        if change is not None and (least is None or change["worth_raise"] < least["worth_raise"]):
            least = change
    return least


def _forced(
    session: Session, solution: Solution, what: str | tuple[str, str], judged: Judged
) -> tuple[dict[str, str], Json | None]:
    """Return the best choice with a pitch forced in, and what change of its offer would do the same unforced.

    Forced in, it costs the others so much worth: that much more, and a cent to win the tie, would have funded it. At
    a cost that fits beside what is funded it would have been funded as it is.
    """
    try:
        forced = session.solve(forced_in=[what])
    except Infeasible:
        return {}, None
    after, problem = dict(forced.selected), session.problem
    offer = judged.offer(after[str(judged.pk)])
    hurdle = ceil(Fraction(problem.hurdle) * offer.cost)
    rise = max(solution.worth - forced.worth + 1, hurdle - offer.worth)
    fits_at = _room(problem, solution, judged, offer) if offer.worth >= hurdle else 0
    return after, {"offer": offer.name, "label": offer.label, "worth_raise": rise, "fits_at": fits_at}


def _room(problem: Problem, solution: Solution, judged: Judged, offer: Offer) -> int:
    """Return what is left beside the funded for an offer of a pitch, in cents; 0 where a tier's cap may bind too."""
    if set(offer.lines) & set(problem.tier_caps):
        return 0
    left = problem.spendable - solution.cost
    if problem.team_limit is not None:
        funded = chosen_options(problem, solution)
        left = min(left, problem.team_limit - sum(row.cost for row in funded if row.team == str(judged.team)))
    return left


OUTCOMES = {
    "selected": "fund",
    "forced_in": "fund",
    "forced_out": "decline",
    "below_hurdle": "decline",
    "no_quorum": "defer",
    "no_offer": "decline",
} | dict.fromkeys(ON_WAITLIST, "waitlist")


def _pitch(
    inputs: Inputs, judged: Judged, code: str, chosen: str | None, details: Json, places: Mapping[int, int]
) -> Json:
    offer = judged.offer(chosen) if chosen else judged.best(inputs.hurdle)
    place = places.get(judged.pk, 0)
    standing = judged.standing
    return {
        "id": judged.pk,
        "title": judged.title,
        "outcome": OUTCOMES[code],
        "reason": code,
        "text": sentence(code, inputs, judged, offer, details["change"], place),
        "formula": formula(judged, offer) if offer else "",
        "count": standing.count,
        "mean": _text(standing.mean),
        "median": _text(standing.median),
        "disagreement": _text(standing.disagreement),
        "z": str(standing.z),
        "k": str(standing.k),
        "factor": str(judged.factor),
        "calibration": _calibration(judged),
        "waitlist_place": place or None,
        "displaced_by": details["displaced_by"],
        "smallest_change": details["change"],
        "offers": [_offer(row, inputs) for row in judged.offers],
        **_award(offer),
    }


def _award(offer: Offer | None) -> Json:
    if offer is None:
        return {"offer": None, "label": "", "lines": {}, "quality": None, "value": None, "worth": None, "cost": None}
    return {
        "offer": offer.name,
        "label": offer.label,
        "lines": dict(offer.lines),
        "quality": str(offer.quality),
        "value": offer.value,
        "worth": offer.worth,
        "cost": offer.cost,
    }


def _offer(offer: Offer, inputs: Inputs) -> Json:
    return {
        "offer": offer.name,
        "label": offer.label,
        "cost": offer.cost,
        "worth": offer.worth,
        "clears": offer.worth >= inputs.hurdle * offer.cost,
    }


def _calibration(judged: Judged) -> Json:
    rests_on = judged.basis
    return {
        "resolved": rests_on.count,
        "claimed": str(rests_on.claimed),
        "counted": str(rests_on.counted),
        "class_ratio": str(rests_on.class_ratio),
        "class_resolved": rests_on.class_count,
        "top_up": str(rests_on.top_up),
        "is_policy": rests_on.is_policy,
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
