"""Decisions: within the cap, by quorum, above the hurdle, tentative until published together, then final."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import DatabaseError, connection, connections, transaction

from ledger.models import Tier
from pitches import services
from pitches.models import Choice, Decision, DecisionLine, Offer, Outcome, Pitch, Round
from pitches.selectors.desk import desk_of
from pitches.selectors.lists import published_decisions
from pitches.selectors.rounds import decided_total
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import Notification
from tests.cast import Company, build_company
from tests.conftest import FreshDatabase
from tests.pitches.stage import Stage, open_stage


def decide(stage: Stage, pitch: Pitch, outcome: Outcome, amount: str = "") -> None:
    lines = {Tier.STANDARD: Decimal(amount)} if amount else {}
    services.decision_set(
        actor=stage.company.gil, pitch=pitch, outcome=outcome, reason="For a good reason.", lines=lines
    )


@pytest.mark.django_db
class TestDeciding:
    def test_decisions_fit_what_can_be_awarded_to_the_last_cent(self, stage: Stage) -> None:
        first, second = stage.submitted("First"), stage.submitted("Second")
        stage.to_decide(first, second)

        stage.fund(first, "6000")
        with pytest.raises(Refused, match=r"\$3,000.01 does not fit: \$3,000.00 of the cap") as refused:
            stage.fund(second, "3000.01")
        assert refused.value.code == "over_cap"
        stage.fund(second, "3000")

        assert decided_total(stage.round) == 9000

    def test_a_decision_can_be_changed_and_makes_room(self, stage: Stage) -> None:
        first, second = stage.submitted("First"), stage.submitted("Second")
        stage.to_decide(first, second)
        stage.fund(first, "9000")
        stage.fund(first, "4000", Tier.ECONOMY)
        decide(stage, second, Outcome.WAITLIST)

        stage.fund(second, "5000")

        assert sorted(DecisionLine.objects.values_list("tier", "amount")) == [
            ("economy", Decimal(4000)),
            ("standard", Decimal(5000)),
        ]

    def test_declining_takes_the_award_away(self, stage: Stage) -> None:
        pitch = stage.submitted()
        stage.to_decide(pitch)
        stage.fund(pitch)

        decide(stage, pitch, Outcome.DECLINE)

        assert DecisionLine.objects.count() == 0

    @pytest.mark.parametrize(
        ("amount", "message"),
        [("0", "more than zero"), ("-5", "more than zero"), ("10.005", "whole cents")],
    )
    def test_an_award_is_a_number_of_cents_above_zero(self, stage: Stage, amount: str, message: str) -> None:
        pitch = stage.submitted()
        stage.to_decide(pitch)

        with pytest.raises(Refused, match=message):
            stage.fund(pitch, amount)

        assert Decision.objects.count() == 0

    def test_without_a_quorum_a_pitch_waits(self, stage: Stage, company: Company) -> None:
        pitch = stage.submitted()
        stage.to_vote()
        for member in (company.gil, company.dee):
            stage.vote(member, pitch)
        stage.vote(company.eli, pitch, Choice.ABSTAIN)
        services.voting_close(actor=company.gil, round_=stage.round)

        for outcome, amount in ((Outcome.FUND, "100"), (Outcome.DECLINE, "")):
            with pytest.raises(Refused, match="No quorum: 2 scores, 3 are needed"):
                decide(stage, pitch, outcome, amount)
        decide(stage, pitch, Outcome.WAITLIST)
        decide(stage, pitch, Outcome.DEFER)
        services.round_publish(actor=company.gil, round_=stage.round)

        pitch.refresh_from_db()
        assert pitch.state == "deferred"

    def test_an_award_is_worth_the_hurdle(self, stage: Stage) -> None:
        pitch = stage.submitted(value="2400")  # the hurdle is 1.2
        stage.to_decide(pitch)

        with pytest.raises(Refused, match=r"\$2,400.00 expected for \$2,000.01 is less than the hurdle of 1.2"):
            stage.fund(pitch, "2000.01")
        stage.fund(pitch, "2000")

    def test_a_decision_has_a_reason(self, stage: Stage, company: Company) -> None:
        pitch = stage.submitted()
        stage.to_decide(pitch)

        with pytest.raises(Refused, match="Give the reason that the team will read"):
            services.decision_set(actor=company.gil, pitch=pitch, outcome=Outcome.WAITLIST, reason=" no ")

    @pytest.mark.parametrize("name", ["dee", "hana", "ivo", "jo", "ana"])
    def test_the_chair_decides_and_publishes(self, stage: Stage, company: Company, name: str) -> None:
        pitch = stage.submitted()
        stage.to_decide(pitch)
        somebody = company.person(name)

        with pytest.raises(NotAllowed):
            services.decision_set(actor=somebody, pitch=pitch, outcome=Outcome.WAITLIST, reason="Because of this.")
        decide(stage, pitch, Outcome.WAITLIST)
        with pytest.raises(NotAllowed):
            services.round_publish(actor=somebody, round_=stage.round)

    def test_nothing_is_decided_before_the_ballots_are_open(self, stage: Stage) -> None:
        pitch = stage.submitted()
        stage.to_vote()

        with pytest.raises(WrongState, match="not to be decided now"):
            decide(stage, pitch, Outcome.WAITLIST)

    def test_the_board_shows_the_best_vote_first_and_sums_as_it_goes(self, stage: Stage, company: Company) -> None:
        low, high = stage.submitted("Low"), stage.submitted("High")
        stage.to_vote()
        for member in (company.gil, company.dee, company.eli):
            stage.vote(member, low, Choice.YES, 6)
            stage.vote(member, high, Choice.YES, 9)
        services.voting_close(actor=company.gil, round_=stage.round)
        stage.fund(low, "1000")
        stage.fund(high, "2000")

        rows = desk_of(company.gil, stage.now()).rows

        assert [(row.pitch.title, row.awarded, row.running) for row in rows] == [
            ("High", Decimal(2000), Decimal(2000)),
            ("Low", Decimal(1000), Decimal(3000)),
        ]

    def test_the_figures_of_somebody_recused_leave_that_pitch_out(self, stage: Stage, company: Company) -> None:
        one, other = stage.submitted("One"), stage.submitted("Other")
        services.recusal_declare(actor=company.fay, pitch=one, reason="I built its pilot.")
        stage.to_decide(one, other)
        stage.fund(one, "1000")
        stage.fund(other, "2000")

        desk = desk_of(company.fay, stage.round)

        assert (desk.decided, desk.hidden) == (Decimal(2000), 1)
        assert [(row.pitch.title, row.awarded) for row in desk.rows] == [
            ("Other", Decimal(2000)),
            ("One", Decimal(0)),
        ]


@pytest.mark.django_db
class TestPublishing:
    def test_everything_is_published_at_once_or_nothing(self, stage: Stage, company: Company) -> None:
        first, second = stage.submitted("First"), stage.submitted("Second")
        stage.to_decide(first, second)
        stage.fund(first)

        with pytest.raises(Refused, match="Still to be decided: Second"):
            services.round_publish(actor=company.gil, round_=stage.round)

        assert Offer.objects.count() == 0
        assert published_decisions(stage.now()) == []

    def test_nobody_outside_the_committee_learns_of_a_decision_before(self, stage: Stage, company: Company) -> None:
        pitch = stage.submitted()
        stage.to_decide(pitch)
        before = Notification.objects.filter(user__in=[company.ana, company.bo, company.kim, company.hana]).count()

        stage.fund(pitch)

        pitch.refresh_from_db()
        assert pitch.state == "shortlisted"
        assert (
            Notification.objects.filter(user__in=[company.ana, company.bo, company.kim, company.hana]).count() == before
        )

    def test_a_published_decision_is_final(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()

        with pytest.raises(WrongState, match="not to be decided now"):
            stage.fund(offer.pitch, "1")
        for change in (
            "UPDATE pitches_decision SET outcome = 'decline'",
            "UPDATE pitches_decisionline SET amount = 1",
            "DELETE FROM pitches_decision",
            "DELETE FROM pitches_decisionline",
        ):
            with pytest.raises(DatabaseError, match="final"), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(change)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE pitches_offerline SET awarded = 1",
            "DELETE FROM pitches_offerline",
            "UPDATE pitches_offer SET xact = '3'",
        ],
    )
    def test_what_an_offer_says_is_final(self, stage: Stage, change: str) -> None:
        stage.offered()

        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)

    def test_an_offer_needs_time_to_be_answered(self, stage: Stage, company: Company) -> None:
        pitch = stage.submitted()
        stage.to_decide(pitch)
        stage.fund(pitch)
        past = datetime.now(UTC) - timedelta(days=40)
        Round.objects.update(
            submissions_close_at=past,
            reviews_close_at=past + timedelta(days=1),
            voting_closes_at=past + timedelta(days=2),
            answers_due_at=past + timedelta(days=3),
        )

        with pytest.raises(Refused, match="The last day to answer offers has passed"):
            services.round_publish(actor=company.gil, round_=stage.round)

    def test_the_page_of_a_round_gives_each_decision_its_reason_and_scores(self, stage: Stage) -> None:
        stage.offered("Triage")

        [row] = published_decisions(stage.round)

        assert (row.decision.reason, row.awarded, row.scores.yes, str(row.scores.ballot_score)) == (
            "Worth many times what it costs.",
            Decimal(2400),
            3,
            "8.0",
        )


@pytest.mark.django_db
class TestTheDatabase:
    def test_the_cap_holds_whatever_a_service_does(self, stage: Stage, company: Company) -> None:
        pitch = stage.submitted()
        stage.to_decide(pitch)
        stage.fund(pitch, "9000")

        with pytest.raises(DatabaseError, match=r"sum to 9000\.01, more than the 9000 that"), transaction.atomic():
            DecisionLine.objects.update(amount=Decimal("9000.01"))
        with pytest.raises(DatabaseError, match="more than the 9000"), transaction.atomic():
            Decision.objects.get().lines.create(tier=Tier.BATCH, amount=Decimal("0.01"))

    @pytest.mark.parametrize(
        "change",
        [
            {"cap": 1_000_000},
            {"reserve_share": 0},
            {"quorum": 1},
            {"hurdle": 0},
            {"seed_hash": "0" * 64},
            {"months": 36},
        ],
    )
    def test_what_decisions_rest_on_is_fixed_once_the_round_is_open(
        self, stage: Stage, change: dict[str, object]
    ) -> None:
        with pytest.raises(DatabaseError, match="are fixed since it opened"), transaction.atomic():
            Round.objects.update(**change)

    def test_a_round_that_was_opened_is_never_deleted(self, stage: Stage) -> None:
        with pytest.raises(DatabaseError), transaction.atomic():
            Round.objects.filter(pk=stage.round.pk).delete()

    def test_another_seed_than_the_one_committed_to_is_refused(self, stage: Stage) -> None:
        stage.offered()

        with pytest.raises(DatabaseError, match="round_seed_matches_its_hash"), transaction.atomic():
            Round.objects.update(seed="0" * 64)


def test_two_members_who_decide_at_once_cannot_exceed_the_cap(fresh_database: FreshDatabase) -> None:
    stage = open_stage(build_company())
    pitches = [stage.submitted("First"), stage.submitted("Second")]
    # The chair stepped aside from the second, so that two people decide at the same moment.
    services.recusal_declare(actor=stage.company.gil, pitch=pitches[1], reason="I advised the team.")
    stage.to_vote()
    for pitch in pitches:
        for member in (stage.company.dee, stage.company.eli, stage.company.fay):
            stage.vote(member, pitch)
    services.voting_close(actor=stage.company.gil, round_=stage.round)
    together = Barrier(2)

    def fund(actor_and_pitch: tuple[object, Pitch]) -> str:
        actor, pitch = actor_and_pitch
        try:
            together.wait(30)
            services.decision_set(
                actor=actor,  # type: ignore[arg-type]
                pitch=pitch,
                outcome=Outcome.FUND,
                reason="Both want the whole cap.",
                lines={Tier.STANDARD: Decimal(9000)},
            )
        except Refused as refused:
            return refused.code
        else:
            return "decided"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(fund, [(stage.company.gil, pitches[0]), (stage.company.dee, pitches[1])]))

    assert sorted(results) == ["decided", "over_cap"]
    assert decided_total(stage.round) == 9000
