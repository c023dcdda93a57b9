"""Co-applicants, and the people and pitches that a draft names: each in one query, however many rows there are."""

import re
from collections.abc import Iterable, Mapping

from django.db.models import Q
from django.db.models.functions import Lower

from pitches.models import CoApplicant, DraftApplicant, Pitch
from pitches.transitions import PRIVATE_PITCH
from teams.models import SYSTEM_EMAIL, User
from teams.selectors import Person

NUMBER = re.compile(r"(?:P-)?0*(\d{1,9})", re.ASCII | re.IGNORECASE)


def applying(user: Person) -> Q:
    """Return the condition on pitches that somebody is co-applicant of the draft or of what was submitted last."""
    if user.pk is None:
        return Q(pk__in=[])
    named = DraftApplicant.objects.filter(user_id=user.pk, is_named=True).values("pitch")
    submitted = CoApplicant.objects.filter(user_id=user.pk).values("revision")
    return Q(pk__in=named) | Q(current__in=submitted)


def is_applicant(user: Person, pitch: Pitch) -> bool:
    """Say whether somebody active is co-applicant of a pitch."""
    return bool(getattr(user, "is_active", False)) and Pitch.objects.filter(applying(user), pk=pitch.pk).exists()


def people_by_email(emails: Iterable[str]) -> dict[str, User]:
    """Return the active people with these e-mail addresses by address in small letters; the system is nobody."""
    wanted = {email.strip().lower() for email in emails} - {"", SYSTEM_EMAIL.lower()}
    if not wanted:
        return {}
    people = User.objects.annotate(small=Lower("email")).filter(small__in=wanted, is_active=True)
    return {person.email.lower(): person for person in people}


def pitch_number(text: str) -> int | None:
    """Return the id behind a pitch's number such as P-0007 or 7; None for anything else."""
    match = NUMBER.fullmatch(text.strip())
    return int(match[1]) if match else None


def pitches_linkable(pitch: Pitch, ids: Iterable[int]) -> Mapping[int, Pitch]:
    """Return those of some pitches that a pitch can be tied to, by id.

    They are in its round, and were submitted or are its own team's.
    """
    wanted = set(ids) - {pitch.pk}
    if not wanted:
        return {}
    shown = (~Q(state__in=PRIVATE_PITCH) & Q(current__isnull=False)) | Q(team=pitch.team_id)
    found = Pitch.objects.filter(shown, pk__in=wanted, round=pitch.round_id).exclude(state="withdrawn")
    return {other.pk: other for other in found}
