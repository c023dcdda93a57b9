"""Budget for the cast: a funded year, a round's pool, and what the two teams were given out of it.

Everything happens inside the test's own transaction, calls included: `Till` is a gateway process as the database
sees one. `budget.seal()` does what a commit would do, so that entries carry their seals.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models import F

from allocations.metering.types import CallFacts, Hold, Tokens, Wish
from allocations.metering.wire import Batch
from allocations.models import Allocation, AllocationLine, Quota, QuotaKey, StopBehaviour, Window
from allocations.models.quota import starts_on
from allocations.services import KeyLimits, allocation_create, key_issue
from ledger.ids import uuid7
from ledger.models import Account, AiModel, Dialect, EntryKind, Tier, UsageRecord
from ledger.money import usd
from ledger.rating import cost
from ledger.selectors import today
from ledger.services import model_add, pool_open, provider_add, year_fund
from tests.cast import Company
from tests.door import meter

# What a till holds of tokens, which no quota of the company limits.
TOKENS = 10**12


@dataclass
class Till:
    """A gateway process: admits calls and settles them through the one door."""

    worker: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        statement = "INSERT INTO allocations_meterworker (id, host, pid, state) VALUES (%s, 'till', 4711, 'alive')"
        with connection.cursor() as cursor:
            cursor.execute(statement, [self.worker])

    def admit(
        self, key: QuotaKey, line: AllocationLine, bound: str, *, tokens: int = TOKENS, days_ago: int = 0
    ) -> Hold:
        """Hold a bound on the line, on the key's own quota and on those of its day and month where it has such caps."""
        sent_at = _now() - timedelta(days=days_ago)
        chain = (Quota.objects.get(line=line).pk, Quota.objects.get(key=key).pk, *_windows(key, sent_at))
        answer = self._meter(Batch(wishes=[Wish(chain, Decimal(bound), tokens, sent_at)]))
        assert answer["granted"] == [[bound, tokens]], answer
        return Hold(uuid4(), self.worker, chain, Decimal(bound), tokens, sent_at, Decimal(0))

    def settle(self, hold: Hold, facts: CallFacts) -> None:
        """Charge a call that cost no more than its bound."""
        self._meter(Batch(within=[(hold, facts)]))

    def settle_beyond(self, hold: Hold, facts: CallFacts) -> Decimal:
        """Charge a call that cost more than its bound; return the overage, in the line's currency."""
        answer = self._meter(Batch(beyond=[(hold, facts)]))
        return Decimal(answer["overages"][str(hold.request_id)])

    def void(self, hold: Hold) -> None:
        """Give a hold back: the call never reached the provider."""
        self._meter(Batch(voids=[hold]))

    def die(self) -> None:
        """Stop without a word: what is in flight stays held and becomes unsettled."""
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE allocations_meterworker SET heartbeat_at = '2020-01-01' WHERE id = %s", [self.worker]
            )
            cursor.execute("SELECT allocations_lapse(make_interval(secs => 60))")

    def _meter(self, batch: Batch) -> dict[str, Any]:
        return meter(self.worker, 1, batch)


def _windows(key: QuotaKey, moment: datetime) -> Iterator[int]:
    key.refresh_from_db()
    for window in Window.values:
        if getattr(key, f"{window}_cap") is not None or getattr(key, f"{window}_tokens") is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT allocations_window(%s, %s, %s)", [key.pk, window, starts_on(window, moment)])
                yield cursor.fetchone()[0]


def _now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = cursor.fetchone()[0]
    return now


@dataclass(frozen=True)
class Budget:
    """The company's money: who was given what, and a till to spend it at."""

    company: Company
    pool: Account
    model: AiModel
    claims: Allocation
    fraud: Allocation
    prod: QuotaKey
    test: QuotaKey
    prod_secret: str
    till: Till

    @property
    def line(self) -> AllocationLine:
        """Return the standard line of Claims."""
        return self.claims.lines.get(tier=Tier.STANDARD)

    def call(self, key: QuotaKey | None = None, *, tokens: int = 1_000_000, settle_kind: str = "exact") -> None:
        """Meter a call on the standard line of Claims; a million input tokens cost one dollar."""
        facts = self.facts(key, tokens=tokens, settle_kind=settle_kind)
        hold = self.till.admit(key or self.prod, self.line, format(facts.cost, "f"), tokens=tokens)
        self.till.settle(hold, facts)

    def facts(self, key: QuotaKey | None = None, *, tokens: int, settle_kind: str = "exact") -> CallFacts:
        """Return what a call on the standard line of Claims used and cost."""
        counts, rate = Tokens(input=tokens), self.model.rates.get(approved_at__isnull=False)
        return CallFacts(
            tokens=counts,
            cost=cost(rate, counts),
            account_id=self.line.account_id,
            team_id=self.claims.team_id,
            key_id=(key or self.prod).pk,
            provider_id=self.model.provider_id,
            model_id=self.model.pk,
            rate_id=rate.pk,
            model_asked="tank/auto",
            model_returned=self.model.name,
            surface="chat/completions",
            streamed=False,
            settle_kind=settle_kind,
        )

    def past_call(
        self, dollars: str | int, *, days: int = 0, hours: int = 0, key: QuotaKey | None = None, line: Any = None
    ) -> None:
        """Write a call as of an earlier day or hour, as the tables' owner would; a dollar is a million tokens.

        The hook stamps the time itself, so only the owner can write what happened before.
        """
        line, key = line or self.line, key or self.prod
        moment, charged = _now() - timedelta(days=days, hours=hours), Decimal(dollars)
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE NONE")
            UsageRecord.objects.create(**self._past(line, key, moment, charged))
            for quota in (Quota.objects.filter(line=line), Quota.objects.filter(key=key)):
                quota.update(spent=F("spent") + charged)
            cursor.execute("SET ROLE tank_app")

    def _past(self, line: AllocationLine, key: QuotaKey, moment: Any, charged: Decimal) -> dict[str, Any]:
        tokens = {
            f"{name}_tokens": 0 for name in ("cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
        }
        return {
            "request_id": uuid7(moment),
            "sent_at": moment,
            "settled_at": moment,
            "account": line.account,
            "team": line.allocation.team,
            "key_id": key.pk,
            "provider": self.model.provider,
            "model": self.model,
            "rate": self.model.rates.get(approved_at__isnull=False),
            "model_asked": self.model.name,
            "surface": "chat/completions",
            "streamed": False,
            "input_tokens": int(charged * 1_000_000),
            "cost": charged,
            "charged": charged,
            "overage": Decimal(0),
            "settle_kind": "exact",
            **tokens,
        }

    def seal(self) -> None:
        """Do what a commit does: run the deferred rules, which also seal the entries."""
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def give(company: Company, pool: Account, name: str, team: str, lines: dict[Tier, Decimal]) -> Allocation:
    """Award budget to a team out of the pool, for sixty days that began ten days ago."""
    lead = {"claims": company.ana, "fraud": company.cy}[team]
    return allocation_create(
        actor=company.system,
        team=getattr(company, team),
        owner=lead,
        name=name,
        lines=lines,
        funded_from=pool,
        kind=EntryKind.AWARD,
        starts_on=today() - timedelta(days=10),
        ends_on=today() + timedelta(days=50),
        stop_behaviour=StopBehaviour.FALL,
        reason="Accepted the offer",
        key=f"test:{name}",
    )


@pytest.fixture
def budget(company: Company) -> Budget:
    """Give the cast its budget."""
    return open_budget(company)


def open_budget(company: Company) -> Budget:
    """Fund the year, open a pool, and give each team its part and Claims two keys."""
    system = company.system
    year_fund(actor=system, amount=usd(1000), reason="Budget of the year")
    pool = pool_open(actor=system, code="pool:q1", name="Round Q1", amount=usd(600), reason="Round opens", key="q1")
    sandbox = provider_add(actor=system, name="sandbox", dialect=Dialect.SANDBOX)
    model = model_add(
        actor=system,
        provider=sandbox,
        name="tank-small",
        tier=Tier.STANDARD,
        input_price=Decimal(1),
        output_price=Decimal(3),
    )
    claims = give(company, pool, "Claims triage", "claims", {Tier.FRONTIER: Decimal(100), Tier.STANDARD: Decimal(300)})
    fraud = give(company, pool, "Fraud graph", "fraud", {Tier.ECONOMY: Decimal(50)})
    prod, secret = key_issue(actor=company.ana, allocation=claims, name="triage-prod")
    test, _ = key_issue(actor=company.bo, allocation=claims, name="triage-test", limits=KeyLimits(cap=Decimal(20)))
    return Budget(
        company=company,
        pool=pool,
        model=model,
        claims=claims,
        fraud=fraud,
        prod=prod,
        test=test,
        prod_secret=secret,
        till=Till(),
    )
