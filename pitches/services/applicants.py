"""Who applies together with a team: named in its draft, told, and let in."""

import re
from collections.abc import Mapping

from django.urls import reverse

from pitches.models import DraftApplicant, Pitch
from pitches.selectors.applicants import people_by_email
from teams.errors import NotAllowed
from teams.models import User
from teams.selectors import is_member
from teams.services import audit_record, notification_send

ROW = re.compile(r"applicants-\d+-(email|role)")


def applicants_name(*, actor: User, pitch: Pitch, draft: Mapping[str, str]) -> None:
    """Let in whom a draft names as co-applicant, and nobody else; call it with the pitch locked.

    Raises NotAllowed when somebody from outside the team names other people than the draft did.
    """
    if _named(draft) == _named(pitch.draft) and pitch.draft_version:
        return
    if not is_member(actor, pitch.team) and _named(draft) != _named(pitch.draft):
        raise NotAllowed("Only people of the team name co-applicants.")
    people = people_by_email(text for name, text in _named(draft).items() if name.endswith("-email"))
    wanted = {person.pk: person for person in people.values()}
    known = {row.user_id: row for row in DraftApplicant.objects.filter(pitch=pitch).select_related("user")}
    for row in known.values():
        if row.is_named != (row.user_id in wanted):
            _name(actor, pitch, row.user, is_named=row.user_id in wanted)
    for pk in wanted.keys() - known.keys():
        _name(actor, pitch, wanted[pk], is_named=True)
        _tell(pitch, actor, wanted[pk])


def _named(draft: Mapping[str, str]) -> dict[str, str]:
    return {name: text.strip() for name, text in draft.items() if ROW.fullmatch(name) and text.strip()}


def _name(actor: User, pitch: Pitch, person: User, *, is_named: bool) -> None:
    DraftApplicant.objects.update_or_create(pitch=pitch, user=person, defaults={"is_named": is_named})
    verb = "pitch.applicant_add" if is_named else "pitch.applicant_remove"
    audit_record(actor=actor, verb=verb, target=pitch, details={"user": person.email})


def _tell(pitch: Pitch, actor: User, person: User) -> None:
    if person.pk != actor.pk:
        title = f"{actor.name} named you as co-applicant of {pitch}"
        body = f"You can read and edit the draft; a lead of {pitch.team} submits it."
        notification_send(user=person, title=title, body=body, url=reverse("pitches:edit", args=[pitch.pk]))
