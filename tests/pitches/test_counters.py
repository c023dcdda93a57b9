"""Counter-offers: other lines from both sides, one answer each, within every cap, and all of it in the history."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from allocations.models import AllocationLine
from ledger.models import Tier
from ledger.selectors import balance
from pitches import services, tasks
from pitches.models import Counter, CounterLine, Offer, Outcome, Pitch
from pitches.selectors.offers import lines_of, offer_of, thread_of
from pitches.selectors.pitches import history_shown
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification
from tests.cast import PEOPLE, Company
from tests.pitches.stage import Stage

pytestmark = pytest.mark.django_db

WHY = "The second desk joins in March."


def countered(stage: Stage, offer: Offer, amount: str = "4000", tier: Tier = Tier.STANDARD) -> Counter:
    """Counter an offer as Ana. The pitches of the stage ask 2,400 at target and 4,800 at stretch, on standard."""
    return services.counter_make(actor=stage.company.ana, offer=offer, lines={tier: Decimal(amount)}, message=WHY)


def accepted(stage: Stage, counter: Counter, until: datetime | None = None) -> Offer:
    return services.counter_accept(actor=stage.company.gil, counter=counter, reason="Shown well.", until=until)


def answered(stage: Stage, counter: Counter, amount: str = "3000") -> Offer:
    lines = {Tier.STANDARD: Decimal(amount)}
    return services.counter_answer(actor=stage.company.gil, counter=counter, lines=lines, message="Half of the way.")


def states(pitch: Pitch) -> tuple[list[str], list[str]]:
    """Return the states of a pitch's offers and of its counter-offers, in order."""
    offers = Offer.objects.filter(pitch=pitch).order_by("pk").values_list("state", flat=True)
    counters = Counter.objects.filter(offer__pitch=pitch).order_by("pk").values_list("state", flat=True)
    return list(offers), list(counters)


def newest(pitch: Pitch) -> Mapping[Tier, Decimal]:
    offer = offer_of(pitch)
    assert offer is not None
    return lines_of(offer.lines.all())


class TestTheTeamCounters:
    def test_the_offer_stays_open_to_its_date_while_the_counter_waits(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()

        counter = countered(stage, offer)

        assert states(offer.pitch) == (["open"], ["open"])
        assert Offer.objects.get().expires_at == offer.expires_at
        assert lines_of(counter.lines.all()) == {Tier.STANDARD: Decimal(4000)}
        told = Notification.objects.get(user=company.gil, title__contains="countered")
        assert (told.title, told.body, told.url) == (
            "Claims countered with $4,000.00 for Claims triage",
            WHY,
            f"/admin/pitches/round/{stage.round.pk}/offers/",
        )
        event = AuditEvent.objects.get(verb="pitch.counter")
        assert (event.actor, event.reason, event.details["lines"]) == (company.ana, WHY, {"standard": "4000"})

    @pytest.mark.parametrize("name", [name for name in PEOPLE if name != "ana"])
    def test_only_a_lead_of_the_team_counters(self, stage: Stage, company: Company, name: str) -> None:
        [offer] = stage.offered()

        with pytest.raises(NotAllowed):
            services.counter_make(
                actor=company.person(name), offer=offer, lines={Tier.STANDARD: Decimal(1)}, message=WHY
            )

    @pytest.mark.parametrize(
        ("lines", "message", "code"),
        [
            ({Tier.STANDARD: "4800.01"}, WHY, "over_stretch"),
            ({Tier.FRONTIER: "1"}, WHY, "over_stretch"),
            ({Tier.STANDARD: "2400"}, WHY, "same_lines"),
            ({Tier.STANDARD: "10.005"}, WHY, "not_in_cents"),
            ({Tier.STANDARD: "0"}, WHY, "no_lines"),
            ({}, WHY, "no_lines"),
            ({Tier.STANDARD: "3000"}, "  ", "reason_missing"),
        ],
    )
    def test_a_counter_has_other_lines_within_the_stretch_and_a_message(
        self, stage: Stage, company: Company, lines: dict[Tier, str], message: str, code: str
    ) -> None:
        [offer] = stage.offered()
        wanted = {tier: Decimal(amount) for tier, amount in lines.items()}

        with pytest.raises(Refused) as refused:
            services.counter_make(actor=company.ana, offer=offer, lines=wanted, message=message)

        assert (refused.value.code, Counter.objects.count()) == (code, 0)

    def test_the_whole_stretch_can_be_asked_for(self, stage: Stage) -> None:
        [offer] = stage.offered()

        assert countered(stage, offer, "4800").state == "open"

    def test_one_counter_waits_at_a_time(self, stage: Stage) -> None:
        [offer] = stage.offered()
        countered(stage, offer)

        with pytest.raises(Refused, match="waits for the committee already") as refused:
            countered(stage, offer, "3000")
        assert refused.value.code == "counter_open"

    def test_a_lead_takes_it_back_and_counters_anew(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        first = countered(stage, offer)
        with pytest.raises(NotAllowed):
            services.counter_withdraw(actor=company.bo, counter=first, reason="A mistake")

        services.counter_withdraw(actor=company.ana, counter=first, reason="A mistake")
        countered(stage, offer, "3000")

        assert states(offer.pitch) == (["open"], ["withdrawn", "open"])

    @pytest.mark.parametrize("answer", ["accept", "decline"])
    def test_answering_the_offer_itself_withdraws_the_counter(
        self, stage: Stage, company: Company, answer: str
    ) -> None:
        [offer] = stage.offered()
        countered(stage, offer)

        if answer == "accept":
            stage.accepted(offer)
        else:
            services.offer_decline(actor=company.ana, offer=offer, reason="Bought instead")

        assert states(offer.pitch) == (["accepted" if answer == "accept" else "declined"], ["withdrawn"])

    def test_an_expired_offer_is_not_countered_and_takes_its_counter_with_it(self, stage: Stage) -> None:
        first, second = stage.offered("First", "Second", amount="1000")
        counter = countered(stage, first)
        past = datetime.now(UTC) - timedelta(seconds=1)
        Offer.objects.update(expires_at=past)

        with pytest.raises(Refused, match="expired"):
            countered(stage, second)
        with pytest.raises(Refused, match="expired"):
            accepted(stage, counter)
        assert tasks.expire_offers() == 2

        assert states(first.pitch) == (["expired"], ["lapsed"])
        with pytest.raises(WrongState, match="answered already: lapsed with its offer"):
            accepted(stage, counter)


class TestTheCommitteeAnswers:
    def test_accepting_makes_a_new_offer_with_the_teams_lines(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()

        made = accepted(stage, countered(stage, offer))

        assert states(offer.pitch) == (["replaced", "open"], ["accepted"])
        assert [(line.tier, line.asked, line.awarded) for line in made.lines.all()] == [("standard", 2400, 4000)]
        assert (made.expires_at, made.pitch.state) == (offer.expires_at, "offered")
        told = Notification.objects.filter(user=company.ana).latest("pk")
        assert told.title.startswith("The committee accepted your counter-offer: $4,000.00 for Claims triage")
        allocation = stage.accepted(made)
        assert [(line.tier, line.quota.limit) for line in AllocationLine.objects.filter(allocation=allocation)] == [
            ("standard", 4000)
        ]
        assert balance(stage.round.opened_pool).amount == 6000

    def test_the_replaced_offer_is_final(self, stage: Stage) -> None:
        [offer] = stage.offered()
        accepted(stage, countered(stage, offer))

        with pytest.raises(WrongState, match="answered already: replaced by another offer"):
            stage.accepted(offer)

    def test_refusing_leaves_the_offer_open_to_its_date(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()

        services.counter_refuse(actor=company.gil, counter=countered(stage, offer), reason="Show the pilot first.")

        assert states(offer.pitch) == (["open"], ["refused"])
        assert Offer.objects.get().expires_at == offer.expires_at
        told = Notification.objects.filter(user=company.ana).latest("pk")
        assert told.body == "Show the pilot first."
        assert stage.accepted(offer).number

    @pytest.mark.parametrize(
        ("answer", "ended"),
        [("accept", "accepted"), ("decline", "refused"), ("expire", "lapsed"), ("counter", "countered")],
    )
    def test_countering_in_turn_is_an_offer_at_once_and_follows_what_becomes_of_it(
        self, stage: Stage, company: Company, answer: str, ended: str
    ) -> None:
        [offer] = stage.offered()
        made = answered(stage, countered(stage, offer))
        assert states(offer.pitch) == (["replaced", "open"], ["countered", "open"])
        assert newest(offer.pitch) == {Tier.STANDARD: Decimal(3000)}

        if answer == "accept":
            stage.accepted(made)
        elif answer == "decline":
            services.offer_decline(actor=company.ana, offer=made, reason="Not enough for us")
        elif answer == "expire":
            services.offers_expire(actor=company.system, at=made.expires_at)
        else:
            accepted(stage, countered(stage, made, "3500"))

        assert states(offer.pitch)[1][:2] == ["countered", ended]

    @pytest.mark.parametrize("name", ["ana", "bo", "cy", "dee", "hana", "ivo", "jo", "kim"])
    def test_only_the_chair_answers_for_the_committee(self, stage: Stage, company: Company, name: str) -> None:
        [offer] = stage.offered()
        counter, somebody = countered(stage, offer), company.person(name)

        with pytest.raises(NotAllowed):
            services.counter_accept(actor=somebody, counter=counter, reason="Because.")
        with pytest.raises(NotAllowed):
            services.counter_refuse(actor=somebody, counter=counter, reason="Because.")
        with pytest.raises(NotAllowed):
            services.counter_answer(
                actor=somebody, counter=counter, lines={Tier.STANDARD: Decimal(3000)}, message="Because."
            )

        assert states(offer.pitch) == (["open"], ["open"])

    def test_where_the_chair_has_a_conflict_another_member_answers_and_is_told(
        self, stage: Stage, company: Company
    ) -> None:
        pitch = stage.submitted()
        services.recusal_declare(actor=company.gil, pitch=pitch, reason="I advised the team.")
        stage.to_vote()
        for member in (company.dee, company.eli, company.fay):
            stage.vote(member, pitch)
        services.voting_close(actor=company.gil, round_=stage.round)
        services.decision_set(
            actor=company.dee,
            pitch=pitch,
            outcome=Outcome.FUND,
            reason="Worth many times what it costs.",
            lines={Tier.STANDARD: Decimal(2400)},
        )
        services.round_publish(actor=company.gil, round_=stage.round)
        counter = countered(stage, Offer.objects.get())

        with pytest.raises(NotAllowed):
            accepted(stage, counter)
        told = set(Notification.objects.filter(title__contains="countered").values_list("user__email", flat=True))
        services.counter_accept(actor=company.eli, counter=counter, reason="Shown well.")

        assert told == {f"{name}@acorn.example" for name in ("dee", "eli", "fay")}
        assert states(pitch) == (["replaced", "open"], ["accepted"])

    @pytest.mark.parametrize("answer", [accepted, answered])
    def test_an_answer_has_a_reason_and_is_final(self, stage: Stage, company: Company, answer: object) -> None:
        [offer] = stage.offered()
        counter = countered(stage, offer)
        with pytest.raises(Refused) as refused:
            services.counter_accept(actor=company.gil, counter=counter, reason=" ")
        assert refused.value.code == "reason_missing"

        answer(stage, counter)  # type: ignore[operator]

        with pytest.raises(WrongState, match="answered already"):
            accepted(stage, counter)
        with pytest.raises(WrongState, match="answered already"):
            services.counter_refuse(actor=company.gil, counter=counter, reason="After all")


class TestDates:
    def test_the_committee_can_set_another_date_up_to_two_weeks_after_the_rounds_last_day(
        self, stage: Stage, company: Company
    ) -> None:
        [offer] = stage.offered()
        last = stage.round.answers_due_at + timedelta(days=14)
        counter = countered(stage, offer)

        for until, code in (
            (last + timedelta(seconds=1), "date_too_late"),
            (datetime.now(UTC) - timedelta(seconds=1), "date_past"),
        ):
            with pytest.raises(Refused) as refused:
                accepted(stage, counter, until)
            assert (refused.value.code, refused.value.field) == (code, "until")
        made = accepted(stage, counter, last)

        assert made.expires_at == last

    def test_a_refusal_can_leave_the_team_more_time(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        later = offer.expires_at + timedelta(days=3)

        services.counter_refuse(
            actor=company.gil, counter=countered(stage, offer), reason="Think about it.", until=later
        )

        assert Offer.objects.get().expires_at == later


class TestCaps:
    def test_a_counter_is_accepted_within_what_can_be_awarded_to_the_last_cent(self, stage: Stage) -> None:
        first, _ = stage.offered("First", "Second", amount="4300")
        counter = countered(stage, first, "4800")

        with pytest.raises(Refused, match=r"\$4,800.00 does not fit: \$4,700.00 of the round is free") as refused:
            accepted(stage, counter)
        assert refused.value.code == "over_cap"
        assert states(first.pitch) == (["open"], ["open"])

        answered(stage, counter, "4700")
        assert newest(first.pitch) == {Tier.STANDARD: Decimal(4700)}

    def test_the_committee_keeps_to_the_hurdle(self, stage: Stage) -> None:
        pitch = stage.submitted(value="3600")  # the hurdle is 1.2, so 3,000 is the most
        stage.to_decide(pitch)
        stage.fund(pitch)
        services.round_publish(actor=stage.company.gil, round_=stage.round)
        counter = countered(stage, Offer.objects.get(), "3000.01")

        with pytest.raises(Refused, match="less than the hurdle"):
            accepted(stage, counter)
        answered(stage, counter, "3000")

    @pytest.mark.parametrize(
        ("tier", "amount", "message"),
        [("standard", "9000.01", "sum to 9000.01, more than the 9000 that can be awarded"), ("batch", "0", "")],
    )
    def test_the_database_keeps_the_sum_of_offers_whatever_a_service_does(
        self, stage: Stage, tier: str, amount: str, message: str
    ) -> None:
        [offer] = stage.offered()
        Offer.objects.filter(pk=offer.pk).update(
            state="declined", answered_by=stage.company.ana, answered_at=datetime.now(UTC)
        )
        another = Offer.objects.create(
            pitch=offer.pitch, revision=offer.revision, decision=offer.decision, expires_at=offer.expires_at
        )

        if message:
            with pytest.raises(DatabaseError, match=message), transaction.atomic():
                another.lines.create(tier=tier, asked=0, awarded=Decimal(amount))
        else:
            another.lines.create(tier=tier, asked=0, awarded=Decimal(amount))


class TestTheDatabase:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"message": "Something else"}, "never changes"),
            ({"side": "committee"}, "never changes"),
            ({"state": "accepted"}, "has no seat in the committee|name_time_and_reason"),
        ],
    )
    def test_what_a_counter_says_never_changes(self, stage: Stage, change: dict[str, str], message: str) -> None:
        [offer] = stage.offered()
        countered(stage, offer)

        with pytest.raises(DatabaseError, match=message), transaction.atomic():
            Counter.objects.update(**change)
        with pytest.raises(DatabaseError), transaction.atomic():
            CounterLine.objects.update(amount=1)
        with pytest.raises(DatabaseError), transaction.atomic():
            Counter.objects.all().delete()

    def test_its_answer_is_final(self, stage: Stage) -> None:
        [offer] = stage.offered()
        accepted(stage, countered(stage, offer))

        with pytest.raises(DatabaseError, match="is accepted and final"), transaction.atomic():
            Counter.objects.update(state="refused")

    def test_whoever_has_a_conflict_neither_answers_nor_speaks_for_the_committee(
        self, stage: Stage, company: Company
    ) -> None:
        [offer] = stage.offered()
        counter = countered(stage, offer)

        with pytest.raises(DatabaseError, match="conflict of interest"), transaction.atomic():
            Counter.objects.filter(pk=counter.pk).update(
                state="refused", answered_by=company.bo, answered_at=datetime.now(UTC), answer_reason="No"
            )
        with pytest.raises(DatabaseError, match="conflict of interest"), transaction.atomic():
            Counter.objects.create(offer=offer, side="committee", by=company.kim, message="More for us")

    def test_one_offer_of_a_pitch_and_one_counter_of_an_offer_are_open(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        countered(stage, offer)

        with pytest.raises(IntegrityError, match="counter_one_open"), transaction.atomic():
            Counter.objects.create(offer=offer, side="team", by=company.ana, message="Another")
        with pytest.raises(IntegrityError, match="offer_one_open"), transaction.atomic():
            Offer.objects.create(
                pitch=offer.pitch, revision=offer.revision, decision=offer.decision, expires_at=offer.expires_at
            )

    def test_an_offer_that_ended_is_not_countered(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        stage.accepted(offer)

        with pytest.raises(DatabaseError, match="is accepted and cannot be countered"), transaction.atomic():
            Counter.objects.create(offer=offer, side="team", by=company.ana, message="More")


def test_the_exchange_reads_as_it_went_and_every_change_has_a_name_and_a_reason(stage: Stage, company: Company) -> None:
    [offer] = stage.offered()
    services.counter_refuse(actor=company.gil, counter=countered(stage, offer, "4800"), reason="Too much.")
    made = answered(stage, countered(stage, offer))
    allocation = stage.accepted(made)

    told = [(step.title, step.side, step.who, int(step.total)) for step in thread_of(offer.pitch)]

    assert told == [
        ("Offered", "committee", company.gil, 2400),
        ("Countered", "team", company.ana, 4800),
        ("Counter-offer refused", "committee", company.gil, 0),
        ("Countered", "team", company.ana, 4000),
        ("Offered instead", "committee", company.gil, 3000),
        ("Accepted", "team", company.ana, 0),
    ]
    events = AuditEvent.objects.filter(verb__regex=r"^(offer|counter)\.|^pitch\.counter")
    assert [event.verb for event in events if not event.reason.strip()] == []
    assert AuditEvent.objects.get(verb="offer.accept").reason == f"$3,000.00 accepted as {allocation.number}."
    shown = [event.verb for event in history_shown(offer.pitch)][:5]
    assert shown == ["pitch.fund", "pitch.counter_answer", "pitch.counter", "pitch.counter_refuse", "pitch.counter"]
