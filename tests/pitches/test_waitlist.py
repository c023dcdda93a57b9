"""The waitlist: money that comes free goes to it in strict order, within every cap, and the history says so."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from allocations.services import allocation_expire, allocation_return
from ledger.models import Tier
from ledger.money import usd
from ledger.selectors import balance
from ledger.services import pool_return
from pitches import services, tasks
from pitches.models import Choice, Decision, Offer, OfferLine, Outcome, Pitch, Round
from pitches.room import Queued, Room, turns
from pitches.selectors.lists import published_decisions
from pitches.selectors.offers import offer_of, room_of
from pitches.selectors.rounds import decided_total, round_money
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification
from tests.cast import Company
from tests.pitches.stage import Stage, open_stage

# --- The arithmetic ---------------------------------------------------------------------------------

amounts = st.integers(min_value=1, max_value=600_00).map(lambda cents: Decimal(cents) / 100)
lines = st.dictionaries(st.sampled_from([Tier.FRONTIER, Tier.STANDARD]), amounts, min_size=1)
queues = st.lists(st.tuples(st.integers(1, 3), lines), max_size=8).map(
    lambda rows: [Queued(number, team, found) for number, (team, found) in enumerate(rows)]
)
caps = st.none() | st.integers(0, 1000).map(Decimal)
rooms = st.builds(Room, free=st.integers(0, 1000).map(Decimal), team_cap=caps, frontier_free=caps)


def total(queued: Queued) -> Decimal:
    return sum(queued.lines.values(), Decimal(0))


@given(room=rooms, queue=queues)
def test_whoever_moves_up_stays_within_every_cap(room: Room, queue: list[Queued]) -> None:
    up = {turn.pitch for turn in turns(room, queue) if turn.short is None}
    chosen = [queued for queued in queue if queued.pitch in up]

    assert sum((total(queued) for queued in chosen), Decimal(0)) <= room.free
    if room.frontier_free is not None:
        frontier = sum((queued.lines.get(Tier.FRONTIER, Decimal(0)) for queued in chosen), Decimal(0))
        assert frontier <= room.frontier_free or frontier == 0
    if room.team_cap is not None:
        for team in {queued.team for queued in chosen}:
            assert sum((total(queued) for queued in chosen if queued.team == team), Decimal(0)) <= room.team_cap


@given(room=rooms, queue=queues)
def test_nobody_is_passed_over_who_fits_what_those_before_leave(room: Room, queue: list[Queued]) -> None:
    found = turns(room, queue)

    assert [turn.pitch for turn in found] == [queued.pitch for queued in queue[: len(found)]]
    left = room
    for queued, turn in zip(queue, found, strict=False):
        assert turn.short == left.short(queued.team, queued.lines)
        if turn.short is None:
            left = left.less(queued.team, queued.lines)
    assert all(left.short(queued.team, queued.lines) for queued in queue[len(found) :])


@given(room=rooms, queue=queues)
def test_a_second_time_nobody_moves_up(room: Room, queue: list[Queued]) -> None:
    up = {turn.pitch for turn in turns(room, queue) if turn.short is None}
    for queued in queue:
        if queued.pitch in up:
            room = room.less(queued.team, queued.lines)

    assert turns(room, [queued for queued in queue if queued.pitch not in up]) == []


# --- The round --------------------------------------------------------------------------------------


def waitlist(stage: Stage, pitch: Pitch, amount: str = "2400", place: int | None = None) -> Decision:
    return services.decision_set(
        actor=stage.company.gil,
        pitch=pitch,
        outcome=Outcome.WAITLIST,
        reason="Good, behind the others.",
        lines={Tier.STANDARD: Decimal(amount)} if amount else {},
        place=place,
    )


def published(stage: Stage, funded: Sequence[str], waiting: Sequence[str]) -> tuple[list[Pitch], list[Pitch]]:
    """Publish a round in which pitches were funded with amounts, and others waitlisted with amounts, in order."""
    first = [stage.submitted(f"Funded {number}") for number in range(len(funded))]
    second = [stage.submitted(f"Waiting {number}") for number in range(len(waiting))]
    stage.to_decide(*first, *second)
    for pitch, amount in zip(first, funded, strict=True):
        stage.fund(pitch, amount)
    for pitch, amount in zip(second, waiting, strict=True):
        waitlist(stage, pitch, amount)
    services.round_publish(actor=stage.company.gil, round_=stage.round)
    stage.now()
    return first, second


def decline(stage: Stage, pitch: Pitch) -> None:
    offer = offer_of(pitch)
    assert offer is not None
    services.offer_decline(actor=stage.company.ana, offer=offer, reason="Bought instead")


def states(pitches: Sequence[Pitch]) -> list[str]:
    return [Pitch.objects.get(pk=pitch.pk).state for pitch in pitches]


@pytest.mark.django_db
class TestTheOrder:
    def test_a_place_is_the_last_unless_said_and_nobody_shares_one(self, stage: Stage) -> None:
        one, two, three = pitches = [stage.submitted(title) for title in ("One", "Two", "Three")]
        stage.to_decide(*pitches)

        assert [waitlist(stage, one).waitlist_place, waitlist(stage, two).waitlist_place] == [1, 2]
        with pytest.raises(Refused, match="Place 2 is taken") as refused:
            waitlist(stage, three, place=2)
        assert (refused.value.code, refused.value.field) == ("place_taken", "place")
        assert waitlist(stage, three, place=7).waitlist_place == 7
        assert waitlist(stage, one, "1000").waitlist_place == 1
        with pytest.raises(IntegrityError, match="place 7 of the waitlist is taken"), transaction.atomic():
            Decision.objects.filter(pitch=one).update(waitlist_place=7)

    def test_only_a_waitlisted_pitch_has_one(self, stage: Stage) -> None:
        pitch = stage.submitted()
        stage.to_decide(pitch)
        waitlist(stage, pitch)

        stage.fund(pitch)

        assert Decision.objects.get().waitlist_place is None
        with pytest.raises(IntegrityError, match="decision_place_is_waitlisted"), transaction.atomic():
            Decision.objects.update(waitlist_place=1)

    def test_moving_up_changes_places_with_the_one_before(self, stage: Stage, company: Company) -> None:
        one, two = stage.submitted("One"), stage.submitted("Two")
        stage.to_decide(one, two)
        waitlist(stage, one)
        waitlist(stage, two)

        services.waitlist_raise(actor=company.gil, pitch=two)

        places = dict(Decision.objects.values_list("pitch__title", "waitlist_place"))
        assert places == {"Two": 1, "One": 2}
        assert AuditEvent.objects.filter(verb="pitch.waitlist_order", actor=company.gil).count() == 2
        with pytest.raises(Refused, match="the first already"):
            services.waitlist_raise(actor=company.gil, pitch=two)

    def test_whoever_has_a_conflict_about_one_of_the_two_does_not_change_their_order(
        self, stage: Stage, company: Company
    ) -> None:
        one, two = stage.submitted("One"), stage.submitted("Two")
        stage.to_decide(one, two)
        waitlist(stage, one)
        waitlist(stage, two)
        services.recusal_declare(actor=company.gil, pitch=one, reason="I advised the team.")

        with pytest.raises(NotAllowed, match="no conflict about either"):
            services.waitlist_raise(actor=company.gil, pitch=two)
        with pytest.raises(NotAllowed):
            services.waitlist_raise(actor=company.dee, pitch=two)

        assert dict(Decision.objects.values_list("pitch__title", "waitlist_place")) == {"One": 1, "Two": 2}

    def test_its_lines_do_not_count_against_the_cap_but_reach_the_hurdle(self, stage: Stage) -> None:
        one, two = stage.submitted("One"), stage.submitted("Two", value="2400")
        stage.to_decide(one, two)
        stage.fund(one, "9000")

        with pytest.raises(Refused, match="less than the hurdle"):
            waitlist(stage, two, "2000.01")
        waitlist(stage, two, "2000")

        assert decided_total(stage.round) == 9000

    def test_without_a_quorum_a_pitch_waits_without_amounts(self, stage: Stage, company: Company) -> None:
        pitch = stage.submitted()
        stage.to_vote()
        stage.vote(company.gil, pitch, Choice.ABSTAIN)
        services.voting_close(actor=company.gil, round_=stage.round)

        with pytest.raises(Refused, match="It can be deferred, or waitlisted without amounts"):
            waitlist(stage, pitch)
        assert waitlist(stage, pitch, "").waitlist_place is None

    def test_it_is_fixed_once_published(self, stage: Stage, company: Company) -> None:
        _, (one, two) = published(stage, ["9000"], ["100", "200"])

        with pytest.raises(WrongState, match="fixed once the decisions are published"):
            services.waitlist_raise(actor=company.gil, pitch=two)
        with pytest.raises(DatabaseError, match="published and final"), transaction.atomic():
            Decision.objects.filter(pitch=one).update(waitlist_place=9)


@pytest.mark.django_db
class TestMovingUp:
    def test_a_decline_offers_what_is_free_to_the_first_in_line(self, stage: Stage, company: Company) -> None:
        (funded, _), (first, second) = published(stage, ["2400", "6600"], ["2000", "400.01"])
        before = datetime.now(UTC)

        decline(stage, funded)

        assert states([first, second]) == ["offered", "waitlisted"]
        offer = Offer.objects.get(pitch=first)
        assert [(line.tier, line.asked, line.awarded) for line in offer.lines.all()] == [("standard", 2400, 2000)]
        assert before + timedelta(days=14) <= offer.expires_at <= datetime.now(UTC) + timedelta(days=14)
        event = AuditEvent.objects.get(verb="pitch.promote")
        assert (event.actor, event.object_id, event.reason) == (
            company.system,
            str(first.pk),
            "$2,000.00 came free and fit. It stood at place 1 of the waitlist.",
        )
        told = Notification.objects.get(user=company.ana, title__startswith="Waiting 0 moved up: $2,000.00 are offered")
        assert told.url == f"/pitches/{first.pk}/offer/"
        allocation = stage.accepted(offer)
        assert sum(line.quota.limit for line in allocation.lines.all()) == 2000

    def test_one_that_cannot_fit_is_passed_over_and_its_history_says_so(self, stage: Stage) -> None:
        (funded, _), (big, small) = published(stage, ["2400", "6600"], ["2400.01", "1000"])

        decline(stage, funded)

        assert states([big, small]) == ["waitlisted", "offered"]
        event = AuditEvent.objects.get(verb="pitch.pass_over")
        assert (event.object_id, event.reason) == (
            str(big.pk),
            "Passed over on the waitlist: $2,400.01 does not fit: $2,400.00 of the round is free.",
        )

    def test_nothing_is_said_of_those_that_nobody_overtook(self, stage: Stage) -> None:
        (funded, _), waiting = published(stage, ["1000", "8000"], ["2400", "2000"])

        decline(stage, funded)

        assert states(waiting) == ["waitlisted", "waitlisted"]
        assert AuditEvent.objects.filter(verb__in=["pitch.pass_over", "pitch.promote"]).count() == 0

    def test_an_offer_that_expires_frees_its_money_in_the_same_sweep_once(self, stage: Stage) -> None:
        (funded, _), waiting = published(stage, ["4000", "5000"], ["2000", "2000", "2000"])
        Offer.objects.filter(pitch=funded).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

        assert tasks.expire_offers() == 1
        assert tasks.expire_offers() == 0

        assert states(waiting) == ["offered", "offered", "waitlisted"]
        assert Offer.objects.count() == 4

    def test_what_an_ended_award_gives_back_moves_the_waitlist_up_once(self, stage: Stage, company: Company) -> None:
        (funded,), waiting = published(stage, ["9000"], ["5000", "4000.01", "4000"])
        [offer] = Offer.objects.filter(pitch=funded)
        ended = allocation_expire(actor=company.system, allocation=stage.accepted(offer))
        tasks.expire_offers()
        assert (states(waiting), room_of(stage.round).free) == (["waitlisted"] * 3, Decimal(0))

        allocation_return(actor=company.hana, allocation=ended, reason="The work ended early.")
        for _ in range(2):
            tasks.expire_offers()

        assert states(waiting) == ["offered", "waitlisted", "offered"]
        assert (room_of(stage.round).free, round_money(stage.round).available) == (Decimal(0), Decimal(0))
        reasons = AuditEvent.objects.filter(verb="pitch.promote").order_by("pk").values_list("reason", flat=True)
        assert list(reasons) == [
            "$5,000.00 came free and fit. It stood at place 1 of the waitlist.",
            "$4,000.00 came free and fit. It stood at place 3 of the waitlist.",
        ]
        for moved in Offer.objects.exclude(pk=offer.pk).order_by("pk"):
            stage.accepted(moved)
        assert balance(stage.round.opened_pool).amount == 1000

    def test_what_came_back_is_free_of_the_caps_of_team_and_tier_too(self, company: Company) -> None:
        stage = open_stage(company, team_cap="0.3", frontier_cap="0.3")
        first, second = stage.submitted("First"), stage.submitted("Second")
        stage.to_decide(first, second)
        stage.fund(first, "3000", Tier.FRONTIER)
        services.decision_set(
            actor=company.gil,
            pitch=second,
            outcome=Outcome.WAITLIST,
            reason="Good, behind the other.",
            lines={Tier.FRONTIER: Decimal(3000)},
        )
        services.round_publish(actor=company.gil, round_=stage.round)
        allocation = stage.accepted(Offer.objects.get(pitch=first))
        ended = allocation_expire(actor=company.system, allocation=allocation)
        allocation_return(actor=company.hana, allocation=ended, reason="The work ended early.")

        tasks.expire_offers()

        assert states([second]) == ["offered"]
        room = room_of(stage.now())
        assert (room.free, room.frontier_free, room.teams) == (
            Decimal(6000),
            Decimal(0),
            {company.claims.pk: Decimal(3000)},
        )

    def test_an_accepted_counter_for_less_frees_the_difference(self, stage: Stage, company: Company) -> None:
        (funded, _), waiting = published(stage, ["2400", "6600"], ["1000"])
        offer = Offer.objects.get(pitch=funded)
        counter = services.counter_make(
            actor=company.ana, offer=offer, lines={Tier.STANDARD: Decimal(1400)}, message="One desk only."
        )
        assert states(waiting) == ["waitlisted"]

        services.counter_accept(actor=company.gil, counter=counter, reason="Good of you.")

        assert states(waiting) == ["offered"]
        assert room_of(stage.round).free == 0

    def test_an_accepted_counter_for_more_leaves_the_rest_where_the_committee_left_it(
        self, stage: Stage, company: Company
    ) -> None:
        (funded,), waiting = published(stage, ["2400"], ["1000"])
        offer = Offer.objects.get(pitch=funded)
        counter = services.counter_make(
            actor=company.ana, offer=offer, lines={Tier.STANDARD: Decimal(4000)}, message="Both desks."
        )

        services.counter_accept(actor=company.gil, counter=counter, reason="Shown well.")
        tasks.expire_offers()

        assert states(waiting) == ["waitlisted"]

    def test_a_promoted_pitch_that_is_declined_frees_it_again(self, stage: Stage) -> None:
        (funded,), waiting = published(stage, ["9000"], ["9000", "9000"])

        decline(stage, funded)
        decline(stage, waiting[0])

        assert states(waiting) == ["declined", "offered"]

    def test_what_the_pool_no_longer_has_is_not_offered(self, stage: Stage, company: Company) -> None:
        (funded,), waiting = published(stage, ["9000"], ["5000"])
        pool_return(
            actor=company.hana,
            pool=stage.round.opened_pool,
            amount=usd("6000"),
            reason="Needed elsewhere",
            key="pulled",
        )

        decline(stage, funded)

        assert states(waiting) == ["waitlisted"]

    def test_money_that_nobody_freed_stays_where_the_committee_left_it(self, stage: Stage) -> None:
        _, waiting = published(stage, ["2400"], ["2400"])

        tasks.expire_offers()

        assert states(waiting) == ["waitlisted"]

    def test_one_without_amounts_waits_for_the_committee(self, stage: Stage) -> None:
        (funded,), waiting = published(stage, ["9000"], ["", "1000"])

        decline(stage, funded)

        assert states(waiting) == ["waitlisted", "offered"]

    def test_settling_ends_the_waitlist_and_returns_the_rest(self, stage: Stage, company: Company) -> None:
        (funded,), waiting = published(stage, ["9000"], ["1000", "9000"])
        decline(stage, funded)
        decline(stage, waiting[0])
        decline(stage, waiting[1])
        assert services.waitlist_promote(actor=company.system, round_=stage.round) == []

        services.round_settle(actor=company.gil, round_=stage.round)

        assert services.waitlist_promote(actor=company.system, round_=stage.now()) == []

    def test_the_round_shows_what_each_was_offered_in_the_end(self, stage: Stage) -> None:
        (funded,), _ = published(stage, ["9000"], ["1000", "8500"])
        assert [(row.pitch.title, row.awarded) for row in published_decisions(stage.round)][1:] == [
            ("Waiting 0", Decimal(0)),
            ("Waiting 1", Decimal(0)),
        ]

        decline(stage, funded)

        assert {row.pitch.title: row.awarded for row in published_decisions(stage.round)}["Waiting 0"] == 1000


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("team_cap", "frontier_cap", "message"),
    [
        ("0.6", None, "offers to one team in round Q1 sum to 7000, more than the 6000 that one team"),
        (None, "0.3", "offers on the frontier tier in round Q1 sum to 4000, more than the 3000"),
    ],
)
def test_offers_stay_within_the_caps_of_a_team_and_of_the_frontier_tier(
    company: Company, team_cap: str | None, frontier_cap: str | None, message: str
) -> None:
    stage = _capped(company, team_cap, frontier_cap)
    (funded,), waiting = published(stage, ["3000"], [])
    assert waiting == []
    offer = Offer.objects.get(pitch=funded)

    with pytest.raises(DatabaseError, match=message), transaction.atomic():
        OfferLine.objects.create(offer=offer, tier=Tier.FRONTIER, asked=0, awarded=Decimal(4000))


@pytest.mark.django_db
def test_decisions_beyond_a_cap_of_a_team_are_not_published(company: Company) -> None:
    stage = _capped(company, "0.5", None)

    with pytest.raises(Refused, match=r"\$2,000.01 does not fit: \$2,000.00 can still go to one team") as refused:
        published(stage, ["3000", "2000.01"], [])

    assert refused.value.code == "over_team_cap"


def _capped(company: Company, team_cap: str | None, frontier_cap: str | None) -> Stage:
    def share(text: str | None) -> Decimal | None:
        return Decimal(text) if text else None

    return open_stage(company, team_cap=share(team_cap), frontier_cap=share(frontier_cap))


answers = st.lists(st.tuples(st.sampled_from(["decline", "accept", "expire"]), st.integers(0, 9)), max_size=7)


@pytest.mark.django_db
def test_whatever_is_answered_the_cap_holds_and_no_dollar_is_lost(stage: Stage) -> None:
    published(stage, ["3000", "3500.50", "2499.50"], ["5000", "2400", "3000.01", "900"])

    @settings(max_examples=12)
    @given(given=answers)
    def holds(given: list[tuple[str, int]]) -> None:
        with transaction.atomic():
            for what, which in given:
                _answer(stage, what, which)
                _assert_whole(stage.round)
            transaction.set_rollback(True)

    holds()


def _answer(stage: Stage, what: str, which: int) -> None:
    offers = list(Offer.objects.filter(state="open").order_by("pk"))
    if not offers:
        return
    offer = offers[which % len(offers)]
    if what == "accept":
        stage.accepted(offer)
    elif what == "decline":
        services.offer_decline(actor=stage.company.ana, offer=offer, reason="Bought instead")
    else:
        Offer.objects.filter(pk=offer.pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        services.offers_expire(actor=stage.company.system)


def _assert_whole(round_: Round) -> None:
    sums = {"open": Decimal(0), "accepted": Decimal(0)}
    for line in OfferLine.objects.filter(offer__state__in=sums).select_related("offer"):
        sums[line.offer.state] += line.awarded
    assert sums["open"] + sums["accepted"] <= round_.awardable
    assert Decimal(balance(round_.opened_pool).amount) + sums["accepted"] == round_.cap
    assert services.waitlist_promote(actor=round_.created_by, round_=round_) == []
