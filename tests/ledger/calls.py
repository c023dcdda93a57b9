"""Two weeks of a small company in five calls, in every token class, with and without tags, one beyond its line."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from allocations.metering.types import CallFacts, Tokens
from allocations.metering.wire import Batch
from allocations.models import QuotaKey
from allocations.services import key_issue
from ledger.models import AiModel, Provider, Tier
from ledger.rating import cost
from ledger.services import model_add, usage_roll
from tests.budget import Budget
from tests.door import meter


@dataclass(frozen=True)
class Usage:
    """The budget, a second and dearer model, and a key of the other team."""

    budget: Budget
    big: AiModel
    fraud: QuotaKey

    def call(
        self, key: QuotaKey, model: AiModel, tier: Tier, tokens: Tokens, *, bound: str = "", **tags: str
    ) -> Decimal:
        """Meter one call and return what it cost in USD; with a `bound` below that, what the line lacks is overage."""
        rate = model.rates.get(approved_at__isnull=False)
        price = cost(rate, tokens)
        line = key.allocation.lines.get(tier=tier)
        till = self.budget.till
        hold = till.admit(key, line, bound or format(price, "f"))
        facts = CallFacts(
            tokens=tokens,
            cost=price,
            account_id=line.account_id,
            team_id=key.allocation.team_id,
            key_id=key.pk,
            provider_id=model.provider_id,
            model_id=model.pk,
            rate_id=rate.pk,
            model_asked="tank/auto",
            model_returned=model.name,
            surface="chat/completions",
            streamed=False,
            settle_kind="exact",
            tags=tags,
        )
        settle = [(hold, facts)]
        meter(till.worker, 1, Batch(beyond=settle) if bound else Batch(within=settle))
        return price


@pytest.fixture
def usage(budget: Budget) -> Usage:
    """Meter the five calls and add them up; nothing is posted yet.

    tank-small costs 1 in and 3 out, tank-big 10 in, 1 from the cache and 30 out, USD per million tokens.
    """
    system = budget.company.system
    big = model_add(
        actor=system,
        provider=Provider.objects.get(name="sandbox"),
        name="tank-big",
        tier=Tier.FRONTIER,
        input_price=Decimal(10),
        output_price=Decimal(30),
        cache_read_price=Decimal(1),
    )
    fraud, _ = key_issue(actor=budget.company.cy, allocation=budget.fraud, name="graph")
    story = Usage(budget, big, fraud)
    small, prod = budget.model, budget.prod
    story.call(prod, small, Tier.STANDARD, Tokens(input=1_000_000, output=500_000), workflow="sort", step="1")
    story.call(prod, small, Tier.STANDARD, Tokens(input=1_000_001, output=100_000), workflow="sort", step="2")
    story.call(prod, big, Tier.FRONTIER, Tokens(input=100_000, cache_read=900_000, output=50_000), workflow="letter")
    story.call(fraud, small, Tier.ECONOMY, Tokens(input=2_000_000))
    story.call(fraud, small, Tier.ECONOMY, Tokens(input=50_000_000), bound="1")
    usage_roll()
    return story
