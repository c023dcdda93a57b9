"""Seals: what was submitted is closed to everybody outside its team until its round is unsealed.

A regular round is unsealed when it closes for pitches, a fast lane when it opens. Before that a peek, which is logged
and told to the team, opens one revision to one person; a newer revision is sealed again.
"""

from dataclasses import dataclass

from django.db.models import F, Q

from pitches.models import Peek, Pitch, Round
from pitches.transitions import PRIVATE_PITCH
from teams.selectors import Person


def unsealed_to(user: Person) -> Q:
    """Return the condition on pitches that the seal is open to somebody."""
    peeked = Peek.objects.filter(person_id=user.pk).values("revision")
    return Q(round__unsealed_at__isnull=False) | Q(current__in=peeked)


def is_unsealed_to(user: Person, pitch: Pitch) -> bool:
    """Say whether the seal on a pitch's current revision is open to somebody outside its team."""
    if not pitch.round.is_sealed:
        return True
    return Peek.objects.filter(revision_id=pitch.current_id, person_id=user.pk).exists()


def sealed_ids(user: Person, round_: Round) -> frozenset[int]:
    """Return the ids of the pitches of a round that are sealed to somebody outside their teams."""
    if not round_.is_sealed:
        return frozenset()
    peeked = Peek.objects.filter(person_id=user.pk).values("revision")
    rows = Pitch.objects.filter(round=round_).exclude(current__in=peeked)
    return frozenset(rows.values_list("pk", flat=True))


@dataclass(frozen=True, slots=True)
class Sealed:
    """A pitch as anybody may know it before the seal opens: that it is there, and in which state."""

    pk: int
    number: str
    state: str
    is_opened: bool


def sealed_pitches(user: Person, round_: Round) -> list[Sealed]:
    """Return the pitches submitted to a sealed round by number, and which of them somebody has peeked at."""
    if not round_.is_sealed:
        return []
    shown = Pitch.objects.filter(round=round_, current__isnull=False).exclude(state__in=PRIVATE_PITCH).order_by("pk")
    opened = Peek.objects.filter(person_id=user.pk, pitch__round=round_, revision=F("pitch__current"))
    known = frozenset(opened.values_list("pitch_id", flat=True))
    # Only what is needed is read: nothing of the content can slip into a page.
    return [
        Sealed(pitch.pk, pitch.number, pitch.get_state_display(), pitch.pk in known)
        for pitch in shown.only("pk", "state")
    ]
