"""Any order of holds, settles, repeats, crashes and postings, against a plain model of what a quota is."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pytest_django import DjangoDbBlocker

from allocations.metering.types import Hold
from allocations.metering.wire import settle_row
from allocations.models import Quota
from allocations.selectors.unsettled import LostHold, lost_holds
from allocations.services import grant_make, hold_charge, hold_release, key_issue
from ledger.checks import breaches
from ledger.models import RateSource, Tier, UsageRecord
from ledger.money import usd
from ledger.selectors import balance
from ledger.services import rate_approve, rate_propose, usage_post, year_fund
from teams.errors import Refused
from teams.models import Role, User
from teams.services import role_grant, user_create
from tests import databases
from tests.allocations.desk import Desk, open_desk

LIMIT, CAP = Decimal(10), Decimal(6)
micro_dollars = st.integers(min_value=1, max_value=4_000_000)


@pytest.fixture(scope="module")
def desk(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[Desk]:
    with server_databases.cloned() as name, django_db_blocker.unblock(), databases.used_by_django(name):
        desk = open_desk()
        # Crashed processes were last seen two hours ago.
        prices: Any = {"input_price": Decimal(1), "output_price": Decimal(3), "source": RateSource.NEGOTIATED}
        then = datetime(2019, 1, 1, tzinfo=UTC)
        rate = rate_propose(actor=desk.actor, model=desk.model, valid_from=then, **prices)
        rate_approve(actor=desk.actor, rate=rate)
        year_fund(actor=desk.actor, amount=usd("1000000"), reason="Enough for every example")
        yield desk


class Metering(RuleBasedStateMachine):
    """One line of 10 dollars, a key capped at 6, one gateway process."""

    desk: Desk
    finance: User

    def __init__(self) -> None:
        super().__init__()
        desk, actor = self.desk, self.desk.actor
        allocation = grant_make(
            actor=actor, team_name="Blue", amount=usd(str(LIMIT)), tier=Tier.STANDARD, reason="Example"
        )
        key, secret = key_issue(actor=actor, allocation=allocation, name="k", cap=CAP)
        self.at = Desk(actor, allocation, allocation.lines.get(), desk.model, desk.rate, key, secret)
        self.chain = self.at.chain
        self.spent, self.posted = Decimal(0), Decimal(0)
        self.open = True
        self.holds: dict[UUID, Hold] = {}
        self.settled: list[dict[str, Any]] = []
        self.by_hand = 0
        self.lost: list[Hold] = []
        self.unsettled: dict[UUID, Decimal] = {}
        self._new_process()

    @property
    def held(self) -> Decimal:
        return sum((hold.bound for hold in self.holds.values()), sum(self.unsettled.values(), Decimal(0)))

    @property
    def room(self) -> Decimal:
        return min(LIMIT, CAP) - self.spent - self.held

    def _new_process(self) -> None:
        self.worker, self.epoch = uuid4(), 1
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO allocations_meterworker (id, host, pid, state) VALUES (%s, 'test', 1, 'alive')",
                [self.worker],
            )

    def _meter(
        self,
        *,
        admits: list[dict[str, Any]] | None = None,
        within: list[dict[str, Any]] | None = None,
        beyond: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        parts = [orjson.dumps(rows).decode() if rows else None for rows in (admits, within, beyond)]
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT allocations_meter(%s, %s, %s::bigint[], %s, %s, %s)::text",
                [self.worker, self.epoch, list(self.chain), *parts],
            )
            answer: dict[str, Any] = orjson.loads(cursor.fetchone()[0])
        return answer

    @rule(bounds=st.lists(micro_dollars, min_size=1, max_size=5))
    def admit(self, bounds: list[int]) -> None:
        amounts = [Decimal(bound) / 1_000_000 for bound in bounds]
        answer = self._meter(admits=[{"quotas": self.chain, "bound": str(a), "least": None} for a in amounts])
        for amount, granted in zip(amounts, answer["granted"], strict=True):
            if self.open and amount <= self.room:
                assert Decimal(granted) == amount
                hold = Hold(uuid4(), self.worker, self.chain, amount, datetime.now(UTC), Decimal(0))
                self.holds[hold.request_id] = hold
            else:
                assert granted is None

    @rule(bound=micro_dollars, least=micro_dollars)
    def admit_what_is_left(self, bound: int, least: int) -> None:
        amount, floor = sorted((Decimal(bound) / 1_000_000, Decimal(least) / 1_000_000), reverse=True)
        answer = self._meter(admits=[{"quotas": self.chain, "bound": str(amount), "least": str(floor)}])
        (granted,) = answer["granted"]
        if not self.open or self.room < floor:
            assert granted is None
            return
        assert Decimal(granted) == min(amount, self.room)
        hold = Hold(uuid4(), self.worker, self.chain, Decimal(granted), datetime.now(UTC), Decimal(0))
        self.holds[hold.request_id] = hold

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def settle_some(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(list(self.holds)), unique=True, min_size=1))
        rows = []
        for request_id in chosen:
            hold = self.holds.pop(request_id)
            tokens = data.draw(st.integers(min_value=0, max_value=int(hold.bound * 1_000_000)))
            row = settle_row(hold, self.at.facts(input_tokens=tokens))
            self.spent += Decimal(row["cost"])
            rows.append(row)
        self._meter(within=rows)
        self.settled += rows

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), extra=st.integers(min_value=1, max_value=20_000_000))
    def settle_beyond_the_bound(self, data: st.DataObject, extra: int) -> None:
        hold = self.holds.pop(data.draw(st.sampled_from(list(self.holds))))
        row = settle_row(hold, self.at.facts(input_tokens=int(hold.bound * 1_000_000) + extra))
        fits = min(Decimal(row["cost"]), self.room)
        answer = self._meter(beyond=[row])
        assert Decimal(answer["overages"][str(hold.request_id)]) == Decimal(row["cost"]) - fits
        self.spent += fits
        self.open = self.open and fits == Decimal(row["cost"])
        self.settled.append(row)

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.settled))
        self._meter(**{"beyond" if Decimal(row["cost"]) > Decimal(row["bound"]) else "within": [row]})

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        hold = self.holds.pop(data.draw(st.sampled_from(list(self.holds))))
        self._meter(within=[settle_row(hold, None)])

    @rule()
    def lose_the_acknowledgement_and_resync(self) -> None:
        # A commit that nobody heard of: the process does not claim this hold afterwards.
        self._meter(admits=[{"quotas": self.chain, "bound": "0.5", "least": None}])
        claimed = [hold for hold in self.holds.values() if hold.worker == self.worker]
        amount = sum((hold.bound for hold in claimed), Decimal(0))
        truth = [{"quota": quota, "amount": str(amount), "calls": len(claimed)} for quota in self.chain]
        with connection.cursor() as cursor:
            cursor.execute("SELECT allocations_fence(%s)", [self.worker])
            self.epoch = cursor.fetchone()[0]
            cursor.execute("SELECT allocations_resync(%s, %s)", [self.worker, orjson.dumps(truth).decode()])

    @rule()
    def crash(self) -> None:
        for hold in self.holds.values():
            self.unsettled[hold.worker] = self.unsettled.get(hold.worker, Decimal(0)) + hold.bound
        self.lost += self.holds.values()
        self.holds = {}
        with connection.cursor() as cursor:
            cursor.execute("UPDATE allocations_meterworker SET heartbeat_at = now() - interval '2 hours'")
            cursor.execute("SELECT allocations_lapse('10 seconds')")
        self._new_process()

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data())
    def release_by_hand(self, data: st.DataObject) -> None:
        lost = self._lost(data)
        hold_release(actor=self.finance, hold=lost, reason="Nothing was used")
        assert self.unsettled.pop(lost.worker_id) == lost.amount
        self._refused_now(lost)

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data(), micro=st.integers(min_value=1, max_value=20_000_000))
    def charge_by_hand(self, data: st.DataObject, micro: int) -> None:
        lost, cost = self._lost(data), Decimal(micro) / 1_000_000
        fits = min(cost, self.room + lost.amount)
        overage = hold_charge(actor=self.finance, hold=lost, cost=cost, model=self.at.model, reason="As billed")
        assert overage == cost - fits
        assert self.unsettled.pop(lost.worker_id) == lost.amount
        self.spent += fits
        self.by_hand += 1
        self._refused_now(lost)

    def _lost(self, data: st.DataObject) -> LostHold:
        found = [lost for lost in lost_holds() if lost.worker_id in self.unsettled]
        assert len(found) == len(self.unsettled)
        return data.draw(st.sampled_from(found))

    def _refused_now(self, lost: LostHold) -> None:
        with pytest.raises(Refused) as refused:
            hold_release(actor=self.finance, hold=lost, reason="Once more")
        assert refused.value.code == "hold_changed"

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), micro=st.integers(min_value=0, max_value=8_000_000))
    def replay_a_spool(self, data: st.DataObject, micro: int) -> None:
        hold = self.lost.pop(data.draw(st.integers(min_value=0, max_value=len(self.lost) - 1)))
        row = settle_row(hold, self.at.facts(input_tokens=micro))
        cost, freed = Decimal(row["cost"]), min(hold.bound, self.unsettled.get(hold.worker, Decimal(0)))
        fits = min(cost, self.room + freed)
        parts = [None, orjson.dumps([row]).decode()] if cost > hold.bound else [orjson.dumps([row]).decode(), None]
        with connection.cursor() as cursor:
            cursor.execute("SELECT allocations_replay(%s::bigint[], %s, %s)", [list(self.chain), *parts])
        self.spent += fits
        self.open = self.open and fits == cost
        self.settled.append(row)
        if freed:
            self.unsettled[hold.worker] -= freed
        if not self.unsettled.get(hold.worker, True):
            del self.unsettled[hold.worker]

    @rule()
    def post(self) -> None:
        usage_post(actor=self.at.actor)
        self.posted = self.spent

    @invariant()
    def quotas_are_as_the_model_says(self) -> None:
        quotas = Quota.objects.filter(pk__in=self.chain).values_list("spent", "held")
        assert set(quotas) == {(self.spent, self.held)}

    @invariant()
    def the_line_is_as_the_model_says(self) -> None:
        assert balance(self.at.line.account).amount == LIMIT - self.posted

    def teardown(self) -> None:
        recorded = UsageRecord.objects.filter(account=self.at.line.account)
        assert sum(record.charged for record in recorded) == self.spent
        assert len(recorded) == len(self.settled) + self.by_hand
        assert breaches() == []


def test_every_order_of_events_keeps_quota_subledger_and_ledger_equal(desk: Desk) -> None:
    Metering.desk = desk
    Metering.finance = user_create(actor=desk.actor, email="hana@acorn.example", name="Hana Example")
    role_grant(actor=desk.actor, user=Metering.finance, role=Role.FINANCE)
    profile = settings(
        max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(Metering, settings=profile)
