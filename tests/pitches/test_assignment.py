"""Who is asked to review what: free of conflicts, as even as conflicts allow, moved only where it must be."""

from collections import Counter
from itertools import combinations, product

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from pitches import services
from pitches.assignment import Pair, assign
from pitches.models import Assignment, Pitch
from pitches.selectors.assignments import loads_shown_to, pitches_assigned_to
from pitches.selectors.desk import desk_of
from pitches.services.assignments import assignments_make
from teams.models import Notification
from teams.services import membership_set, role_grant, user_create
from tests.cast import Company
from tests.pages import page_of
from tests.pitches.stage import Stage, queries_of

pytestmark = pytest.mark.django_db

SEEDS = st.text("0123456789abcdef", min_size=1, max_size=8)
COMMITTEES = st.dictionaries(st.integers(1, 4), st.frozensets(st.integers(10, 13), max_size=4), min_size=1, max_size=4)


def loads(pairs: frozenset[Pair], eligible: dict[int, frozenset[int]]) -> list[int]:
    count = Counter(member for _, member in pairs)
    return sorted(count[member] for member in frozenset().union(*eligible.values()))


def every_assignment(eligible: dict[int, frozenset[int]], each: int) -> list[frozenset[Pair]]:
    """Return all assignments there are: each pitch with every choice of its members."""
    choices = [
        [
            frozenset((pitch, member) for member in chosen)
            for chosen in combinations(sorted(members), min(each, len(members)))
        ]
        for pitch, members in eligible.items()
    ]
    return [frozenset().union(*choice) for choice in product(*choices)]


def squares(found: list[int]) -> int:
    return sum(load * load for load in found)


@given(COMMITTEES, st.integers(1, 3), SEEDS)
def test_loads_are_as_even_as_in_the_best_of_all_assignments(
    eligible: dict[int, frozenset[int]], each: int, seed: str
) -> None:
    found = assign(eligible, each=each, seed=seed)

    everything = every_assignment(eligible, each)
    assert found in everything
    best = min(everything, key=lambda pairs: squares(loads(pairs, eligible)))
    assert loads(found, eligible) == loads(best, eligible)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 5), SEEDS)
def test_without_conflicts_loads_differ_by_at_most_one(pitches: int, members: int, each: int, seed: str) -> None:
    eligible = {pitch: frozenset(range(members)) for pitch in range(pitches)}

    found = loads(assign(eligible, each=each, seed=seed), eligible)

    assert max(found) - min(found) <= 1
    assert sum(found) == pitches * min(each, members)


@given(COMMITTEES, st.integers(1, 3), SEEDS, st.randoms())
def test_the_order_of_the_input_does_not_matter(
    eligible: dict[int, frozenset[int]], each: int, seed: str, random: object
) -> None:
    turned = {pitch: sorted(eligible[pitch], reverse=True) for pitch in reversed(list(eligible))}

    assert assign(turned, each=each, seed=seed) == assign(eligible, each=each, seed=seed)


@given(COMMITTEES, st.integers(1, 3), SEEDS)
def test_run_again_it_changes_nothing(eligible: dict[int, frozenset[int]], each: int, seed: str) -> None:
    found = assign(eligible, each=each, seed=seed)

    assert assign(eligible, each=each, seed="another", held=found) == found


@given(COMMITTEES, st.integers(1, 3), SEEDS, st.data())
def test_a_new_conflict_moves_one_review_and_no_other(
    eligible: dict[int, frozenset[int]], each: int, seed: str, data: st.DataObject
) -> None:
    before = assign(eligible, each=each, seed=seed)
    if not before:
        return
    pitch, member = data.draw(st.sampled_from(sorted(before)))
    left = {**eligible, pitch: eligible[pitch] - {member}}

    after = assign(left, each=each, seed=seed, held=before)

    assert before - after == {(pitch, member)}
    assert {one for one, _ in after - before} <= {pitch}
    assert len(after - before) == (1 if len(left[pitch]) >= each else 0)


@given(COMMITTEES, COMMITTEES, st.integers(1, 3), SEEDS)
def test_what_is_held_stays_and_the_rest_is_the_best_around_it(
    eligible: dict[int, frozenset[int]], earlier: dict[int, frozenset[int]], each: int, seed: str
) -> None:
    held = frozenset(
        pair for pair in assign(earlier, each=1, seed=seed) if pair[1] in eligible.get(pair[0], frozenset())
    )

    found = assign(eligible, each=each, seed=seed, held=held)

    possible = [pairs for pairs in every_assignment(eligible, each) if held <= pairs]
    assert found in possible
    best = min(possible, key=lambda pairs: squares(loads(pairs, eligible)))
    assert squares(loads(found, eligible)) == squares(loads(best, eligible))


def asked(pitch: Pitch) -> set[str]:
    rows = Assignment.objects.filter(pitch=pitch, ended_at=None)
    return {row.member.email.split("@")[0] for row in rows.select_related("member")}


def test_every_pitch_is_assigned_when_the_round_closes_and_loads_are_even(stage: Stage, company: Company) -> None:
    pitches = [stage.submitted(title) for title in ("One", "Two", "Three", "Four")]
    services.recusal_declare(actor=company.dee, pitch=pitches[0], reason="I built its pilot.")

    stage.to_review()

    assert [len(asked(pitch)) for pitch in pitches] == [3, 3, 3, 3]
    assert asked(pitches[0]) == {"eli", "fay", "gil"}
    assert [(load.asked, load.done) for load in loads_shown_to(stage.company.gil, stage.round)] == [(3, 0)] * 4


def test_assigning_again_asks_nobody_twice(stage: Stage, company: Company) -> None:
    stage.submitted("One")
    stage.to_review()

    assert assignments_make(actor=company.gil, round_=stage.round) == []
    assert Assignment.objects.count() == 3


def test_who_steps_aside_is_replaced_and_nobody_else_is_moved(stage: Stage, company: Company) -> None:
    pitches = [stage.submitted(title) for title in ("One", "Two", "Three")]
    stage.to_review()
    before = {pitch.pk: asked(pitch) for pitch in pitches}
    name = sorted(before[pitches[0].pk])[0]

    services.recusal_declare(actor=company.person(name), pitch=pitches[0], reason="I built its pilot.")

    fourth = ({"dee", "eli", "fay", "gil"} - before[pitches[0].pk]).pop()
    assert asked(pitches[0]) == before[pitches[0].pk] - {name} | {fourth}
    assert [asked(pitch) for pitch in pitches[1:]] == [before[pitch.pk] for pitch in pitches[1:]]
    ended = Assignment.objects.exclude(ended_at=None).get()
    assert (ended.member, ended.end_reason) == (
        company.person(name),
        "The member has a conflict, or no seat any more.",
    )
    assert Notification.objects.filter(
        user=company.person(fourth), title="Q1: you are asked to review 1 more pitch"
    ).exists()


def test_a_member_who_loses_the_seat_is_replaced(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    name = sorted(asked(pitch) - {"gil"})[0]

    seat = stage.round.seats.get(user=company.person(name))
    services.seat_remove(actor=company.gil, seat=seat, reason="She left the company")

    assert asked(pitch) == {"dee", "eli", "fay", "gil"} - {name}


def test_everybody_without_a_conflict_may_still_review(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    [left_out] = {"dee", "eli", "fay", "gil"} - asked(pitch)

    stage.review(company.person(left_out), pitch)

    assert pitch.submitted.reviews.get().reviewer == company.person(left_out)


def test_the_database_assigns_nobody_with_a_conflict_and_moves_no_assignment(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    membership_set(actor=company.system, user=company.dee, team=company.claims, role="member")

    for person in (company.dee, company.hana):
        with pytest.raises(DatabaseError), transaction.atomic():
            Assignment.objects.create(pitch=pitch, member=person)
    with pytest.raises(DatabaseError, match="is final"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE pitches_assignment SET member_id = %s", [company.hana.pk])


def test_the_desk_shows_what_is_assigned_to_the_reader_first(stage: Stage, company: Company) -> None:
    for title in ("One", "Two", "Three", "Four"):
        stage.submitted(title)
    stage.to_review()
    mine = pitches_assigned_to(company.dee, stage.round)

    rows = desk_of(company.dee, stage.round).rows

    assert len(mine) == 3
    assert [row.assigned for row in rows] == [True, True, True, False]
    page = page_of(company.client(company.dee).get(f"/admin/pitches/round/{stage.round.pk}/desk/"))
    assert page.text.count("assigned to you") == 3


def test_the_page_of_assignments_hides_what_the_reader_is_recused_from(stage: Stage, company: Company) -> None:
    first, _ = stage.submitted("First"), stage.submitted("Second")
    services.recusal_declare(actor=company.dee, pitch=first, reason="I built its pilot.")
    stage.to_review()
    path = f"/admin/pitches/round/{stage.round.pk}/assignments/"

    dee, eli = (
        page_of(company.client(person).get(path)).one("div", class_="tank") for person in (company.dee, company.eli)
    )

    assert ("First" in dee.text, "Second" in dee.text) == (False, True)
    assert "First" in eli.text


def test_the_page_of_assignments_asks_as_often_for_three_pitches_as_for_one(stage: Stage, company: Company) -> None:
    stage.submitted("One")
    stage.to_review()
    client, path = company.client(company.gil), f"/admin/pitches/round/{stage.round.pk}/assignments/"
    before = queries_of(client, path)

    for number in range(2):
        person = user_create(actor=company.system, email=f"new{number}@acorn.example", name=f"New {number}")
        role_grant(actor=company.system, user=person, role="committee")
        services.seat_set(actor=company.gil, round_=stage.round, user=person)

    assert queries_of(client, path) == before
