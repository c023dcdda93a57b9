"""The committee's discussion of a pitch: open to a member without a conflict once their own review is in."""

from pitches.models import Pitch, Remark, Review
from pitches.transitions import RoundState
from teams.selectors import Person

BLIND = frozenset({RoundState.DRAFT, RoundState.OPEN, RoundState.REVIEWING})
"""While a round is here, what others say is hidden until one's own review is in."""


def may_discuss(user: Person, pitch: Pitch) -> bool:
    """Say whether a member without a conflict may read and join the discussion; ask `pitches.view_review` first."""
    if pitch.round.state not in BLIND or pitch.round.is_fast_lane:
        return True
    return Review.objects.filter(revision_id=pitch.current_id, reviewer_id=user.pk).exists()


def remarks_shown_to(user: Person, pitch: Pitch) -> list[Remark]:
    """Return the discussion of a pitch, oldest first, for whom `may_discuss` is true; nothing for others."""
    if not may_discuss(user, pitch):
        return []
    rows = Remark.objects.filter(pitch=pitch).select_related("author", "revision")
    return list(rows.order_by("pk"))
