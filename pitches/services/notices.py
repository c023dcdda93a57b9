"""Who is told what. No notice goes to a member about a pitch that they have a conflict about."""

from collections.abc import Iterable

from django.db.models import Q
from django.urls import reverse

from pitches.models import MessageKind, Pitch, Round, ThreadMessage
from pitches.selectors.assignments import pitches_assigned_to
from pitches.selectors.conflicts import conflicted_ids, eligible_members
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
    eligible = eligible_members(pitch.round).get(pitch.pk, frozenset())
    chairs = [person for person in chairs_of(pitch.round) if person.pk in eligible]
    members = [seat.user for seat in committee_of(pitch.round) if seat.user_id in eligible]
    if pitch.round.is_fast_lane:
        chairs = members  # any of them decides
    if pitch.round.is_sealed:
        title, url = f"{pitch.round}: {pitch.number} was submitted, sealed", _desk(pitch.round)
    else:
        url = reverse("admin:pitches_pitch_read", args=[pitch.pk])
    _tell(chairs or members, title, "", url)


def tell_deciders(pitch: Pitch, title: str, body: str = "") -> None:
    """Tell who answers for the committee on a pitch: the chair, or every member without a conflict instead."""
    eligible = eligible_members(pitch.round).get(pitch.pk, frozenset())
    seated = [seat for seat in committee_of(pitch.round) if seat.user_id in eligible]
    people = [seat.user for seat in seated if seat.is_chair] or [seat.user for seat in seated]
    _tell(people, title, body, reverse("admin:pitches_round_offers", args=[pitch.round_id]))


def tell_askers(pitch: Pitch, question: int, title: str, body: str = "") -> None:
    """Tell the members who asked a question or followed it up, those left out who have a conflict by now."""
    asked = ThreadMessage.objects.filter(Q(pk=question) | Q(question=question)).exclude(kind=MessageKind.ANSWER)
    eligible = eligible_members(pitch.round).get(pitch.pk, frozenset())
    people = User.objects.filter(pk__in=asked.values("author"), is_active=True).order_by("pk")
    _tell([one for one in people if one.pk in eligible], title, body, reverse("pitches:questions", args=[pitch.pk]))


def tell_chair(round_: Round, title: str, body: str = "") -> None:
    """Tell the chair of a round."""
    _tell(chairs_of(round_), title, body, _desk(round_))


def tell_members_what_waits(round_: Round, state: PitchState, verb: str, page: str) -> None:
    """Tell each member how many pitches wait for them, those left out about which they have a conflict."""
    waiting = set(round_.pitches.filter(state=state).values_list("pk", flat=True))
    for seat in committee_of(round_):
        count = len(waiting - conflicted_ids(seat.user, round_))
        if count:
            title = f"{round_.name}: {count} {'pitch' if count == 1 else 'pitches'} to {verb}"
            asked = len(waiting & pitches_assigned_to(seat.user, round_)) if state == PitchState.IN_REVIEW else 0
            body = f"{asked} of them {'is' if asked == 1 else 'are'} assigned to you." if asked else ""
            notification_send(user=seat.user, title=title, body=body, url=reverse(page, args=[round_.pk]))


def _desk(round_: Round) -> str:
    return reverse("admin:pitches_round_desk", args=[round_.pk])


def tell_members_about(pitch: Pitch, title: str, body: str = "", *, besides: User) -> None:
    """Tell the members without a conflict about a pitch, `besides` left out, who knows it."""
    eligible = eligible_members(pitch.round).get(pitch.pk, frozenset())
    members = [seat.user for seat in committee_of(pitch.round) if seat.user_id in eligible - {besides.pk}]
    _tell(members, title, body, reverse("admin:pitches_round_decide", args=[pitch.round_id]))


def _tell(people: Iterable[User], title: str, body: str, url: str) -> None:
    for person in people:
        notification_send(user=person, title=title, body=body, url=url)
