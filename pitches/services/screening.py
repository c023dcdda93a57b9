"""Screening: the platform checks the estimate, compliance the use of data; what is infeasible goes on no ballot."""

from django.db import transaction

from pitches.access import may, require_who_decides
from pitches.models import Aspect, Finding, Pitch, Screening
from pitches.selectors.screening import infeasible, is_screenable
from pitches.services.locks import pitch_locked
from pitches.services.notices import tell_chair_of, tell_team
from pitches.services.states import pitch_move
from pitches.transitions import PitchState
from teams.errors import SHORTEST_REASON, NotAllowed, Refused, WrongState, require_reason
from teams.models import User
from teams.services import audit_record

PERMISSIONS = {Aspect.ESTIMATE: "pitches.check_estimate", Aspect.COMPLIANCE: "pitches.check_compliance"}


@transaction.atomic
def screening_record(
    *, actor: User, pitch: Pitch, revision_number: int, aspect: Aspect, finding: Finding, reason: str
) -> Screening:
    """Say what was found about an aspect of the current revision; a newer finding replaces it, both are kept.

    Raises NotAllowed, WrongState, Refused (another_revision, reason_missing).
    """
    pitch = pitch_locked(pitch)
    if not may(actor, PERMISSIONS[aspect], pitch):
        raise NotAllowed("The platform checks the estimate and compliance the use of data, each without a conflict.")
    if not is_screenable(pitch):
        raise WrongState("This pitch is not to be screened now.")
    if pitch.submitted.number != revision_number:
        raise Refused("The team has submitted a newer revision: look at that one.", code="another_revision")
    require_reason(reason, "Say why, in at least 10 characters.", least=SHORTEST_REASON)
    screening = Screening.objects.create(
        revision=pitch.submitted, aspect=aspect, finding=finding, reason=reason.strip(), by=actor
    )
    details = {"revision": revision_number, "aspect": aspect.value, "finding": finding.value}
    audit_record(actor=actor, verb="pitch.screen", target=pitch, reason=screening.reason, details=details)
    if finding != Finding.FEASIBLE:
        tell_chair_of(pitch, f"{pitch.submitted.title}: {aspect.label.lower()} {finding.label.lower()}", reason)
    return screening


@transaction.atomic
def pitch_rule_out(*, actor: User, pitch: Pitch, reason: str) -> Pitch:
    """Decline a pitch that a screening found infeasible, without a ballot; the team reads the reason.

    Raises NotAllowed, WrongState, Refused (reason_missing).
    """
    pitch = pitch_locked(pitch)
    require_who_decides(actor, pitch)
    if not is_screenable(pitch) or not infeasible([pitch]):
        raise WrongState("Only what a screening found infeasible is declined without a vote.")
    require_reason(reason, "Give the reason that the team will read.", least=SHORTEST_REASON)
    pitch_move(actor=actor, pitch=pitch, to=PitchState.DECLINED, verb="pitch.decline", reason=reason.strip())
    tell_team(pitch, f"{pitch} was declined: it is not feasible", reason.strip())
    return pitch
