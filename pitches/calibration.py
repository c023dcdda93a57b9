"""The calibration factor: what a dollar of a team's past claims delivered. Pure and exact up to one rounding.

`B = (sum of min(Y, 2V) + K * M) / (sum of V + K)`, clipped to [0.25, 1.25]: V is what a resolved pitch of the team
claimed, Y what it realised, both USD; M the ratio of the whole class, K four times the class's median claim. In
words: a claim is multiplied by what a dollar of this team's past claims delivered, and a short history is topped up
with four typical pitches. One windfall counts for at most twice its claim, so that luck is not mistaken for skill.

The class of a pitch is its value kind: savings are estimated by other methods than revenue, and by other people, so
they err in other ways. Until ten claims of a class are resolved its ratio says little, and the policy value stands.

This is the credibility formula of insurance (Bühlmann, 1967) with a fixed credibility constant.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from statistics import median

POLICY_RATIO = Fraction(3, 5)
"""M until enough is known: finance's guess that sixty cents of a claimed dollar arrive."""
LEAST_RESOLVED = 10
"""How many resolved claims of a class it takes before its own ratio replaces the policy value."""
TYPICAL_PITCHES = 4
MOST_COUNTED = 2
"""A realised value counts for at most this many times its claim."""
LEAST_FACTOR, MOST_FACTOR = Decimal("0.25"), Decimal("1.25")
PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Claim:
    """A resolved claim: whose, of which class, claimed (above zero) and realised (zero or more), in USD."""

    team: int
    kind: str
    claimed: Decimal
    realised: Decimal


@dataclass(frozen=True, slots=True)
class Basis:
    """What a factor was made of; amounts are USD. `is_policy` says that M is the policy value, not yet measured."""

    claimed: Fraction
    counted: Fraction
    count: int
    class_ratio: Fraction
    class_count: int
    top_up: Fraction
    is_policy: bool

    @property
    def unclipped(self) -> Fraction:
        """Return B before it is clipped: between the team's own ratio and that of the class."""
        if not self.claimed:
            return self.class_ratio
        return (self.counted + self.top_up * self.class_ratio) / (self.claimed + self.top_up)

    @property
    def factor(self) -> Decimal:
        """Return B, clipped and rounded to four places, half to even."""
        value = Decimal(self.unclipped.numerator) / Decimal(self.unclipped.denominator)
        return min(max(value, LEAST_FACTOR), MOST_FACTOR).quantize(PLACES, ROUND_HALF_EVEN)


def counted(claim: Claim) -> Fraction:
    """Return what of a realised value counts: `min(Y, 2V)`, in USD."""
    return Fraction(min(claim.realised, MOST_COUNTED * claim.claimed))


def basis(claims: Iterable[Claim], *, team: int, kind: str) -> Basis:
    """Return what a team's factor for a class rests on, from every resolved claim there is."""
    of_class = [claim for claim in claims if claim.kind == kind]
    own = [claim for claim in of_class if claim.team == team]
    is_policy = len(of_class) < LEAST_RESOLVED
    return Basis(
        claimed=_sum_claimed(own),
        counted=_sum_counted(own),
        count=len(own),
        class_ratio=POLICY_RATIO if is_policy else _sum_counted(of_class) / _sum_claimed(of_class),
        class_count=len(of_class),
        top_up=TYPICAL_PITCHES * Fraction(median([Fraction(claim.claimed) for claim in of_class] or [Fraction(0)])),
        is_policy=is_policy,
    )


def factor(claims: Iterable[Claim], *, team: int, kind: str) -> Decimal:
    """Return the factor by which a team's claims of a class are multiplied, from 0.25 to 1.25."""
    return basis(claims, team=team, kind=kind).factor


def _sum_claimed(claims: Sequence[Claim]) -> Fraction:
    return sum((Fraction(claim.claimed) for claim in claims), Fraction(0))


def _sum_counted(claims: Sequence[Claim]) -> Fraction:
    return sum((counted(claim) for claim in claims), Fraction(0))
