"""Files of a pitch: added to its draft, pinned by each submission, taken away again without touching a revision."""

import hashlib

from django.db import transaction
from django.db.models.functions import Now

from pitches.attachments import LONGEST_NAME, MOST_FILES, file_check
from pitches.models import Attachment, Pitch, PitchRevision, RevisionAttachment
from pitches.services.locks import pitch_locked
from pitches.transitions import EDITABLE_PITCH
from teams.access import require
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record

ONLY_WHO_WRITES = "Only people of the team and co-applicants change the files of a pitch."


@transaction.atomic
def attachment_add(*, actor: User, pitch: Pitch, name: str, declared: str, content: bytes) -> Attachment:
    """Put a file into the folder of a draft; `declared` is the media type that its sender gave.

    A second file of the same name gets a number. Raises NotAllowed, WrongState, Refused (too_many_files,
    file_there_already, and what `attachments.file_check` refuses).
    """
    require(actor, "pitches.write_pitch", pitch, message=ONLY_WHO_WRITES)
    file = file_check(name=name, declared=declared, content=content)
    pitch = _editable(actor, pitch)
    present = list(pitch.attachments.filter(removed_at=None))
    if len(present) >= MOST_FILES:
        raise Refused(f"A pitch holds at most {MOST_FILES} files.", code="too_many_files", field="file")
    digest = hashlib.sha256(content).hexdigest()
    for other in present:
        if other.sha256 == digest:
            raise Refused(f"This file is there already, as {other.name}.", code="file_there_already", field="file")
    attachment = Attachment.objects.create(
        pitch=pitch,
        name=_free_name(file.name, {other.name for other in present}),
        kind=file.kind,
        size=len(content),
        sha256=digest,
        content=content,
        added_by=actor,
    )
    audit_record(actor=actor, verb="attachment.add", target=attachment, details=_facts(attachment))
    return attachment


@transaction.atomic
def attachment_remove(*, actor: User, attachment: Attachment) -> None:
    """Take a file out of a draft; a second time changes nothing. Raises NotAllowed or WrongState.

    Revisions that were submitted with it keep it. A file that no revision has is deleted for good.
    """
    _editable(actor, attachment.pitch)
    attachment = Attachment.objects.select_for_update().get(pk=attachment.pk)
    if attachment.removed_at is not None:
        return
    is_pinned = attachment.pins.exists()
    details = {**_facts(attachment), "kept_by_revisions": is_pinned}
    audit_record(actor=actor, verb="attachment.remove", target=attachment, details=details)
    if is_pinned:
        Attachment.objects.filter(pk=attachment.pk).update(removed_at=Now(), removed_by=actor)
    else:
        attachment.delete()


def attachments_pin(revision: PitchRevision) -> None:
    """Keep the files of a draft with the revision that is being submitted; call it in that transaction."""
    present = revision.pitch.attachments.filter(removed_at=None).order_by("pk")
    RevisionAttachment.objects.bulk_create(
        RevisionAttachment(revision=revision, attachment=attachment, position=position)
        for position, attachment in enumerate(present, start=1)
    )


def attachments_take_along(*, actor: User, source: Pitch, pitch: Pitch) -> None:
    """Put the files of one pitch into the folder of a new one; call it in the transaction that begins it."""
    for attachment in Attachment.objects.defer(None).filter(pitch=source, removed_at=None).order_by("pk"):
        copy = Attachment.objects.create(
            pitch=pitch,
            name=attachment.name,
            kind=attachment.kind,
            size=attachment.size,
            sha256=attachment.sha256,
            content=attachment.content,
            added_by=actor,
        )
        audit_record(actor=actor, verb="attachment.add", target=copy, details={**_facts(copy), "from": attachment.pk})


def _editable(actor: User, pitch: Pitch) -> Pitch:
    pitch = pitch_locked(pitch)
    require(actor, "pitches.write_pitch", pitch, message=ONLY_WHO_WRITES)
    if pitch.state not in EDITABLE_PITCH:
        raise WrongState(f"The files of a pitch that is {pitch.get_state_display().lower()} cannot be changed.")
    return pitch


def _free_name(name: str, taken: set[str]) -> str:
    stem, _, extension = name.rpartition(".")
    names = (name, *(f"{stem[: LONGEST_NAME - 12]} ({number}).{extension}" for number in range(2, MOST_FILES + 2)))
    return next(free for free in names if free not in taken)


def _facts(attachment: Attachment) -> dict[str, object]:
    return {
        "pitch": attachment.pitch_id,
        "name": attachment.name,
        "size": attachment.size,
        "sha256": attachment.sha256,
    }
