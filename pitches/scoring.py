"""What the committee's ballots make of a pitch: pure arithmetic, exact up to the one rounding that is stated.

Raw figures are the mean, the median and the disagreement (population standard deviation) of the ballots' scores.
The conviction `k` puts strict and lenient members on one scale:

- `m_j = (n * mean_j + 4 * mean) / (n + 4)`: a member's own mean, topped up with four typical scores, because the
  mean of a handful says more about which pitches somebody happened to read than about how strict they are;
- `sd`: pooled within members, the root of the mean squared distance of each score from its member's own mean,
  never below half a point, so that a committee of one mind is not blown up into quarrels;
- `z_ij = (s_ij - m_j) / sd`, and `z` of a pitch the mean over its members; `k = clip(1 + 0.25 z, 0.5, 1.5)`.

"From five scores on" means: only members who scored five pitches or more of the round are standardised, and only
they enter the mean and the spread. A member with fewer scores counts with z = 0: they were there, they count for the
quorum and for the raw mean, but four scores cannot tell a strict reader from an unlucky pile.

A pitch is scored from the ballots of the members who are eligible for it, all of their ballots and nobody else's. So
what a member with a conflict wrote anywhere changes nothing for that pitch, the other members' means included.

The formula is the house rule that every round publishes; the shrinkage is that of a Bayesian mean with a prior worth
four scores.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

LEAST_SCORES = 5
"""From how many scores on a member is standardised."""
TYPICAL_SCORES = 4
"""How many scores of the committee's mean a member's own mean is topped up with."""
SD_FLOOR = Decimal("0.5")
SLOPE = Decimal("0.25")
LEAST_CONVICTION, MOST_CONVICTION = Decimal("0.5"), Decimal("1.5")
TENTH, PLACES = Decimal("0.1"), Decimal("0.0001")
PRECISION = 60
"""Digits of the square root before anything is rounded."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one member gave one pitch, from 1 to 9."""

    pitch: int
    member: int
    score: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One pitch's scores. `z` and `k` have four places; without a score `k` is 1 and the raw figures are None."""

    count: int
    mean: Decimal | None
    median: Decimal | None
    disagreement: Decimal | None
    z: Decimal
    k: Decimal


def weighted_mean(parts: Sequence[tuple[int, int | Fraction]]) -> Fraction:
    """Return the mean of (weight, value) pairs: reviews by expertise, criteria by weight. Weights are positive."""
    return sum((weight * Fraction(value) for weight, value in parts), Fraction(0)) / sum(weight for weight, _ in parts)


def spread(values: Sequence[int | Fraction]) -> Decimal:
    """Return the population standard deviation to one place."""
    return _root(_variance(values)).quantize(TENTH, ROUND_HALF_EVEN)


def standings(scores: Iterable[Score], eligible: Mapping[int, frozenset[int]]) -> dict[int, Standing]:
    """Return the standing of every pitch in `eligible`, which maps a pitch to the members without a conflict."""
    kept = list(scores)
    scales: dict[frozenset[int], _Scale] = {}
    found = {}
    for pitch, members in eligible.items():
        if members not in scales:
            scales[members] = _Scale([score for score in kept if score.member in members])
        own = [score for score in kept if score.pitch == pitch and score.member in members]
        found[pitch] = _standing(own, scales[members])
    return found


class _Scale:
    """How strict each of some members is, from all that they scored."""

    def __init__(self, scores: Sequence[Score]) -> None:
        rows: dict[int, list[int]] = defaultdict(list)
        for score in scores:
            rows[score.member].append(score.score)
        read = {member: values for member, values in rows.items() if len(values) >= LEAST_SCORES}
        everything = [value for values in read.values() for value in values]
        overall = _mean(everything) if everything else Fraction(0)
        self.means = {member: shrunk_mean(values, overall) for member, values in read.items()}
        self.sd = pooled_sd(list(read.values()))

    def z(self, score: Score) -> Fraction:
        """Return how far a score lies from its member's mean in points, 0 for a member with too few scores."""
        mean = self.means.get(score.member)
        return Fraction(0) if mean is None else score.score - mean


def shrunk_mean(values: Sequence[int], overall: Fraction) -> Fraction:
    """Return a member's mean topped up with four scores of the committee's mean."""
    count = len(values)
    return (sum(values) + TYPICAL_SCORES * overall) / (count + TYPICAL_SCORES)


def pooled_sd(rows: Sequence[Sequence[int]]) -> Decimal:
    """Return the pooled standard deviation of the members' scores around their own means, at least half a point."""
    count = sum(len(values) for values in rows)
    if not count:
        return SD_FLOOR
    squares = sum((_variance(values) * len(values) for values in rows), Fraction(0))
    return max(_root(squares / count), SD_FLOOR)


def conviction(z: Decimal) -> Decimal:
    """Return `clip(1 + 0.25 z, 0.5, 1.5)` to four places, half to even."""
    return min(max(1 + SLOPE * z, LEAST_CONVICTION), MOST_CONVICTION).quantize(PLACES, ROUND_HALF_EVEN)


def _standing(own: Sequence[Score], scale: _Scale) -> Standing:
    if not own:
        return Standing(0, None, None, None, Decimal(0).quantize(PLACES), Decimal(1).quantize(PLACES))
    values = sorted(score.score for score in own)
    distance = sum((scale.z(score) for score in own), Fraction(0)) / len(own)
    with localcontext() as context:
        context.prec = PRECISION
        z = Decimal(distance.numerator) / Decimal(distance.denominator) / scale.sd
        k = conviction(z)
    return Standing(
        count=len(own),
        mean=_tenths(_mean(values)),
        median=_tenths(Fraction(values[(len(values) - 1) // 2] + values[len(values) // 2], 2)),
        disagreement=spread(values),
        z=z.quantize(PLACES, ROUND_HALF_EVEN),
        k=k,
    )


def _mean(values: Sequence[int | Fraction]) -> Fraction:
    return sum((Fraction(value) for value in values), Fraction(0)) / len(values)


def _variance(values: Sequence[int | Fraction]) -> Fraction:
    mean = _mean(values)
    return sum(((value - mean) ** 2 for value in values), Fraction(0)) / len(values)


def _root(value: Fraction) -> Decimal:
    with localcontext() as context:
        context.prec = PRECISION
        return (Decimal(value.numerator) / Decimal(value.denominator)).sqrt()


def _tenths(value: Fraction) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(TENTH, ROUND_HALF_EVEN)
