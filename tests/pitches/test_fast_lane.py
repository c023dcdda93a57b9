"""The fast lane: always open, small, one member decides at once, and auditors see everything."""

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from ledger.models import Tier
from ledger.money import usd
from ledger.selectors import available_in_reserve, balance, today
from pitches import services
from pitches.models import Aspect, Decision, Finding, Offer, Outcome, Pitch
from pitches.selectors.fast_lane import in_sample, lane_decisions
from pitches.selectors.lists import published_decisions
from pitches.selectors.pitches import pitches_visible_to
from pitches.services import Calendar, Rules
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification
from tests.cast import Company
from tests.pages import page_of
from tests.pitches.stage import Stage, content, of

pytestmark = pytest.mark.django_db

WHY = "Small, cheap and easy to measure."
ALL = {Tier.STANDARD: Decimal(2400)}


@pytest.fixture
def lane(stage: Stage) -> Stage:
    """Give a story a fast lane of 5,000 dollars with the same committee, at most 2,500 per pitch."""
    gil = stage.company.gil
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=200)
    round_ = services.round_create(
        actor=gil,
        name="Fast lane",
        cap=usd("5000"),
        calendar=Calendar.of_fast_lane(until, until + timedelta(days=14)),
        starts_on=today(),
        months=6,
        rules=Rules(reserve_share=Decimal(0), fast_lane_limit=Decimal(2500)),
    )
    for member in stage.members:
        services.seat_set(actor=gil, round_=round_, user=member, is_chair=member == gil)
    services.round_open(actor=gil, round_=round_, reason="For small things")
    lane = Stage(stage.company, round_, stage.models, stage.members)
    lane.now()
    return lane


def test_one_member_decides_and_the_team_has_its_offer_at_once(lane: Stage, company: Company) -> None:
    pitch = lane.submitted("Letters")
    assert (lane.round.kind, pitches_visible_to(company.dee).get()) == ("fast_lane", pitch)

    services.lane_decide(actor=company.dee, pitch=pitch, outcome=Outcome.FUND, reason=WHY, lines=ALL)

    pitch.refresh_from_db()
    offer = Offer.objects.get(pitch=pitch)
    assert (pitch.state, offer.state, lane.now().state) == ("offered", "open", "open")
    assert timedelta(days=13) < offer.expires_at - datetime.now(UTC) <= timedelta(days=14)
    assert Notification.objects.filter(user=company.ana, title__startswith="An offer for Letters").exists()
    event = AuditEvent.objects.get(verb="pitch.decide")
    assert (event.actor, event.reason, event.details["lines"]) == (company.dee, WHY, {"standard": "2400"})
    allocation = services.offer_accept(actor=company.ana, offer=offer)
    assert balance(lane.round.opened_pool).amount == 2600
    assert (allocation.starts_on, allocation.ends_on) == lane.round.award_period(today())
    assert [row.pitch for row in published_decisions(lane.round)] == [pitch]


def test_an_award_that_is_accepted_late_begins_late(lane: Stage) -> None:
    later = today() + timedelta(days=150)

    assert lane.round.award_period(later)[0] == later
    assert lane.round.award_period(later)[1] > lane.round.ends_on


def test_a_decline_is_told_at_once(lane: Stage, company: Company) -> None:
    pitch = lane.submitted("Letters")

    services.lane_decide(actor=company.fay, pitch=pitch, outcome=Outcome.DECLINE, reason="The old tool does this.")

    pitch.refresh_from_db()
    assert pitch.state == "declined"
    assert Notification.objects.filter(user=company.ana, body="The old tool does this.").exists()
    assert "The old tool does this." in page_of(company.client(company.ana).get(of("", pitch))).text


def test_nothing_beyond_the_limit_is_asked_or_awarded(lane: Stage, company: Company) -> None:
    big = content(company.kim, items=(content(company.kim).items[0], content(company.kim).items[0]))
    with pytest.raises(Refused, match="takes asks of at most"):
        services.pitch_submit(actor=company.ana, pitch=lane.pitch("Big"), content=big)
    pitch = lane.submitted("Letters")

    with pytest.raises(Refused, match=r"awards at most \$2,500.00 per pitch") as refused:
        services.lane_decide(
            actor=company.dee,
            pitch=pitch,
            outcome=Outcome.FUND,
            reason=WHY,
            lines={Tier.STANDARD: Decimal("2500.01")},
        )

    assert (refused.value.code, Decision.objects.count()) == ("over_limit", 0)
    Decision.objects.create(pitch=pitch, revision=pitch.submitted, outcome="fund", reason=WHY, decided_by=company.dee)
    with pytest.raises(DatabaseError, match="more than the 2500 of its fast lane"), transaction.atomic():
        Decision.objects.get().lines.create(tier="standard", amount=Decimal("2500.01"))


def test_the_lane_cannot_award_more_than_its_pool(lane: Stage, company: Company) -> None:
    for number in range(2):
        services.lane_decide(
            actor=company.dee, pitch=lane.submitted(f"No {number}"), outcome=Outcome.FUND, reason=WHY, lines=ALL
        )

    with pytest.raises(Refused, match=r"\$200.00 of the cap can still be awarded"):
        services.lane_decide(
            actor=company.dee, pitch=lane.submitted("No 3"), outcome=Outcome.FUND, reason=WHY, lines=ALL
        )


@pytest.mark.parametrize("name", ["ana", "cy", "hana", "ivo", "jo", "kim", "mia"])
def test_only_members_decide(lane: Stage, company: Company, name: str) -> None:
    pitch = lane.submitted("Letters")

    with pytest.raises(NotAllowed):
        services.lane_decide(actor=company.person(name), pitch=pitch, outcome=Outcome.FUND, reason=WHY, lines=ALL)


def test_a_member_with_a_conflict_does_not_decide(lane: Stage, company: Company) -> None:
    pitch = lane.submitted("Letters")
    services.recusal_declare(actor=company.dee, pitch=pitch, reason="I built its pilot.")

    with pytest.raises(NotAllowed):
        services.lane_decide(actor=company.dee, pitch=pitch, outcome=Outcome.FUND, reason=WHY, lines=ALL)
    page = company.client(company.dee).get(f"/admin/pitches/round/pitch/{pitch.pk}/lane/")
    assert page.status_code == 404


def test_a_regular_round_has_no_such_way(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()

    with pytest.raises(WrongState):
        services.lane_decide(actor=company.gil, pitch=pitch, outcome=Outcome.FUND, reason=WHY, lines=ALL)
    with pytest.raises(WrongState):
        services.lane_close(actor=company.gil, round_=stage.round, reason="Enough")
    with pytest.raises(DatabaseError, match="is no fast lane"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE pitches_round SET state = 'published'")


def test_a_lane_has_no_reviews_and_waits_for_nobody(lane: Stage, company: Company) -> None:
    pitch = lane.submitted("Letters")

    with pytest.raises(WrongState, match="has no reviews"):
        services.review_start(actor=company.gil, round_=lane.round)
    with pytest.raises(WrongState, match="has no reviews"):
        services.pitch_take_in(actor=company.gil, pitch=pitch)
    closed = services.rounds_close_due(actor=company.system, at=datetime.now(UTC) + timedelta(days=300))
    assert ([round_.name for round_ in closed], lane.now().state) == (["Q1"], "open")


def test_what_is_infeasible_gets_no_offer(lane: Stage, company: Company) -> None:
    pitch = lane.submitted("Letters")
    services.screening_record(
        actor=company.mia,
        pitch=pitch,
        revision_number=1,
        aspect=Aspect.COMPLIANCE,
        finding=Finding.INFEASIBLE,
        reason="Health data may not leave the country.",
    )

    with pytest.raises(Refused, match="A screening found it infeasible"):
        services.lane_decide(actor=company.dee, pitch=pitch, outcome=Outcome.FUND, reason=WHY, lines=ALL)


def test_auditors_see_every_decision_and_a_sample_that_the_seed_chose(lane: Stage, company: Company) -> None:
    pitches = [lane.submitted(f"No {number}") for number in range(4)]
    for pitch in pitches:
        services.lane_decide(actor=company.dee, pitch=pitch, outcome=Outcome.DECLINE, reason="Not now, next year.")

    rows = lane_decisions(lane.now())
    page = company.client(company.jo).get(f"/admin/pitches/round/{lane.round.pk}/lane/")
    services.lane_close(actor=company.gil, round_=lane.round, reason="The year is over")

    seed = lane.now().seed
    assert hashlib.sha256(seed.encode()).hexdigest() == lane.round.seed_hash
    assert {row.decision.pitch: row.is_sampled for row in rows} == {
        pitch: in_sample(seed, pitch.pk) for pitch in pitches
    }
    assert "No 3" in page_of(page).text
    for name in ("dee", "gil", "hana"):
        answer = company.client(company.person(name)).get(f"/admin/pitches/round/{lane.round.pk}/lane/")
        assert answer.status_code in {302, 404}


def test_the_sample_is_about_one_in_five_and_the_same_for_everybody() -> None:
    sampled = [pitch for pitch in range(1, 2001) if in_sample("a seed", pitch)]

    assert 320 < len(sampled) < 480
    assert sampled == [pitch for pitch in range(1, 2001) if in_sample("a seed", pitch)]


def test_a_closed_lane_gives_back_what_is_left_and_its_drafts_go_on(lane: Stage, company: Company) -> None:
    draft, waiting = lane.pitch("Draft"), lane.submitted("Letters")
    with pytest.raises(Refused, match="1 pitches still wait for a decision"):
        services.lane_close(actor=company.gil, round_=lane.round, reason="The year is over")
    services.lane_decide(actor=company.dee, pitch=waiting, outcome=Outcome.DECLINE, reason="Not now, next year.")

    services.lane_close(actor=company.gil, round_=lane.round, reason="The year is over")
    services.round_settle(actor=company.gil, round_=lane.round)

    draft.refresh_from_db()
    assert (draft.round.name, available_in_reserve().amount) == ("Q1", Decimal(40_000))


def test_a_member_decides_on_the_page(lane: Stage, company: Company) -> None:
    pitch = lane.submitted("Letters")
    dee, path = company.client(company.dee), f"/admin/pitches/round/pitch/{pitch.pk}/lane/"

    refused = dee.post(path, {"outcome": "fund", "reason": "No.", "amount-standard": "2400"})
    assert refused.status_code == 422
    dee.post(path, {"outcome": "fund", "reason": WHY, "amount-standard": "2,400"})

    assert Pitch.objects.get(pk=pitch.pk).state == "offered"
    assert dee.get(path).status_code == 404


def test_a_lane_that_is_closed_without_a_reason_still_says_why_in_the_history(lane: Stage, company: Company) -> None:
    company.client(company.gil).post(f"/admin/pitches/round/{lane.round.pk}/step/close-lane/")

    event = AuditEvent.objects.get(verb="round.lane_close")
    assert (lane.now().state, event.actor, event.reason) == (
        "published",
        company.gil,
        "Every pitch that came in was answered.",
    )
