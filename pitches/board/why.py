"""Why a pitch is in or out, at once: from the sums of the choice, without solving anything again.

Who exactly displaced a pitch is only known by holding it in, which its price does. Pure.
"""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pitches.board.engine import Engine, Setting, pitches_of
from pitches.board.words import whole_dollars
from pitches.selection.problem import Option, Problem, Solution
from pitches.wording import ratio


@dataclass(frozen=True, slots=True)
class Why:
    """A reason: its code, a sentence that names no other pitch, and the pitches that it is about."""

    code: str
    words: str
    by: tuple[int, ...] = ()


def reasons(engine: Engine, setting: Setting, solution: Solution) -> dict[int, Why]:
    """Return why each pitch of a round is in or out."""
    asked = _Asked(engine, setting, solution)
    return {pitch: asked.why(pitch) for pitch in engine.inputs.judged}


class _Asked:
    """A choice with the sums that its limits are about."""

    def __init__(self, engine: Engine, setting: Setting, solution: Solution) -> None:
        self.engine = engine
        self.problem: Problem = engine.at(setting.cap)
        self.taken = {int(pitch): offer for pitch, offer in solution.selected}
        self.held = {one.pitch: one.force for one in setting.held}
        self.chosen = pitches_of(solution)
        self.left = self.problem.spendable - solution.cost
        self.of_team: dict[str, int] = defaultdict(int)
        self.of_tier: dict[str, int] = defaultdict(int)
        self.tiers = self.problem.tier_limits()
        for pitch, name in self.taken.items():
            option = next(one for one in engine.offers[pitch] if one.offer == name)
            self.of_team[option.team] += option.cost
            for tier in self.tiers:
                self.of_tier[tier] += option.on_tier(tier)

    def why(self, pitch: int) -> Why:
        """Return the reason of one pitch."""
        judged = self.engine.inputs.judged[pitch]
        if not judged.has_quorum:
            return Why("no_quorum", "No quorum: too few scores or votes, so it is deferred.")
        if not judged.offers:
            return Why("no_offer", "There is nothing to award.")
        if pitch in self.engine.inputs.blocked:
            return Why("requires", "It needs a pitch that is not to be had in this round.")
        if pitch in self.taken:
            return self._inside(pitch)
        if self.held.get(pitch) == "out":
            return Why("forced_out", "Held out.")
        return self._outside(pitch)

    def _inside(self, pitch: int) -> Why:
        offers = self.engine.offers[pitch]
        option = next(one for one in offers if one.offer == self.taken[pitch])
        words = _beside_the_ask(option, next((one for one in offers if one.offer == "full"), None))
        if self.held.get(pitch) == "in":
            low = "" if self.problem.eligible(option) else " Below the hurdle, so its worth is not counted."
            return Why("forced_in", f"Held in. {words}{low}")
        return Why("selected", words)

    def _outside(self, pitch: int) -> Why:
        offers = self.engine.offers[pitch]
        clearing = [one for one in offers if self.problem.eligible(one)]
        if not clearing:
            best = max(offers, key=_worth_per_dollar)
            least = ratio(Fraction(self.problem.hurdle))
            return Why("below_hurdle", f"Below the hurdle: worth {_ratio(best)} for each dollar, {least} is asked.")
        alone = [self._too_large(one) for one in clearing]
        if all(alone):
            return Why(alone[0], ALONE[alone[0]])
        return self._paired(pitch) or self._beside(clearing)

    def _too_large(self, option: Option) -> str:
        if option.cost > self.problem.spendable:
            return "cap"
        if self.problem.team_limit is not None and option.cost > self.problem.team_limit:
            return "team_cap"
        return "tier_cap" if any(option.on_tier(tier) > most for tier, most in self.tiers.items()) else ""

    def _paired(self, pitch: int) -> Why | None:
        """Return the reason when a pair is in the way."""
        name = str(pitch)
        others = {int(other) for pair in self.problem.incompatible if name in pair for other in pair if other != name}
        if found := sorted(others & self.chosen):
            return Why("incompatible", "Cannot run with a pitch that is in.", tuple(found))
        needed = {int(other) for one, other in self.problem.requires if one == name}
        if missing := sorted(needed - self.chosen):
            return Why("requires", "Needs a pitch that is out.", tuple(missing))
        return None

    def _beside(self, clearing: list[Option]) -> Why:
        """Return the reason of a pitch that fits alone, and not beside what is in."""
        fits = [one for one in clearing if one.cost <= self.left]
        for code, over in (("team_cap", self._over_team), ("tier_cap", self._over_tier)):
            if fits and all(over(one) for one in fits):
                return Why(code, BESIDE[code])
        return Why("displaced", "Others are worth more for the same money.")

    def _over_team(self, option: Option) -> bool:
        limit = self.problem.team_limit
        return limit is not None and self.of_team[option.team] + option.cost > limit

    def _over_tier(self, option: Option) -> bool:
        return any(self.of_tier[tier] + option.on_tier(tier) > most for tier, most in self.tiers.items())


ALONE = {
    "cap": "None of its offers fits this cap.",
    "team_cap": "Each of its offers is more than one team can get.",
    "tier_cap": "Each of its offers is more than the frontier tier can get.",
}
BESIDE = {
    "team_cap": "Its team is at what one team can get.",
    "tier_cap": "The frontier tier is at what it can get.",
}


def _beside_the_ask(option: Option, asked: Option | None) -> str:
    if asked is None or asked.cost == option.cost:
        return "As asked."
    difference = whole_dollars(Decimal(abs(asked.cost - option.cost)) / 100)
    return f"Frees {difference} of what it asked." if asked.cost > option.cost else f"{difference} more than it asked."


def _worth_per_dollar(option: Option) -> Fraction:
    return Fraction(option.worth, option.cost) if option.cost else Fraction(0)


def _ratio(option: Option) -> str:
    return ratio(_worth_per_dollar(option))
