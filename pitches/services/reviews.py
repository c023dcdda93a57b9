"""Reviews: scores with a sentence each, pinned to the revision that was read."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models.functions import Now

from pitches.access import require_member
from pitches.models import Criterion, Expertise, Pitch, Review, ReviewScore
from pitches.selectors.conflicts import has_declared
from pitches.services.locks import pitch_locked
from pitches.transitions import PitchState, RoundState
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record

LOWEST, HIGHEST = 1, 9
LONGEST_SENTENCE = 400


@dataclass(frozen=True, slots=True)
class Mark:
    """A score from 1 to 9 and the sentence that explains it."""

    score: int
    sentence: str


@transaction.atomic
def review_submit(
    *,
    actor: User,
    pitch: Pitch,
    revision_number: int,
    marks: Mapping[int, Mark],
    expertise: Expertise,
    comment: str = "",
) -> Review:
    """Hand in a review of the current revision, or replace one's own; `marks` by criterion id.

    Raises NotAllowed, WrongState, Refused (not_declared, another_revision, score_missing, sentence_missing).
    """
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.review_pitch", pitch, message="Only members without a conflict review a pitch.")
    if pitch.round.state != RoundState.REVIEWING or pitch.state != PitchState.IN_REVIEW:
        raise WrongState("This pitch is not in review now.")
    if pitch.current is None or pitch.current.number != revision_number:
        raise Refused("The team has submitted a newer revision: read that one.", code="another_revision")
    criteria = list(Criterion.objects.filter(round=pitch.round).order_by("position"))
    for criterion in criteria:
        _require_mark(criterion, marks.get(criterion.pk))
    if not has_declared(actor, pitch):
        raise Refused("First declare whether you have a conflict of interest about it.", code="not_declared")
    review, made = Review.objects.update_or_create(
        revision=pitch.current,
        reviewer=actor,
        defaults={"expertise": expertise, "comment": comment.strip(), "submitted_at": Now()},
    )
    review.scores.all().delete()
    ReviewScore.objects.bulk_create(
        ReviewScore(
            review=review,
            criterion=criterion,
            score=marks[criterion.pk].score,
            sentence=marks[criterion.pk].sentence.strip(),
        )
        for criterion in criteria
    )
    verb = "review.submit" if made else "review.replace"
    audit_record(actor=actor, verb=verb, target=review, details={"pitch": pitch.pk, "revision": revision_number})
    return review


def _require_mark(criterion: Criterion, mark: Mark | None) -> None:
    if mark is None or not LOWEST <= mark.score <= HIGHEST:
        raise Refused(f"Score {criterion.name} from 1 to 9.", code="score_missing", field=f"score-{criterion.pk}")
    if not 1 <= len(mark.sentence.strip()) <= LONGEST_SENTENCE:
        raise Refused(
            f"Explain the score of {criterion.name} in a sentence of at most {LONGEST_SENTENCE} characters.",
            code="sentence_missing",
            field=f"sentence-{criterion.pk}",
        )
