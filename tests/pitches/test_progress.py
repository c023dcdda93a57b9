"""One after the other: the next review, the next ballot, how many are done, and the way back when none is left."""

import pytest
from django.test import Client

from pitches import services
from pitches.models import Ballot, Pitch, Review
from pitches.selectors.progress import Progress, ballots_progress, progress_through, reviews_progress
from tests.cast import Company
from tests.pages import page_of
from tests.pitches.stage import Stage, queries_of

pytestmark = pytest.mark.django_db


def at(round_: object, path: str) -> str:
    return f"/admin/pitches/round/{getattr(round_, 'pk', round_)}/{path}"


def read(pitch: Pitch) -> str:
    return f"/admin/pitches/round/pitch/{pitch.pk}/"


def hand_in(stage: Stage, client: Client, pitch: Pitch) -> str:
    """Hand in a review and go on; answer with where that leads."""
    criteria = stage.round.criteria.values_list("pk", flat=True)
    fields = {f"score-{pk}": "7" for pk in criteria} | {f"sentence-{pk}": "Fine." for pk in criteria}
    return client.post(read(pitch), fields | {"expertise": "2", "revision": "1", "next": "1"})["Location"]


def seal(stage: Stage, client: Client, pitch: Pitch, **more: str) -> str:
    """Seal a ballot; answer with where that leads."""
    fields = {"pitch": str(pitch.pk), f"{pitch.pk}-choice": "yes", f"{pitch.pk}-score": "7"}
    return client.post(at(stage.round, "ballot/"), fields | more)["Location"]


def told(client: Client, path: str) -> str:
    """Return what the page says was done."""
    return " ".join(str(message) for message in client.get(path).context["messages"])


def test_the_next_one_is_behind_the_one_just_done_and_then_from_the_front() -> None:
    found = [
        progress_through([1, 2, 3], frozenset(), after=2),
        progress_through([1, 2, 3], frozenset({3}), after=2),
        progress_through([1, 2, 3], frozenset({1, 2}), after=2),
        progress_through([1, 2, 3], frozenset({1, 3}), after=2),
        progress_through([1, 2, 3], frozenset({1, 2, 3}), after=2),
        progress_through([], frozenset(), after=2),
    ]

    assert found == [
        Progress(0, 3, 3),
        Progress(1, 3, 1),
        Progress(2, 3, 3),
        Progress(2, 3, None),
        Progress(3, 3, None),
        Progress(0, 0, None),
    ]


def test_a_member_goes_from_review_to_review_and_back_to_the_desk(stage: Stage, company: Company) -> None:
    pitches = [stage.submitted(title) for title in ("First", "Second", "Third", "Fourth")]
    stage.to_review()
    services.recusal_declare(actor=company.dee, pitch=pitches[1], reason="I built its pilot.")
    dee = company.client(company.dee)
    mine = [pitch for pitch in pitches if pitch.assignments.filter(member=company.dee, ended_at=None).exists()]
    assert reviews_progress(company.dee, stage.round) == Progress(0, len(mine), mine[0].pk)
    page = page_of(dee.get(read(mine[0])))
    assert page.one("nav", aria_label="Your reviews").text == (
        f"0 of {len(mine)} done Next pitch To your review Back to the desk"
    )

    way = [hand_in(stage, dee, pitch) for pitch in mine]

    assert way == [*(read(pitch) for pitch in mine[1:]), at(stage.round, "desk/")]
    last = f"Your review of {mine[-1]} is in: {len(mine)} of {len(mine)} done. That was the last one."
    assert told(dee, way[-1]).endswith(last)
    assert Review.objects.filter(reviewer=company.dee).count() == len(mine)


def test_who_is_asked_for_no_review_may_do_all_of_them(stage: Stage, company: Company) -> None:
    pitches = [stage.submitted("First"), stage.submitted("Second")]
    stage.to_review()
    stage.round.pitches.first().assignments.update(ended_at="2026-01-01T00:00Z", end_reason="Asked elsewhere.")  # type: ignore[union-attr]
    pitches[1].assignments.update(ended_at="2026-01-01T00:00Z", end_reason="Asked elsewhere.")

    assert reviews_progress(company.fay, stage.round) == Progress(0, 2, pitches[0].pk)


def test_a_member_goes_from_ballot_to_ballot_and_back_to_the_desk(stage: Stage, company: Company) -> None:
    first, second, third = (stage.submitted(title) for title in ("First", "Second", "Third"))
    stage.to_review()
    services.recusal_declare(actor=company.dee, pitch=second, reason="I built its pilot.")
    stage.to_vote()
    dee, page = company.client(company.dee), at(stage.round, "ballot/")

    assert seal(stage, dee, third) == f"{page}#p{third.pk}"
    shown = page_of(dee.get(page))
    assert shown.one("nav", aria_label="Your ballots").text == "1 of 2 done To the next one Back to the desk"
    # The ballot that the address names takes the focus, so that the next key is in it.
    assert [one.attrs["tabindex"] for one in shown.one("ul", class_="ballots").all("li")] == ["-1", "-1"]
    assert seal(stage, dee, third, next="1") == f"{page}#p{first.pk}"
    last = seal(stage, dee, first, next="1")

    assert last == at(stage.round, "desk/")
    assert told(dee, last).endswith("That was the last one: 2 of 2 done.")
    assert ballots_progress(company.dee, stage.round) == Progress(2, 2, None)
    assert ballots_progress(company.eli, stage.round) == Progress(0, 3, first.pk)
    assert Ballot.objects.filter(member=company.dee).count() == 2


def test_a_pitch_is_read_with_as_many_queries_among_three_as_alone(stage: Stage, company: Company) -> None:
    first = stage.submitted("First")
    others = [stage.submitted("Second"), stage.submitted("Third")]
    stage.to_review()
    dee = company.client(company.dee)
    among_three = queries_of(dee, read(first))
    Pitch.objects.filter(pk__in=[pitch.pk for pitch in others]).update(state="withdrawn")

    assert queries_of(dee, read(first)) == among_three
