"""What waits for somebody in rounds: as a member of a team, and as a member of a committee.

A title says counts, never what the committee thinks; a pitch is named to its own team alone.
"""

from collections.abc import Iterator
from datetime import datetime

from django.urls import reverse

from ledger.waiting import many
from pitches.models import Round
from pitches.selectors.conflicts import judged_by, undeclared
from pitches.selectors.desk import Desk, desk_of
from pitches.selectors.lists import next_step, offers_waiting
from pitches.selectors.offers import counters_to_answer
from pitches.selectors.pitches import pitches_of_teams
from pitches.selectors.rounds import rounds_seated
from pitches.selectors.selection import overrides_to_sign
from pitches.transitions import PitchState, RoundState
from teams.models import User
from teams.waiting import Waiting

MOST = 6
AT_WORK = (RoundState.OPEN, RoundState.REVIEWING, RoundState.VOTING, RoundState.DECIDING)


def waiting_for(user: User) -> Iterator[Waiting]:
    """Go through what somebody has to do in rounds."""
    yield from _offers(user)
    yield from _pitches(user)
    for round_ in rounds_seated(user).filter(state__in=AT_WORK)[:MOST]:
        yield from _committee(user, round_)
    for round_ in rounds_seated(user).filter(state=RoundState.PUBLISHED)[:MOST]:
        yield from _counters(user, round_)


def _offers(user: User) -> Iterator[Waiting]:
    for offer in offers_waiting(user)[:MOST]:
        yield Waiting(
            f"Answer the offer for {offer.pitch.title}",
            f"{offer.pitch.team} · {offer.pitch.round.name}",
            reverse("pitches:offer", args=[offer.pitch_id]),
            offer.expires_at,
            key=f"offer:{offer.pk}",
        )


def _pitches(user: User) -> Iterator[Waiting]:
    unfinished = pitches_of_teams(user).filter(state__in=[PitchState.RETURNED, PitchState.DRAFT])
    for pitch in unfinished.order_by("-state", "round__submissions_close_at", "-pk")[:MOST]:
        # What came back was in time the first time: it has as long as the reviews.
        returned = pitch.state == PitchState.RETURNED
        yield Waiting(
            pitch.title or "A pitch without a title",
            f"{next_step(pitch)} · {pitch.team} · {pitch.round.name}",
            reverse("pitches:pitch", args=[pitch.pk]),
            pitch.round.reviews_close_at if returned else pitch.round.submissions_close_at,
            key=f"pitch:{pitch.pk}:{'answer' if returned else 'submit'}",
        )


def _counters(user: User, round_: Round) -> Iterator[Waiting]:
    if count := counters_to_answer(user, round_):
        url = reverse("admin:pitches_round_offers", args=[round_.pk])
        title = f"{many(count, 'counter-offer')} to answer"
        yield Waiting(title, round_.name, url, round_.answers_due_at, key=f"round:{round_.pk}:counters")


def _committee(user: User, round_: Round) -> Iterator[Waiting]:
    desk, acts_on = desk_of(user, round_), judged_by(user, round_)
    state = RoundState(round_.state)
    due = round_.voting_closes_at if state == RoundState.VOTING else round_.reviews_close_at
    unsaid = undeclared(user, round_).count() if state != RoundState.DECIDING else 0
    if unsaid:
        url = reverse("admin:pitches_round_declare", args=[round_.pk])
        what = f"Declare your conflicts about {many(unsaid, 'pitch', 'pitches')}"
        yield Waiting(what, round_.name, url, due, key=f"round:{round_.pk}:declare")
    if state == RoundState.DECIDING and (unsigned := overrides_to_sign(user, round_)):
        url = reverse("admin:pitches_round_decide", args=[round_.pk])
        title = f"{many(unsigned, 'override')} to sign"
        yield Waiting(title, round_.name, url, round_.answers_due_at, key=f"round:{round_.pk}:sign")
    for count, verb, until in _work(state, round_, desk, acts_on):
        if count:
            url = reverse(f"admin:pitches_round_{'decide' if verb == 'decide' else 'desk'}", args=[round_.pk])
            yield Waiting(_words(count, verb), round_.name, url, until, key=f"round:{round_.pk}:{verb}")


def _work(state: RoundState, round_: Round, desk: Desk, acts_on: frozenset[int]) -> Iterator[tuple[int, str, datetime]]:
    if state in {RoundState.OPEN, RoundState.REVIEWING}:
        submitted = sum(row.pitch.state == PitchState.SUBMITTED for row in desk.rows if row.pitch.pk in acts_on)
        yield submitted, "screen", round_.reviews_close_at
    if state == RoundState.REVIEWING:
        yield desk.to_review, "review", round_.reviews_close_at
    if state == RoundState.VOTING:
        yield desk.to_vote, "vote", round_.voting_closes_at
    if state == RoundState.DECIDING:
        on_ballot = [row for row in desk.rows if row.pitch.state == PitchState.SHORTLISTED and row.pitch.pk in acts_on]
        yield sum(row.decision is None for row in on_ballot), "decide", round_.answers_due_at


def _words(count: int, verb: str) -> str:
    if verb == "review":
        return f"{many(count, 'review')} to write"
    if verb == "vote":
        return f"{many(count, 'ballot')} to cast"
    return f"{many(count, 'pitch', 'pitches')} to {verb}"
