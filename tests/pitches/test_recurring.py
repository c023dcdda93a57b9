"""Recurring rounds: the next one is prepared in time, once, and its chair is told."""

from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from pitches import services, tasks
from pitches.models import Round
from pitches.zones import moment_months_later
from teams.errors import NotAllowed, Refused
from teams.models import AuditEvent, Notification
from tests.cast import Company
from tests.pages import page_of
from tests.pitches.stage import Stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def recurring(stage: Stage) -> Round:
    Round.objects.filter(pk=stage.round.pk).update(recurs_months=3)
    return stage.now()


def due(round_: Round) -> datetime:
    """Return the first moment at which the next round is to be prepared."""
    return moment_months_later(round_.submissions_close_at, round_.time_zone, 3) - timedelta(days=45)


def test_the_next_round_is_prepared_45_days_ahead_and_once(stage: Stage, company: Company, recurring: Round) -> None:
    early = services.rounds_prepare_due(actor=company.system, at=due(recurring) - timedelta(seconds=1))
    [prepared] = services.rounds_prepare_due(actor=company.system, at=due(recurring))
    again = services.rounds_prepare_due(actor=company.system, at=due(recurring) + timedelta(days=1))

    assert (early, again) == ([], [])
    assert (prepared.state, prepared.repeats, prepared.cloned_from) == ("draft", recurring, recurring)
    assert prepared.name == f"Q1, from {prepared.starts_on:%b %Y}"
    assert prepared.recurs_months == 3
    assert prepared.seats.count() == 4
    told = Notification.objects.get(title=f"{prepared.name} is prepared")
    assert (told.user, told.url) == (company.gil, f"/admin/pitches/round/{prepared.pk}/desk/")


def test_the_database_lets_a_round_be_repeated_once(stage: Stage, company: Company, recurring: Round) -> None:
    services.rounds_prepare_due(actor=company.system, at=due(recurring))
    other = services.round_clone(actor=company.gil, round_=recurring, name="Another", months=3)

    with pytest.raises(IntegrityError), transaction.atomic():
        Round.objects.filter(pk=other.pk).update(repeats=recurring)


def test_a_chain_goes_on_from_round_to_round_with_short_names(stage: Stage, company: Company, recurring: Round) -> None:
    [second] = services.rounds_prepare_due(actor=company.system, at=due(recurring))
    assert services.rounds_prepare_due(actor=company.system, at=due(second)) == []  # it is still a draft

    services.round_open(actor=company.gil, round_=second, reason="As planned")
    [third] = services.rounds_prepare_due(actor=company.system, at=due(second))

    assert third.name == f"Q1, from {third.starts_on:%b %Y}"
    assert third.repeats == second


def test_a_round_that_does_not_recur_or_was_cancelled_is_not_repeated(stage: Stage, company: Company) -> None:
    far = stage.round.submissions_close_at + timedelta(days=400)
    assert services.rounds_prepare_due(actor=company.system, at=far) == []

    Round.objects.filter(pk=stage.round.pk).update(recurs_months=3)
    services.round_cancel(actor=company.hana, round_=stage.now(), reason="The budget was cut")

    assert services.rounds_prepare_due(actor=company.system, at=far) == []


def test_the_chair_stops_a_round_from_coming_again(stage: Stage, company: Company, recurring: Round) -> None:
    gil, path = company.client(company.gil), f"/admin/pitches/round/{recurring.pk}/"
    assert "Comes again after 3 months" in page_of(gil.get(f"{path}desk/")).text

    gil.post(f"{path}step/stop-recurring/", {"reason": "The budget is yearly from now on"})

    assert stage.now().recurs_months is None
    assert AuditEvent.objects.get(verb="round.recur").details == {"from": 3, "to": None}
    assert services.rounds_prepare_due(actor=company.system, at=due(recurring)) == []
    with pytest.raises(NotAllowed):
        services.round_recur(actor=company.dee, round_=stage.round, months=1, reason="I like rounds")
    with pytest.raises(Refused, match="From 1 to 36 months"):
        services.round_recur(actor=company.gil, round_=stage.round, months=37, reason="I like rounds")


def test_the_task_finds_what_is_due_and_does_it_once(stage: Stage, recurring: Round) -> None:
    Round.objects.filter(pk=recurring.pk).update(recurs_months=1)

    assert (tasks.prepare_rounds(), tasks.prepare_rounds()) == (1, 0)
    assert Round.objects.count() == 2
