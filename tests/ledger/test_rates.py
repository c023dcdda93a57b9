"""The rate card: published prices in, finance approves, the rate in force decides."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now

from allocations.metering.types import Tokens
from ledger.models import AiModel, Dialect, Provider, Rate, RateSource, Tier
from ledger.price_list import PriceStep, published_price
from ledger.rating import cost, input_size, step_for
from ledger.selectors import rate_card_version, rate_in_force, rates_at
from ledger.services import model_add, provider_add, rate_approve, rate_propose, rates_import
from teams.errors import NotAllowed, Refused, WrongState
from tests.cast import Company

pytestmark = pytest.mark.django_db


@pytest.fixture
def anthropic(company: Company) -> Provider:
    return provider_add(
        actor=company.ivo, name="anthropic", dialect=Dialect.ANTHROPIC, base_url="https://api.example", api_key="sk-x"
    )


def test_a_credential_is_encrypted_at_rest(anthropic: Provider) -> None:
    stored = bytes(Provider.objects.get(pk=anthropic.pk).credential_encrypted)
    assert b"sk-x" not in stored
    assert stored.startswith(b"gAAAA")


def test_published_prices_are_proposed_and_in_force_only_once_finance_approves(
    company: Company, anthropic: Provider
) -> None:
    (rate,) = rates_import(actor=company.ivo, provider=anthropic, names=["claude-sonnet-5"])
    model = AiModel.objects.get()
    assert (model.tier, model.context_window) == (Tier.STANDARD, 1_000_000)
    assert (rate.input, rate.cache_write_5m, rate.cache_write_1h, rate.cache_read, rate.output) == (
        Decimal(2),
        Decimal("2.5"),
        Decimal(4),
        Decimal("0.2"),
        Decimal(10),
    )
    assert rate_in_force(model, datetime.now(UTC)) is None
    before = rate_card_version()

    rate_approve(actor=company.hana, rate=rate)

    assert rate_in_force(model, datetime.now(UTC)) == rate
    assert rate_card_version() == rate.pk > before


def test_the_same_prices_again_propose_nothing(company: Company, anthropic: Provider) -> None:
    rates_import(actor=company.ivo, provider=anthropic, names=["claude-sonnet-5"])
    assert rates_import(actor=company.ivo, provider=anthropic) == []
    assert Rate.objects.count() == 1


def test_a_model_that_nobody_prices_is_refused(company: Company, anthropic: Provider) -> None:
    with pytest.raises(Refused, match="has no claude-imaginary"):
        rates_import(actor=company.ivo, provider=anthropic, names=["claude-imaginary"])
    assert not AiModel.objects.exists()


def test_nobody_approves_the_price_that_they_proposed(company: Company, anthropic: Provider) -> None:
    model = model_add(
        actor=company.system,
        provider=anthropic,
        name="m",
        tier=Tier.ECONOMY,
        input_price=Decimal(1),
        output_price=Decimal(1),
    )
    mine = rate_propose(
        actor=company.hana,
        model=model,
        source=RateSource.NEGOTIATED,
        input_price=Decimal(1),
        output_price=Decimal(2),
    )
    with pytest.raises(NotAllowed):
        rate_approve(actor=company.hana, rate=mine)
    with pytest.raises(NotAllowed):
        rate_approve(actor=company.ana, rate=mine)
    rate_approve(actor=company.system, rate=mine)
    with pytest.raises(WrongState):
        rate_approve(actor=company.system, rate=mine)


def test_a_call_costs_what_it_cost_when_it_was_sent(company: Company, anthropic: Provider) -> None:
    now = datetime.now(UTC)
    model = AiModel.objects.create(provider=anthropic, name="m", tier=Tier.ECONOMY)
    for days, dollars in ((30, 1), (10, 2), (-5, 3)):
        rate = rate_propose(
            actor=company.system,
            model=model,
            source=RateSource.NEGOTIATED,
            input_price=Decimal(dollars),
            output_price=Decimal(dollars),
            valid_from=now - timedelta(days=days),
        )
        rate_approve(actor=company.system, rate=rate)

    in_force = [rate_in_force(model, now - timedelta(days=days)) for days in (31, 20, 0)]

    assert [rate.input if rate else None for rate in in_force] == [None, Decimal(1), Decimal(2)]


def test_a_cost_is_exact_to_the_twelfth_place() -> None:
    prices = Rate(
        input=Decimal("0.000001"),
        cache_read=Decimal("0.1"),
        cache_write_5m=Decimal("1.25"),
        cache_write_1h=Decimal(2),
        output=Decimal(10),
    )
    tokens = Tokens(input=1, cache_read=10, cache_write_5m=100, cache_write_1h=1000, output=10_000, reasoning=5)
    assert cost(prices, tokens) == Decimal("0.102126000001")


# --- Steps ---------------------------------------------------------------------------------------------------

LONG = PriceStep(200_000, Decimal(6), Decimal("0.6"), Decimal("7.5"), Decimal(12), Decimal("22.5"))


def propose_stepped(company: Company, model: AiModel, *steps: PriceStep, dollars: int = 3) -> Rate:
    return rate_propose(
        actor=company.ivo,
        model=model,
        source=RateSource.NEGOTIATED,
        input_price=Decimal(dollars),
        output_price=Decimal(15),
        further_steps=steps,
    )


def test_a_published_price_that_grows_with_the_prompt_has_steps() -> None:
    found = published_price(Dialect.ANTHROPIC, "claude-sonnet-4-5", datetime.now(UTC))
    assert found is not None
    short = PriceStep(0, Decimal(3), Decimal("0.3"), Decimal("3.75"), Decimal(6), Decimal(15))
    assert found.steps == (short, LONG)
    assert found.tier == Tier.STANDARD


def test_an_import_proposes_all_steps_and_finance_approves_them_as_one(company: Company, anthropic: Provider) -> None:
    (rate,) = rates_import(actor=company.ivo, provider=anthropic, names=["claude-sonnet-4-5"])
    assert [(step.above_input_tokens, step.input, step.output) for step in rate.steps] == [
        (0, Decimal(3), Decimal(15)),
        (200_000, Decimal(6), Decimal("22.5")),
    ]
    assert rates_import(actor=company.ivo, provider=anthropic) == []

    rate_approve(actor=company.hana, rate=rate.steps[1])

    approvals = {(step.approved_by, step.approved_at is None) for step in Rate.objects.all()}
    assert approvals == {(company.hana, False)}
    assert rate_in_force(rate.model, datetime.now(UTC)) == rate
    with pytest.raises(WrongState):
        rate_approve(actor=company.hana, rate=rate)


def test_nobody_approves_the_steps_that_they_proposed(company: Company, anthropic: Provider) -> None:
    model = AiModel.objects.create(provider=anthropic, name="m", tier=Tier.ECONOMY)
    mine = rate_propose(
        actor=company.hana,
        model=model,
        source=RateSource.NEGOTIATED,
        input_price=Decimal(1),
        output_price=Decimal(1),
        further_steps=[LONG],
    )
    for step in mine.steps:
        with pytest.raises(NotAllowed):
            rate_approve(actor=company.hana, rate=step)


def test_a_new_base_ends_the_steps_of_the_one_before(company: Company, anthropic: Provider) -> None:
    model = AiModel.objects.create(provider=anthropic, name="m", tier=Tier.ECONOMY)
    for steps in ([LONG], []):
        rate_approve(actor=company.hana, rate=propose_stepped(company, model, *steps))
    in_force = rate_in_force(model, datetime.now(UTC))
    assert in_force is not None
    assert in_force.steps == [in_force]
    assert rates_at([model], datetime.now(UTC)) == {model.pk: in_force}


def test_the_whole_input_decides_the_step_and_it_prices_every_token(company: Company, anthropic: Provider) -> None:
    model = AiModel.objects.create(provider=anthropic, name="m", tier=Tier.ECONOMY)
    short, long = propose_stepped(company, model, LONG).steps
    assert [step_for([short, long], size) for size in (0, 200_000, 200_001)] == [short, short, long]
    tokens = Tokens(input=1, cache_read=200_000, output=10)
    assert input_size(tokens) == 200_001
    assert cost(long, tokens) == (6 + Decimal("0.6") * 200_000 + Decimal("22.5") * 10) / 1_000_000


@pytest.mark.parametrize("sizes", [(0,), (-1,), (5, 5)])
def test_each_further_step_has_a_size_of_its_own(company: Company, anthropic: Provider, sizes: tuple[int, ...]) -> None:
    model = AiModel.objects.create(provider=anthropic, name="m", tier=Tier.ECONOMY)
    with pytest.raises(Refused) as refused:
        propose_stepped(company, model, *(replace(LONG, above_input_tokens=size) for size in sizes))
    assert refused.value.code == "step_size"


def test_a_step_has_no_price_below_zero(company: Company, anthropic: Provider) -> None:
    model = AiModel.objects.create(provider=anthropic, name="m", tier=Tier.ECONOMY)
    with pytest.raises(Refused, match="negative"):
        propose_stepped(company, model, replace(LONG, cache_read=Decimal(-1)))


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"valid_from": datetime(2020, 1, 1, tzinfo=UTC)},
        {"source": RateSource.PUBLISHED},
        {"made": "earlier"},
    ],
)
def test_the_database_refuses_a_step_that_was_not_proposed_with_its_base(
    company: Company, anthropic: Provider, change: dict[str, Any]
) -> None:
    model = AiModel.objects.create(provider=anthropic, name="m", tier=Tier.ECONOMY)
    other = AiModel.objects.create(provider=anthropic, name="other", tier=Tier.ECONOMY)
    base = propose_stepped(company, model)
    if "made" in change:
        Rate.objects.filter(pk=base.pk).update(created_at=datetime(2020, 1, 1, tzinfo=UTC))
    step = Rate.objects.get(pk=base.pk)
    step.pk, step._state.adding, step.base, step.above_input_tokens = None, True, base, 10
    for name, value in change.items():
        setattr(step, name, other if value == "other" else value)
    with pytest.raises(DatabaseError, match="must be proposed with it"):
        step.save()


def test_the_database_refuses_a_rate_without_its_steps(company: Company, anthropic: Provider) -> None:
    model = AiModel.objects.create(provider=anthropic, name="m", tier=Tier.ECONOMY)
    for place in (0, 1):
        part = propose_stepped(company, model, LONG).steps[place]
        with pytest.raises(DatabaseError, match="with all its steps or not at all"):
            approve_alone(company, part)


def approve_alone(company: Company, rate: Rate) -> None:
    with transaction.atomic():
        Rate.objects.filter(pk=rate.pk).update(approved_by=company.hana, approved_at=Now())
        connection.check_constraints()
