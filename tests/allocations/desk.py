"""A funded team with one model, one line and one key: the smallest desk from which a call can be made."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

from allocations.metering.types import CallFacts, Tokens, Wish
from allocations.models import Allocation, AllocationLine, Quota, QuotaKey
from allocations.services import KeyLimits, grant_make, key_issue
from ledger.models import AiModel, Dialect, Rate, Tier
from ledger.money import usd
from ledger.rating import cost
from ledger.services import model_add, provider_add, year_fund
from teams.models import User
from teams.selectors import system_user


@dataclass(frozen=True)
class Desk:
    """One allocation of 50 dollars in the standard tier, a model at 1 and 3 dollars per million tokens, a key."""

    actor: User
    allocation: Allocation
    line: AllocationLine
    model: AiModel
    rate: Rate
    key: QuotaKey
    secret: str

    @property
    def quota(self) -> Quota:
        """Return the line's quota as it stands now."""
        return Quota.objects.get(line=self.line)

    @property
    def key_quota(self) -> Quota:
        """Return the key's own quota as it stands now."""
        return Quota.objects.get(key=self.key)

    @property
    def chain(self) -> tuple[int, int]:
        """Return the ids of the quotas that a call must fit: the line's first, then the key's."""
        return (self.quota.pk, self.key_quota.pk)

    def facts(self, *, input_tokens: int = 1_000_000, output_tokens: int = 0) -> CallFacts:
        """Return what a call used; by default a million input tokens, which is one dollar."""
        tokens = Tokens(input=input_tokens, output=output_tokens)
        return CallFacts(
            tokens=tokens,
            cost=cost(self.rate, tokens),
            account_id=self.line.account_id,
            team_id=self.allocation.team_id,
            key_id=self.key.pk,
            provider_id=self.model.provider_id,
            model_id=self.model.pk,
            rate_id=self.rate.pk,
            model_asked=self.model.name,
            model_returned=self.model.name,
            surface="chat/completions",
            streamed=False,
            settle_kind="exact",
            upstream_id=uuid4().hex,
        )


def wish(chain: tuple[int, ...], bound: Decimal, *, least: Decimal | None = None, tokens: int = 10**9) -> Wish:
    """Return what a call asks for now; by default tokens are no matter."""
    return Wish(chain, bound, tokens, datetime.now(UTC), least, None if least is None else 1)


def open_desk(amount: str = "50", cap: str | None = None) -> Desk:
    """Fund the year, add a sandbox model, grant an allocation and issue a key, as the system."""
    actor = system_user()
    year_fund(actor=actor, amount=usd("1000"), reason="Budget of the year")
    provider = provider_add(actor=actor, name="sandbox", dialect=Dialect.SANDBOX)
    model = model_add(
        actor=actor,
        provider=provider,
        name="tank-small",
        tier=Tier.STANDARD,
        input_price=Decimal(1),
        output_price=Decimal(3),
    )
    allocation = grant_make(actor=actor, team_name="Blue", amount=usd(amount), tier=Tier.STANDARD, reason="A try")
    key, secret = key_issue(
        actor=actor, allocation=allocation, name="first", limits=KeyLimits(cap=None if cap is None else Decimal(cap))
    )
    return Desk(
        actor=actor,
        allocation=allocation,
        line=allocation.lines.get(),
        model=model,
        rate=model.rates.get(),
        key=key,
        secret=secret,
    )
