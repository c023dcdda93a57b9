"""The committee's discussion: remarks on a revision, for ever."""

from django.db import transaction

from pitches.access import require_member
from pitches.models import Pitch, Remark
from pitches.selectors.discussion import may_discuss
from pitches.services.locks import pitch_locked
from pitches.transitions import COMMITTEE_AT_WORK
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import User
from teams.services import audit_record

LONGEST_REMARK = 4000


@transaction.atomic
def remark_add(*, actor: User, pitch: Pitch, body: str) -> Remark:
    """Say something to the other members about the current revision.

    Raises NotAllowed, WrongState, Refused (body_missing).
    """
    pitch = pitch_locked(pitch)
    require_member(actor, "pitches.discuss_pitch", pitch, message="Only members without a conflict discuss a pitch.")
    if pitch.round.state not in COMMITTEE_AT_WORK:
        raise WrongState("The committee has finished with this round.")
    if not may_discuss(actor, pitch):
        raise NotAllowed("Hand in your own review first, so that nobody is led by the first opinion.")
    body = body.strip()
    if not 1 <= len(body) <= LONGEST_REMARK:
        raise Refused(f"Say it in 1 to {LONGEST_REMARK:,} characters.", code="body_missing", field="body")
    remark = Remark.objects.create(pitch=pitch, revision=pitch.submitted, author=actor, body=body)
    details = {"pitch": pitch.pk, "revision": pitch.submitted.number}
    audit_record(actor=actor, verb="remark.add", target=remark, details=details)
    return remark
