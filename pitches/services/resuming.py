"""A returned pitch that comes back while its round is in review: what was found about it goes on where nothing changed.

Where both, the platform and compliance, had screened the earlier revision, nobody has to take the pitch in again.
"""

from collections.abc import Mapping

from django.db.models import F, Value

from pitches.models import Aspect, Finding, Pitch, PitchRevision, Review, Screening
from pitches.selectors.assignments import assignments_standing
from pitches.selectors.conflicts import HasConflict
from pitches.selectors.pitches import revision_whole
from pitches.selectors.revisions import facts_screened
from pitches.services.assignments import assignments_make
from pitches.services.notices import members_for, tell_chair_of, tell_reviewers
from pitches.services.states import pitch_move
from pitches.transitions import PitchState, RoundState
from teams.models import User
from teams.selectors import system_user
from teams.services import audit_record

Findings = Mapping[Aspect, Screening]


def review_resume(*, submitter: User, pitch: Pitch) -> bool:
    """Take a pitch that came back into review, where its round is in review and its screening was done.

    Findings of what the new revision does not change are carried over to it; the rest is screened anew. What was
    infeasible, or not screened by both, waits for the committee as before: then the answer is False. Call it with the
    pitch and its round locked.
    """
    number = pitch.submitted.number
    if pitch.round.state != RoundState.REVIEWING:
        return False
    before, after = revision_whole(pitch, number - 1), revision_whole(pitch)
    if before is None or after is None:
        return False
    found = _findings(before)
    carried = [aspect for aspect in Aspect if aspect in found and _carry(found[aspect], before, after)]
    if len(found) < len(Aspect) or any(row.finding == Finding.INFEASIBLE for row in found.values()):
        return False
    again = [aspect for aspect in Aspect if aspect not in carried]
    reason = f"{submitter.name} submitted revision {number} in answer to the committee. {_words(carried, again)}"
    details = {"revision": number, "carried": carried, "again": again}
    system = system_user()
    pitch_move(actor=system, pitch=pitch, to=PitchState.IN_REVIEW, verb="pitch.take_in", reason=reason, details=details)
    assignments_make(actor=system, round_=pitch.round)
    _tell(pitch, reason)
    return True


def _findings(revision: PitchRevision) -> Findings:
    rows = Screening.objects.filter(revision=revision).select_related("by").order_by("pk")
    return {Aspect(row.aspect): row for row in rows}


def _carry(found: Screening, before: PitchRevision, after: PitchRevision) -> bool:
    """Carry a finding over to a newer revision that says the same of what was judged; answer whether it was."""
    aspect = Aspect(found.aspect)
    if found.finding == Finding.INFEASIBLE or facts_screened(before, aspect) != facts_screened(after, aspect):
        return False
    # Who found it may have a conflict by now; then somebody else looks.
    if Pitch.objects.filter(HasConflict(F("pk"), Value(found.by_id)), pk=after.pitch_id).exists():
        return False
    Screening.objects.create(
        revision=after, aspect=aspect, finding=found.finding, reason=found.reason, by=found.by, carried_from=found
    )
    details = {"revision": after.number, "aspect": aspect.value, "finding": found.finding, "carried_from": found.pk}
    reason = f"Carried over from revision {before.number}, as {found.by.name} found it: {found.reason}"
    audit_record(actor=system_user(), verb="pitch.screen", target=after.pitch, reason=reason, details=details)
    return True


def _words(carried: list[Aspect], again: list[Aspect]) -> str:
    if not again:
        return "Both screenings stay: nothing that they judged changed."
    anew = f"{_named(again)} {'is' if len(again) == 1 else 'are'} screened anew."
    return f"The screening of {_named(carried).lower()} stays. {anew}" if carried else anew


def _named(aspects: list[Aspect]) -> str:
    return " and ".join(aspect.label if place == 0 else aspect.label.lower() for place, aspect in enumerate(aspects))


def _tell(pitch: Pitch, reason: str) -> None:
    title = f"{pitch.team}: {pitch.submitted.title} came back as revision {pitch.submitted.number} and is in review"
    tell_chair_of(pitch, title, reason)
    reviewed = set(Review.objects.filter(revision__pitch=pitch).values_list("reviewer", flat=True))
    asked = {row.member_id for row in assignments_standing(pitch.round) if row.pitch_id == pitch.pk}
    again = [person for person in members_for(pitch) if person.pk in reviewed]
    first = [person for person in members_for(pitch) if person.pk in asked - reviewed]
    tell_reviewers(pitch, again, title, "Your review of the earlier revision is filled in. It counts once you save it.")
    tell_reviewers(pitch, first, title, "You are asked to review it.")
