"""How far a member is with their reviews or ballots of a round, and which pitch comes next; conflicts are left out."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F, QuerySet, Value

from pitches.models import Pitch, Round
from pitches.selectors.assignments import pitches_assigned_to
from pitches.selectors.conflicts import HasConflict, undeclared
from pitches.selectors.scores import pitches_reviewed_by, pitches_voted_by
from pitches.transitions import PitchState
from teams.selectors import Person


@dataclass(frozen=True, slots=True)
class Progress:
    """How many pitches of how many are done, and the id of the next one; None when none is left."""

    done: int
    of: int
    next: int | None

    @property
    def left(self) -> int:
        """Return how many are still to be done."""
        return self.of - self.done


def progress_through(queue: Sequence[int], done: frozenset[int], *, after: int = 0) -> Progress:
    """Return the progress through pitch ids in their order; the next one is behind `after`, else from the front."""
    waiting = [pk for pk in queue if pk not in done]
    behind = [pk for pk in queue[queue.index(after) + 1 :] if pk not in done] if after in queue else []
    following = next(iter([*behind, *(pk for pk in waiting if pk != after)]), None)
    return Progress(len(queue) - len(waiting), len(queue), following)


def reviews_progress(user: Person, round_: Round, *, after: int = 0) -> Progress:
    """Return how far somebody is with the reviews that they are asked for; who is asked for none may do all of them.

    The order is the desk's: by number.
    """
    queue = list(_free(user, round_, PitchState.IN_REVIEW).values_list("pk", flat=True))
    asked = pitches_assigned_to(user, round_)
    own = [pk for pk in queue if pk in asked]
    return progress_through(own or queue, pitches_reviewed_by(user, round_), after=after)


def ballots_progress(user: Person, round_: Round, *, after: int = 0) -> Progress:
    """Return how far somebody is with their ballots on what they declared about, by number as on the ballot's page."""
    on_ballot = _free(user, round_, PitchState.SHORTLISTED).exclude(pk__in=undeclared(user, round_).values("pk"))
    queue = list(on_ballot.values_list("pk", flat=True))
    return progress_through(queue, pitches_voted_by(user, round_), after=after)


def _free(user: Person, round_: Round, state: PitchState) -> QuerySet[Pitch]:
    pitches = Pitch.objects.filter(round=round_, state=state, current__isnull=False)
    return pitches.exclude(HasConflict(F("pk"), Value(user.pk))).order_by("pk")
