"""Who is told what. No notice goes to a member about a pitch that they have a conflict about.

A notice to the committee says which pitch it is `about`: when its reader gets a conflict later, it is withheld from
then on (`selectors/doors.py`). None says a score, a vote or a decision before the round is published.
"""

from collections.abc import Iterable

from django.db.models import Q
from django.urls import reverse

from pitches.models import MessageKind, Pitch, Round, ThreadMessage
from pitches.selectors.assignments import pitches_assigned_to
from pitches.selectors.conflicts import conflicted_ids, eligible_members, undeclared
from pitches.selectors.rounds import chairs_of, committee_of
from pitches.transitions import PitchState
from teams.models import User
from teams.selectors import leads_of
from teams.services import notification_send


def tell_team(pitch: Pitch, title: str, body: str = "", *, page: str = "pitches:pitch") -> None:
    """Tell the owner and the leads of a pitch's team."""
    url = reverse(page, args=[pitch.pk])
    people = {person.pk: person for person in [pitch.owner, *leads_of(pitch.team)]}
    for person in people.values():
        notification_send(user=person, title=title, body=body, url=url)


def tell_screeners(pitch: Pitch, title: str) -> None:
    """Tell who looks at a new submission first: the chair, or every member without a conflict instead.

    While the round is sealed they learn that something came in, and not what or from whom.
    """
    people = members_for(pitch) if pitch.round.is_fast_lane else chair_or_members(pitch)
    if pitch.round.is_sealed:
        title, url = f"{pitch.round}: {pitch.number} was submitted, sealed", _desk(pitch.round)
    else:
        url = reverse("admin:pitches_pitch_read", args=[pitch.pk])
    _tell_about(pitch, people, title, "", url)


def tell_deciders(pitch: Pitch, title: str, body: str = "") -> None:
    """Tell who answers for the committee on a pitch: the chair, or every member without a conflict instead."""
    _tell_about(
        pitch, chair_or_members(pitch), title, body, reverse("admin:pitches_round_offers", args=[pitch.round_id])
    )


def tell_askers(pitch: Pitch, question: int, title: str, body: str = "") -> None:
    """Tell the members who asked a question or followed it up, those left out who have a conflict by now."""
    asked = ThreadMessage.objects.filter(Q(pk=question) | Q(question=question)).exclude(kind=MessageKind.ANSWER)
    eligible = eligible_members(pitch.round).get(pitch.pk, frozenset())
    people = User.objects.filter(pk__in=asked.values("author"), is_active=True).order_by("pk")
    url = reverse("pitches:questions", args=[pitch.pk])
    _tell_about(pitch, [one for one in people if one.pk in eligible], title, body, url)


def tell_reviewers(pitch: Pitch, people: Iterable[User], title: str, body: str) -> None:
    """Tell members that a pitch waits for their review; ask `members_for` who of them has no conflict."""
    _tell_about(pitch, people, title, body, reverse("admin:pitches_pitch_read", args=[pitch.pk]))


def tell_who_judges(pitch: Pitch, title: str) -> None:
    """Tell who judges a conflict about a pitch: the chair, or every member without a conflict instead."""
    url = reverse("admin:pitches_round_committee", args=[pitch.round_id])
    _tell_about(pitch, chair_or_members(pitch), title, "", url)


def tell_chair_of(pitch: Pitch, title: str, body: str = "") -> None:
    """Tell the chair of a pitch's round what its team did; where the chair has a conflict, the other members."""
    url = reverse("admin:pitches_round_desk", args=[pitch.round_id])
    _tell_about(pitch, chair_or_members(pitch), title, body, url)


def chair_or_members(pitch: Pitch) -> list[User]:
    """Return who acts for the committee on a pitch: the chair, or where they have a conflict those without one."""
    eligible = members_for(pitch)
    chairs = {person.pk for person in chairs_of(pitch.round)}
    return [person for person in eligible if person.pk in chairs] or eligible


def members_for(pitch: Pitch) -> list[User]:
    """Return the members of the committee without a conflict about a pitch."""
    eligible = eligible_members(pitch.round).get(pitch.pk, frozenset())
    return [seat.user for seat in committee_of(pitch.round) if seat.user_id in eligible]


def tell_chair(round_: Round, title: str, body: str = "") -> None:
    """Tell the chair of a round something about the round, never about one of its pitches."""
    for person in chairs_of(round_):
        notification_send(user=person, title=title, body=body, url=_desk(round_))


DECLARE_FIRST = "First declare your conflicts of interest: reviews and ballots open after that."


def tell_members_what_waits(round_: Round, state: PitchState, verb: str, page: str) -> None:
    """Tell each member how many pitches wait for them, those left out about which they have a conflict."""
    waiting = set(round_.pitches.filter(state=state).values_list("pk", flat=True))
    for seat in committee_of(round_):
        count = len(waiting - conflicted_ids(seat.user, round_))
        if count:
            title = f"{round_.name}: {count} {'pitch' if count == 1 else 'pitches'} to {verb}"
            first = undeclared(seat.user, round_).exists()
            asked = len(waiting & pitches_assigned_to(seat.user, round_)) if state == PitchState.IN_REVIEW else 0
            said = f"{asked} of them {'is' if asked == 1 else 'are'} assigned to you." if asked else ""
            notification_send(
                user=seat.user,
                title=title,
                body=" ".join(filter(None, [said, DECLARE_FIRST if first else ""])),
                url=reverse("admin:pitches_round_declare" if first else page, args=[round_.pk]),
            )


def _desk(round_: Round) -> str:
    return reverse("admin:pitches_round_desk", args=[round_.pk])


def tell_members_about(pitch: Pitch, title: str, body: str = "", *, besides: User) -> None:
    """Tell the members without a conflict about a pitch, `besides` left out, who knows it."""
    members = [person for person in members_for(pitch) if person != besides]
    _tell_about(pitch, members, title, body, reverse("admin:pitches_round_decide", args=[pitch.round_id]))


def tell_who_decides(round_: Round) -> None:
    """Tell the chair that decisions are due, and the others how many they take in the chair's place."""
    chairs = chairs_of(round_)
    tell_chair(round_, f"{round_.name}: the ballots are open, decisions are due")
    on_ballot = set(round_.pitches.filter(state=PitchState.SHORTLISTED).values_list("pk", flat=True))
    eligible = {pk: members for pk, members in eligible_members(round_).items() if pk in on_ballot}
    without_chair = {pk for pk in on_ballot if not any(chair.pk in eligible.get(pk, ()) for chair in chairs)}
    url = reverse("admin:pitches_round_decide", args=[round_.pk])
    for seat in committee_of(round_):
        count = sum(seat.user_id in eligible.get(pk, ()) for pk in without_chair)
        if count:
            what = f"{count} {'pitch' if count == 1 else 'pitches'} to decide in the chair's place"
            notification_send(user=seat.user, title=f"{round_.name}: {what}", url=url)


def _tell_about(pitch: Pitch, people: Iterable[User], title: str, body: str, url: str) -> None:
    for person in people:
        notification_send(user=person, title=title, body=body, url=url, about=pitch)
