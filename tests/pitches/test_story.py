"""A whole round, step by step, with five people; after every step the money is where it should be."""

import hashlib
from decimal import Decimal

import pytest

from allocations.selectors import quota_figures
from allocations.services import key_issue
from ledger.models import AccountClass, Tier
from ledger.selectors import available_in_reserve, balance, trial_balance
from pitches import services
from pitches.models import Choice, Offer, Outcome, Round
from pitches.selectors.rounds import round_money
from pitches.selectors.scores import scores_of_round
from teams.models import AuditEvent, Notification
from tests.cast import Company
from tests.pitches.stage import Stage, content

pytestmark = pytest.mark.django_db


def in_pool(round_: Round) -> Decimal:
    return balance(round_.opened_pool).amount


def test_a_pitch_becomes_a_key_that_can_spend_what_the_committee_decided(stage: Stage, company: Company) -> None:
    ana, gil, dee, eli = company.ana, company.gil, company.dee, company.eli

    # The round opened: its cap left the reserve and lies in the pool.
    assert (available_in_reserve().amount, in_pool(stage.round)) == (Decimal(40_000), Decimal(10_000))

    # Ana pitches. The ask is the quote: 100,000 calls at 0.004 dollars, for six months.
    pitch = stage.submitted()
    assert (pitch.state, pitch.submitted.number, pitch.submitted.rate_card_version) == (
        "submitted",
        1,
        stage.models[Tier.BATCH].rates.get().pk,
    )

    # Dee finds a gap and returns it; Ana answers with a second revision.
    stage.peek(dee, pitch)
    services.pitch_return(actor=dee, pitch=pitch, note="How was the metric measured?")
    pitch.refresh_from_db()
    assert (pitch.state, pitch.return_note) == ("returned", "How was the metric measured?")
    services.pitch_submit(actor=ana, pitch=pitch, content=content(company.kim, value_method="Measured for a week."))
    pitch.refresh_from_db()
    assert (pitch.state, pitch.submitted.number, pitch.return_note) == ("submitted", 2, "")

    # Reviews: Dee and Eli, each with a score and a sentence on every criterion.
    stage.to_review()
    stage.review(dee, pitch, 8)
    stage.review(eli, pitch, 6)
    scores = scores_of_round(stage.round)[pitch.pk]
    assert (scores.reviews, scores.review_score, scores.disagreement) == (2, Decimal("7.0"), Decimal("1.0"))

    # The vote is sealed: three ballots in the box, and no choice anywhere.
    stage.to_vote()
    stage.vote(gil, pitch, Choice.YES, 9)
    stage.vote(dee, pitch, Choice.YES, 8)
    stage.vote(eli, pitch, Choice.NO, 4)
    scores = scores_of_round(stage.round)[pitch.pk]
    assert (scores.cast, scores.yes, scores.no, scores.ballot_score) == (3, 0, 0, None)

    # Closing opens all of them at once.
    services.voting_close(actor=gil, round_=stage.round)
    scores = scores_of_round(stage.now())[pitch.pk]
    assert (scores.cast, scores.yes, scores.no, scores.ballot_score) == (3, 2, 1, Decimal("7.0"))

    # Gil decides for 2,000 of the 2,400 asked, and publishes: nobody in the team knew before.
    services.decision_set(
        actor=gil,
        pitch=pitch,
        outcome=Outcome.FUND,
        reason="Start with one desk less.",
        lines={Tier.STANDARD: Decimal(2000)},
    )
    assert Notification.objects.filter(user=ana, title__startswith="An offer").count() == 0
    services.round_publish(actor=gil, round_=stage.round)
    assert Notification.objects.filter(user=ana, title__startswith="An offer").count() == 1
    offer = Offer.objects.get(pitch=pitch)
    assert [(line.tier, line.asked, line.awarded) for line in offer.lines.all()] == [
        ("standard", Decimal("2400.00"), Decimal(2000))
    ]
    assert in_pool(stage.round) == 10_000  # an offer moves no money

    # Ana accepts: the money is committed, released and may be spent.
    allocation = services.offer_accept(actor=ana, offer=offer)
    figures = quota_figures(allocation)
    assert (in_pool(stage.round), figures.limit, figures.available) == (Decimal(8000), Decimal(2000), Decimal(2000))
    assert allocation.stop_behaviour == "fall"
    _, secret = key_issue(actor=ana, allocation=allocation, name="triage")
    assert secret.startswith("tank_")

    # Settling gives the rest back to the reserve, and the books are in balance.
    services.round_settle(actor=gil, round_=stage.round)
    assert (available_in_reserve().amount, in_pool(stage.round)) == (Decimal(48_000), Decimal(0))
    assert sum(row.balance for row in trial_balance()) == 0
    lines = [row for row in trial_balance() if row.account.account_class == AccountClass.LINE]
    assert [(row.account.tier, row.balance) for row in lines] == [("standard", Decimal(2000))]
    pitch.refresh_from_db()
    assert (pitch.state, stage.now().state) == ("funded", "settled")


def test_every_change_of_state_says_who_did_it_and_from_where_to_where(stage: Stage, company: Company) -> None:
    [offer] = stage.offered()
    stage.accepted(offer)

    events = AuditEvent.objects.filter(object_type="pitches.pitch", object_id=str(offer.pitch_id)).order_by("pk")
    told = [(event.verb, event.actor.email, event.details.get("to")) for event in events]
    ana, gil = company.ana.email, company.gil.email

    assert told == [
        ("pitch.create", ana, None),
        ("pitch.submit", ana, "submitted"),
        ("pitch.take_in", gil, "in_review"),
        ("pitch.shortlist", gil, "shortlisted"),
        ("pitch.decide", gil, None),
        ("pitch.offer", gil, "offered"),
        ("pitch.fund", ana, "funded"),
    ]


def test_the_seed_that_is_shown_is_the_one_that_was_committed_to(stage: Stage) -> None:
    committed = stage.round.seed_hash
    assert (len(committed), stage.round.seed) == (64, "")

    stage.offered()

    assert hashlib.sha256(stage.round.seed.encode()).hexdigest() == committed


def test_a_settled_round_shows_where_its_cap_went(stage: Stage, company: Company) -> None:
    first, second = stage.offered("Triage", "Letters", amount="1000")
    stage.accepted(first)
    money = round_money(stage.now())
    assert (money.awarded, money.offered, money.available, money.in_pool) == tuple(
        map(Decimal, (1000, 1000, 7000, 9000))
    )

    services.offer_decline(actor=company.ana, offer=second, reason="We found another way.")
    money = round_money(stage.now())
    assert (money.awarded, money.offered, money.available, money.in_pool) == tuple(map(Decimal, (1000, 0, 8000, 9000)))


def test_a_waitlisted_pitch_lapses_when_the_round_is_settled(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)
    services.decision_set(actor=company.gil, pitch=pitch, outcome=Outcome.WAITLIST, reason="Good, after the others.")
    services.round_publish(actor=company.gil, round_=stage.round)
    pitch.refresh_from_db()
    assert pitch.state == "waitlisted"

    services.round_settle(actor=company.hana, round_=stage.round)

    pitch.refresh_from_db()
    assert pitch.state == "lapsed"


def test_a_cancelled_round_gives_everything_back(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()

    services.round_cancel(actor=company.hana, round_=stage.round, reason="The budget was cut")

    pitch.refresh_from_db()
    assert (pitch.state, pitch.return_note) == ("returned", "The round was cancelled: The budget was cut")
    assert (available_in_reserve().amount, in_pool(stage.round)) == (Decimal(50_000), Decimal(0))
