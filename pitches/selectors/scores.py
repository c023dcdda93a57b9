"""What the committee thinks of each pitch of a round, in a constant number of queries.

Only members without a conflict count, and only reviews of the current revision. A member's review score is the
mean of their criteria by weight; a pitch's is the mean of those by expertise. Disagreement is the population
standard deviation of the members' scores.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from django.db.models import F

from pitches.models import Ballot, Choice, Pitch, Review, ReviewScore, Round
from pitches.scoring import spread, weighted_mean
from pitches.selectors.conflicts import eligible_members
from teams.selectors import Person

TENTH = Decimal("0.1")


@dataclass(slots=True)
class PitchScores:
    """The committee's view of one pitch; scores from 1 to 9. Votes are zero until voting has closed."""

    eligible: int = 0
    reviews: int = 0
    review_score: Decimal | None = None
    disagreement: Decimal | None = None
    cast: int = 0
    yes: int = 0
    no: int = 0
    abstained: int = 0
    ballot_score: Decimal | None = None
    scores: list[int] = field(default_factory=list)

    def has_quorum(self, least: int) -> bool:
        """Say whether there are enough scores, and votes from more than half of the eligible members."""
        return len(self.scores) >= least and 2 * (self.yes + self.no + self.abstained) > self.eligible


def scores_of_round(round_: Round) -> dict[int, PitchScores]:
    """Return the scores of every pitch of a round by pitch id."""
    eligible = eligible_members(round_)
    found = {pk: PitchScores() for pk in Pitch.objects.filter(round=round_).values_list("pk", flat=True)}
    for pk, members in eligible.items():
        found[pk].eligible = len(members)
    _add_reviews(round_, eligible, found)
    _add_ballots(round_, eligible, found)
    return found


def _add_reviews(round_: Round, eligible: Mapping[int, frozenset[int]], found: dict[int, PitchScores]) -> None:
    rows = ReviewScore.objects.filter(
        review__revision__pitch__round=round_, review__revision=F("review__revision__pitch__current")
    ).values_list(
        "review__revision__pitch_id", "review__reviewer_id", "review__expertise", "criterion__weight", "score"
    )
    members: dict[int, dict[tuple[int, int], list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for pitch_id, reviewer_id, expertise, weight, score in rows:
        if reviewer_id in eligible.get(pitch_id, ()):
            members[pitch_id][reviewer_id, expertise].append((weight, score))
    for pitch_id, reviews in members.items():
        weighed = [(expertise, weighted_mean(scores)) for (_, expertise), scores in reviews.items()]
        found[pitch_id].reviews = len(weighed)
        found[pitch_id].review_score = _tenths(weighted_mean(weighed))
        found[pitch_id].disagreement = spread([score for _, score in weighed])


def _add_ballots(round_: Round, eligible: Mapping[int, frozenset[int]], found: dict[int, PitchScores]) -> None:
    rows = Ballot.objects.filter(pitch__round=round_).values_list("pitch_id", "member_id", "choice", "score")
    for pitch_id, member_id, choice, score in rows:
        if member_id not in eligible.get(pitch_id, ()):
            continue
        scores = found[pitch_id]
        scores.cast += 1
        scores.yes += choice == Choice.YES
        scores.no += choice == Choice.NO
        scores.abstained += choice == Choice.ABSTAIN
        if score is not None:
            scores.scores.append(score)
    for scores in found.values():
        if scores.scores:
            scores.ballot_score = _tenths(Fraction(sum(scores.scores), len(scores.scores)))


def _tenths(value: Fraction) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(TENTH)


def reviews_shown_to(user: Person, pitch: Pitch, round_: Round) -> list[Review]:
    """Return the reviews of the current revision that a member without a conflict may read.

    While the round is in review that is their own alone until it is in, then all. Ask `pitches.view_review` first.
    """
    rows = Review.objects.filter(revision=pitch.current_id).select_related("reviewer")
    reviews = list(rows.prefetch_related("scores__criterion").order_by("submitted_at", "pk"))
    own_is_in = any(review.reviewer_id == user.pk for review in reviews)
    still_blind = round_.state in {"open", "reviewing"} and not own_is_in
    return [] if still_blind else reviews


def review_of(user: Person, pitch: Pitch) -> Review | None:
    """Return somebody's review of the current revision of a pitch with its scores; None before it is in."""
    rows = Review.objects.filter(revision=pitch.current_id, reviewer_id=user.pk)
    return rows.select_related("revision").prefetch_related("scores").first()


def review_before(user: Person, pitch: Pitch) -> Review | None:
    """Return somebody's newest review of an earlier revision of a pitch with its scores; it counts for nothing now."""
    rows = Review.objects.filter(revision__pitch=pitch, reviewer_id=user.pk).exclude(revision=pitch.current_id)
    return rows.select_related("revision").prefetch_related("scores").order_by("-revision__number").first()


def pitches_reviewed_by(user: Person, round_: Round) -> frozenset[int]:
    """Return the ids of the pitches whose current revision somebody has reviewed."""
    rows = Review.objects.filter(reviewer_id=user.pk, revision=F("revision__pitch__current"))
    return frozenset(rows.filter(revision__pitch__round=round_).values_list("revision__pitch_id", flat=True))


def pitches_voted_by(user: Person, round_: Round) -> frozenset[int]:
    """Return the ids of the pitches on which somebody has cast a ballot; what it says is not read."""
    return frozenset(Ballot.objects.filter(member_id=user.pk, pitch__round=round_).values_list("pitch_id", flat=True))
