"""What came before: the pitches that a team may begin from, and what came of the one that a pitch continues."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import QuerySet

from allocations.models import Allocation
from allocations.selectors.allocation import quota_figures
from pitches.access import may
from pitches.models import Offer, Pitch
from pitches.selectors.conflicts import is_conflicted
from pitches.selectors.pitches import STATED
from pitches.transitions import DECISIONS_PUBLIC, OfferState, PitchState
from teams.models import Role
from teams.selectors import Person, has_role, standing


def pitches_to_copy(user: Person) -> QuerySet[Pitch]:
    """Return the pitches that somebody may begin a new one from, newest first: those of their own teams.

    A co-applicant types into a pitch, but does not take its text and its files to another team.
    """
    teams = [pk for pk, _ in standing(user).teams]
    return Pitch.objects.filter(team__in=teams).select_related(*STATED).order_by("-pk")


@dataclass(frozen=True, slots=True)
class Earlier:
    """What came of an earlier pitch; amounts are USD. Without an accepted offer nothing was awarded or spent."""

    pitch: Pitch
    outcome: str
    allocation: Allocation | None
    awarded: Decimal
    spent: Decimal

    @property
    def utilisation(self) -> Decimal | None:
        """Return the share of the award that is spent, from 0 to 1; None without an award."""
        return self.spent / self.awarded if self.awarded > 0 else None


def earlier_shown(user: Person, pitch: Pitch) -> Earlier | None:
    """Return what came of the pitch that a pitch continues, for its team, finance, auditors and unconflicted members.

    None without an earlier pitch, and for a reader who must stay away from either of the two.
    """
    if pitch.continues_id is None:
        return None
    if not (user.has_perm("pitches.change_pitch", pitch) or _oversees(user, pitch)):
        return None
    return earlier_of(Pitch.objects.select_related(*STATED).get(pk=pitch.continues_id))


def _oversees(user: Person, pitch: Pitch) -> bool:
    if has_role(user, Role.FINANCE, Role.AUDITOR):
        return True
    earlier = Pitch(pk=pitch.continues_id)
    return may(user, "pitches.ask_question", pitch) and not is_conflicted(user, earlier)


def earlier_of(pitch: Pitch) -> Earlier:
    """Return what came of a pitch: its outcome, and award and use of the allocation of its accepted offer."""
    accepted = Offer.objects.filter(pitch=pitch, state=OfferState.ACCEPTED).select_related(
        "allocation__committed_account", "allocation__team"
    )
    offer = accepted.order_by("-pk").first()
    allocation = offer.allocation if offer else None
    awarded = sum((line.awarded for line in offer.lines.all()), Decimal(0)) if offer else Decimal(0)
    spent = quota_figures(allocation).spent if allocation else Decimal(0)
    return Earlier(pitch, outcome_of(pitch), allocation, awarded, spent)


def outcome_of(pitch: Pitch) -> str:
    """Return in a word or two what came of a pitch, as far as it is public."""
    if pitch.state in {PitchState.WITHDRAWN, PitchState.DRAFT} or pitch.round.state in DECISIONS_PUBLIC:
        return pitch.get_state_display()
    return "Not decided yet"
