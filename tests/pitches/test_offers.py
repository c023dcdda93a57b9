"""Offers: an acceptance is all or nothing, the pool is never overdrawn, and a day that passes ends them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.test import Client

from allocations.models import Allocation, Quota
from ledger.models import Tier
from ledger.money import usd
from ledger.selectors import balance
from ledger.services import pool_return
from pitches import services, tasks
from pitches.models import Counter, Offer, Pitch, Round
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification
from tests.cast import PEOPLE, Company, build_company
from tests.conftest import FreshDatabase
from tests.pitches.stage import Stage, open_stage


def facts(offer: Offer) -> tuple[str, str, int, int]:
    """Return offer state, pitch state, and how many allocations and quotas there are."""
    pitch = Pitch.objects.get(pk=offer.pitch_id)
    return Offer.objects.get(pk=offer.pk).state, pitch.state, Allocation.objects.count(), Quota.objects.count()


class Crash(Exception):
    """The process ends in the middle."""


@transaction.atomic
def accept_and_crash(stage: Stage, offer: Offer) -> None:
    """Accept an offer in a transaction that never commits."""
    stage.accepted(offer)
    raise Crash


@pytest.mark.django_db
class TestAnswering:
    @pytest.mark.parametrize("name", ["bo", "cy", "dee", "gil", "hana", "jo", "kim"])
    def test_only_a_lead_of_the_team_answers(self, stage: Stage, company: Company, name: str) -> None:
        [offer] = stage.offered()

        with pytest.raises(NotAllowed):
            services.offer_accept(actor=company.person(name), offer=offer)
        with pytest.raises(NotAllowed):
            services.offer_decline(actor=company.person(name), offer=offer, reason="No")

        assert facts(offer) == ("open", "offered", 0, 0)

    def test_an_acceptance_that_breaks_off_leaves_nothing(self, stage: Stage) -> None:
        [offer] = stage.offered()
        in_pool = balance(stage.round.opened_pool)

        with pytest.raises(Crash):
            accept_and_crash(stage, offer)

        assert facts(offer) == ("open", "offered", 0, 0)
        assert balance(stage.round.opened_pool) == in_pool

    def test_a_pool_that_has_less_refuses_the_whole_acceptance(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        pool = stage.round.opened_pool
        pool_return(actor=company.hana, pool=pool, amount=usd("8000"), reason="Needed elsewhere", key="pulled")

        with pytest.raises(Refused, match=r"Round Q1 has \$2,000.00; \$2,400.00 is needed"):
            stage.accepted(offer)

        assert facts(offer) == ("open", "offered", 0, 0)

    def test_an_answer_is_final(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        stage.accepted(offer)

        with pytest.raises(WrongState, match="answered already: accepted"):
            stage.accepted(offer)
        with pytest.raises(WrongState, match="answered already: accepted"):
            services.offer_decline(actor=company.ana, offer=offer, reason="After all")
        with pytest.raises(DatabaseError, match="is accepted and final"), transaction.atomic():
            Offer.objects.update(state="declined", allocation=None)

    def test_a_decline_has_a_reason_and_is_told(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        with pytest.raises(Refused, match="Say why"):
            services.offer_decline(actor=company.ana, offer=offer, reason="  ")

        services.offer_decline(actor=company.ana, offer=offer, reason="We found another way.")

        assert facts(offer) == ("declined", "declined", 0, 0)
        told = Notification.objects.get(user=company.gil, title="Claims declined the offer for Claims triage")
        assert told.body == "We found another way."
        assert AuditEvent.objects.get(verb="offer.decline").reason == "We found another way."

    def test_the_database_ties_an_accepted_offer_to_its_allocation(self, stage: Stage, company: Company) -> None:
        stage.offered()

        with pytest.raises(IntegrityError, match="offer_accepted_has_allocation"), transaction.atomic():
            Offer.objects.update(state="accepted", answered_by=company.ana, answered_at=datetime.now(UTC))

    def test_a_round_is_settled_when_every_offer_is_answered(self, stage: Stage, company: Company) -> None:
        stage.offered()

        with pytest.raises(Refused, match="1 offers still wait"):
            services.round_settle(actor=company.gil, round_=stage.round)


@pytest.mark.django_db
class TestExpiring:
    @staticmethod
    def late(offer: Offer) -> None:
        Offer.objects.filter(pk=offer.pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

    def test_after_its_day_an_offer_can_no_longer_be_accepted(self, stage: Stage) -> None:
        [offer] = stage.offered()
        self.late(offer)

        with pytest.raises(Refused, match="This offer has expired"):
            stage.accepted(offer)

    def test_the_sweep_expires_what_is_due_once(self, stage: Stage, company: Company) -> None:
        due, waiting = stage.offered("Due", "Waiting", amount="1000")
        self.late(due)

        assert tasks.expire_offers() == 1
        assert tasks.expire_offers() == 0

        assert facts(due) == ("expired", "lapsed", 0, 0)
        assert facts(waiting)[:2] == ("open", "offered")
        assert Notification.objects.filter(user=company.ana, title="The offer for Due has expired").count() == 1
        assert Offer.objects.get(pk=due.pk).answered_by == company.system

    def test_an_accepted_offer_does_not_expire(self, stage: Stage) -> None:
        [offer] = stage.offered()
        stage.accepted(offer)

        services.offers_expire(actor=stage.company.system, at=datetime.now(UTC) + timedelta(days=400))

        assert facts(offer)[:2] == ("accepted", "funded")

    def test_the_sweep_closes_rounds_whose_last_day_has_passed(self, stage: Stage) -> None:
        pitch = stage.submitted()
        assert tasks.start_reviews() == 0
        Round.objects.update(submissions_close_at=datetime.now(UTC) - timedelta(seconds=1))

        assert tasks.start_reviews() == 1
        assert tasks.start_reviews() == 0

        pitch.refresh_from_db()
        assert (stage.now().state, pitch.state) == ("reviewing", "in_review")
        assert AuditEvent.objects.get(verb="round.review").actor == stage.company.system


def test_nothing_joins_an_offer_or_a_revision_once_it_is_made(fresh_database: FreshDatabase) -> None:
    stage = open_stage(build_company())
    [offer] = stage.offered()

    with pytest.raises(DatabaseError, match="is complete: nothing can be added to it"):
        offer.lines.create(tier=Tier.FRONTIER, asked=0, awarded=1_000_000)
    with pytest.raises(DatabaseError, match="is complete: nothing can be added to it"):
        offer.revision.milestones.create(position=9, title="One more", due_on=date(2027, 1, 1))


def accept_at_once(stage: Stage, offers: list[Offer]) -> list[str]:
    """Accept offers from as many threads, each with its own connection; return what became of each."""
    together = Barrier(len(offers))

    def accept(offer: Offer) -> str:
        try:
            together.wait(60)
            stage.accepted(offer)
        except Refused as refused:
            return refused.code
        else:
            return "accepted"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(offers)) as pool:
        return sorted(pool.map(accept, offers))


def test_offers_accepted_at_once_cannot_overdraw_the_pool(fresh_database: FreshDatabase) -> None:
    stage = open_stage(build_company())
    offers = stage.offered("One", "Two", "Three", amount="3000")
    pool = stage.round.opened_pool
    # Finance took part of the money back: the pool holds two of the three awards.
    pool_return(actor=stage.company.hana, pool=pool, amount=usd("3500"), reason="Needed elsewhere", key="pulled")

    assert accept_at_once(stage, offers) == ["accepted", "accepted", "overdraft"]

    assert balance(pool).amount == 500
    assert (Allocation.objects.count(), Quota.objects.count()) == (2, 2)


def test_the_same_offer_accepted_twice_at_once_is_one_allocation(fresh_database: FreshDatabase) -> None:
    stage = open_stage(build_company())
    [offer] = stage.offered()

    assert accept_at_once(stage, [offer, offer]) == ["accepted", "wrong_state"]

    assert Allocation.objects.count() == 1
    assert balance(stage.round.opened_pool).amount == 7600


def test_an_offer_that_expires_while_it_is_accepted_is_one_or_the_other(fresh_database: FreshDatabase) -> None:
    stage = open_stage(build_company())
    [offer] = stage.offered()
    together = Barrier(2)
    later = offer.expires_at + timedelta(seconds=1)

    def do(what: str) -> object:
        try:
            together.wait(60)
            if what == "accept":
                return stage.accepted(offer).pk
            return len(services.offers_expire(actor=stage.company.system, at=later))
        except Refused:
            return None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        allocation, expired = pool.map(do, ["accept", "expire"])

    assert (allocation is None) == (expired == 1)
    assert facts(offer)[0] == ("accepted" if allocation else "expired")


# --- For programs -----------------------------------------------------------------------------------


def post(client: Client, offer: Offer, path: str, body: dict[str, Any] | None = None) -> Any:
    return client.post(f"/api/v1/offers/{offer.pk}/{path}/", body or {}, content_type="application/json")


@pytest.mark.django_db
class TestForPrograms:
    def test_an_offer_exists_for_those_who_may_follow_it(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        follow = {"ana", "bo", "kim", "hana", "jo", "dee", "eli", "fay", "gil"}

        for name in PEOPLE:
            client = company.client(company.person(name))
            one, many = client.get(f"/api/v1/offers/{offer.pk}/"), client.get("/api/v1/offers/")
            assert (name, one.status_code) == (name, 200 if name in follow else 404)
            assert (name, many.json()["count"]) == (name, int(name in follow))
        told = company.client(company.jo).get(f"/api/v1/offers/{offer.pk}/").json()
        assert told["lines"] == [{"tier": "standard", "asked": "2400", "awarded": "2400", "difference": "0"}]
        assert (told["state"], told["currency"], told["team"], told["counters"]) == ("open", "USD", "claims", [])
        assert Client().get("/api/v1/offers/").status_code == 401

    def test_the_list_is_chosen_by_state_and_round(self, stage: Stage, company: Company) -> None:
        one, _ = stage.offered("One", "Two", amount="1000")
        stage.accepted(one)
        jo = company.client(company.jo)

        assert [row["title"] for row in jo.get("/api/v1/offers/?state=accepted").json()["results"]] == ["One"]
        assert jo.get(f"/api/v1/offers/?round={stage.round.pk}").json()["count"] == 2
        assert jo.get("/api/v1/offers/?round=0").json()["count"] == 0
        for wrong in ("state=lost", "round=x"):
            answer = jo.get(f"/api/v1/offers/?{wrong}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")

    def test_the_same_answer_twice_is_one_and_the_second_says_so(self, stage: Stage, company: Company) -> None:
        one, two = stage.offered("One", "Two", amount="1000")
        ana = company.client(company.ana)

        for offer, path, body, code in (
            (one, "accept", {}, "accepted"),
            (two, "decline", {"reason": "Bought instead"}, "declined"),
        ):
            first, second = post(ana, offer, path, body), post(ana, offer, path, body)
            assert (first.status_code, first.json()["code"]) == (200, code)
            assert (second.status_code, second.json()["code"]) == (200, f"already_{code}")
            assert first.json()["offer"] == second.json()["offer"]
        other = post(ana, one, "decline", {"reason": "After all"})

        assert (other.status_code, other.json()["error"]["code"]) == (409, "wrong_state")
        assert Allocation.objects.count() == 1

    def test_a_counter_and_each_answer_to_it_over_the_interface(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        ana, gil = company.client(company.ana), company.client(company.gil)
        body = {"lines": {"standard": "3000"}, "message": "A second desk joins."}

        made = post(ana, offer, "counter", body)
        again = post(ana, offer, "counter", body)
        other = post(ana, offer, "counter", {**body, "lines": {"standard": "3100"}})
        [waiting] = made.json()["offer"]["counters"]
        answer = {"counter": waiting["id"], "answer": "counter", "lines": {"standard": "2600"}, "reason": "Half."}
        answered = post(gil, offer, "answer", answer)
        repeated = post(gil, offer, "answer", answer)

        assert (made.json()["code"], again.json()["code"]) == ("countered", "already_countered")
        assert (other.status_code, other.json()["error"]["code"]) == (422, "counter_open")
        assert (answered.json()["code"], repeated.json()["code"]) == (
            "counter_countered",
            "already_counter_countered",
        )
        assert [line["awarded"] for line in answered.json()["offer"]["lines"]] == ["2600"]
        assert repeated.json()["offer"] == answered.json()["offer"]
        assert answered.json()["offer"]["id"] != offer.pk

    def test_what_is_wrong_is_told_in_the_one_shape(self, stage: Stage, company: Company) -> None:
        [offer] = stage.offered()
        ana, dee = company.client(company.ana), company.client(company.dee)
        made = stage.countered(offer)
        answer = {"counter": made.pk, "answer": "accept", "reason": "Shown well."}

        told = [
            post(ana, offer, "counter", {"lines": {"gold": "1"}, "message": "x"}),
            post(ana, offer, "counter", {"lines": {"standard": "1"}}),
            post(ana, offer, "decline", {}),
            post(dee, offer, "answer", answer),
            post(ana, offer, "answer", answer),
            post(company.client(company.gil), offer, "answer", {**answer, "counter": 999_999}),
            post(company.client(company.cy), offer, "accept"),
            post(company.client(company.bo), offer, "accept"),
        ]

        assert [(one.status_code, one.json()["error"]["code"]) for one in told] == [
            (400, "invalid"),
            (400, "invalid"),
            (400, "invalid"),
            (403, "not_allowed"),
            (403, "not_allowed"),
            (422, "no_counter"),
            (404, "not_found"),
            (403, "not_allowed"),
        ]
        assert (Offer.objects.get().state, Counter.objects.get().state) == ("open", "open")
