"""The rate card: published prices in, finance approves, the rate in force decides."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from allocations.metering.types import Tokens
from ledger.models import AiModel, Dialect, Provider, Rate, RateSource, Tier
from ledger.price_list import published_price
from ledger.rating import cost
from ledger.selectors import rate_card_version, rate_in_force
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


def test_a_price_that_grows_with_the_prompt_is_taken_at_its_dearest_step() -> None:
    found = published_price(Dialect.ANTHROPIC, "claude-sonnet-4-5", datetime.now(UTC))
    assert found is not None
    assert (found.input, found.output, found.is_stepped) == (Decimal(6), Decimal("22.5"), True)
