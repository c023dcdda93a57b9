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

from allocations.metering.types import CallFacts, Hold, Wish
from allocations.metering.wire import Batch, costs_beyond, is_beyond, settle_row
from allocations.models import Quota, QuotaKey
from allocations.selectors.unsettled import LostHold, lost_holds
from allocations.services import KeyLimits, grant_make, hold_charge, hold_release, key_issue
from ledger.checks import breaches
from ledger.models import RateSource, Tier, UsageRecord
from ledger.money import usd
from ledger.selectors import balance, today
from ledger.services import rate_approve, rate_propose, usage_post, year_fund
from teams.errors import Refused
from teams.models import Role, User
from teams.services import role_grant, user_create
from tests import databases
from tests.allocations.desk import Desk, open_desk
from tests.door import meter

LIMIT, CAP, DAY_CAP, TOKEN_LIMIT = Decimal(10), Decimal(6), Decimal("5.5"), 5_000_000
micro_dollars = st.integers(min_value=1, max_value=4_000_000)
token_counts = st.integers(min_value=1, max_value=3_000_000)


@pytest.fixture(scope="module")
def desk(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[Desk]:
    with server_databases.cloned() as name, django_db_blocker.unblock(), databases.used_by_django(name):
        desk = open_desk()
        year_fund(actor=desk.actor, amount=usd("1000000"), reason="Enough for every example")
        # Crashed processes were last seen the day before.
        prices: Any = {"input_price": Decimal(1), "output_price": Decimal(3), "source": RateSource.NEGOTIATED}
        then = datetime(2019, 1, 1, tzinfo=UTC)
        rate = rate_propose(actor=desk.actor, model=desk.model, valid_from=then, **prices)
        rate_approve(actor=desk.actor, rate=rate)
        year_fund(actor=desk.actor, amount=usd("1000000"), reason="Enough for every example")
        yield desk


class Metering(RuleBasedStateMachine):
    """One line of 10 dollars, a key capped at 6 in all, 5.50 a day and 5 million tokens, one gateway process."""

    desk: Desk
    finance: User

    def __init__(self) -> None:
        super().__init__()
        desk, actor = self.desk, self.desk.actor
        allocation = grant_make(
            actor=actor, team_name="Blue", amount=usd(str(LIMIT)), tier=Tier.STANDARD, reason="Example"
        )
        limits = KeyLimits(cap=CAP, day_cap=DAY_CAP, tokens=TOKEN_LIMIT)
        key, secret = key_issue(actor=actor, allocation=allocation, name="k", limits=limits)
        self.at = Desk(actor, allocation, allocation.lines.get(), desk.model, desk.rate, key, secret)
        self.chain = (*self.at.chain, self._day_of(key))
        self.spent, self.posted = Decimal(0), Decimal(0)
        self.tokens_spent = 0
        self.open = True
        self.holds: dict[UUID, Hold] = {}
        self.settled: list[tuple[Hold, CallFacts]] = []
        self.by_hand = 0
        self.lost: list[Hold] = []
        self.unsettled: dict[UUID, Decimal] = {}
        self.tokens_unsettled: dict[UUID, int] = {}
        self._new_process()

    @property
    def held(self) -> Decimal:
        return sum((hold.bound for hold in self.holds.values()), sum(self.unsettled.values(), Decimal(0)))

    @property
    def room(self) -> Decimal:
        return min(LIMIT, CAP, DAY_CAP) - self.spent - self.held

    @property
    def tokens_held(self) -> int:
        return sum((hold.tokens for hold in self.holds.values()), sum(self.tokens_unsettled.values()))

    @property
    def token_room(self) -> int:
        return TOKEN_LIMIT - self.tokens_spent - self.tokens_held

    def _day_of(self, key: QuotaKey) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT allocations_window(%s, 'day', %s)", [key.pk, today()])
            quota: int = cursor.fetchone()[0]
        return quota

    def _hold(self, amount: Decimal, tokens: int) -> None:
        hold = Hold(uuid4(), self.worker, self.chain, amount, tokens, datetime.now(UTC), Decimal(0))
        self.holds[hold.request_id] = hold

    def _new_process(self) -> None:
        self.worker, self.epoch = uuid4(), 1
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO allocations_meterworker (id, host, pid, state) VALUES (%s, 'test', 1, 'alive')",
                [self.worker],
            )

    def _meter(self, batch: Batch) -> dict[str, Any]:
        return meter(self.worker, self.epoch, batch)

    def _wish(self, bound: Decimal, tokens: int, least: Decimal | None = None) -> Batch:
        wish = Wish(self.chain, bound, tokens, datetime.now(UTC), least, None if least is None else 1)
        return Batch(wishes=[wish])

    @rule(calls=st.lists(st.tuples(micro_dollars, token_counts), min_size=1, max_size=5))
    def admit(self, calls: list[tuple[int, int]]) -> None:
        wanted = [(Decimal(bound) / 1_000_000, tokens) for bound, tokens in calls]
        answer = self._meter(Batch(wishes=[wish for one in wanted for wish in self._wish(*one).wishes]))
        for (amount, tokens), granted, blocked in zip(wanted, answer["granted"], answer["blockers"], strict=True):
            if not self.open:
                assert (granted, blocked[1]) == (None, "closed")
            elif amount > self.room:
                assert (granted, blocked) == (None, [self.chain[2], "money", None])
            elif tokens > self.token_room:
                assert (granted, blocked) == (None, [self.chain[1], "tokens", None])
            else:
                assert (Decimal(granted[0]), granted[1], blocked) == (amount, tokens, None)
                self._hold(amount, tokens)

    @rule(bound=micro_dollars, least=micro_dollars, tokens=token_counts)
    def admit_what_is_left(self, bound: int, least: int, tokens: int) -> None:
        amount, floor = sorted((Decimal(bound) / 1_000_000, Decimal(least) / 1_000_000), reverse=True)
        answer = self._meter(self._wish(amount, tokens, floor))
        (granted,) = answer["granted"]
        if not self.open or self.room < floor or self.token_room < 1:
            assert granted is None
            return
        assert (Decimal(granted[0]), granted[1]) == (min(amount, self.room), min(tokens, self.token_room))
        self._hold(Decimal(granted[0]), granted[1])

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def settle_some(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(list(self.holds)), unique=True, min_size=1))
        settles = []
        for request_id in chosen:
            hold = self.holds.pop(request_id)
            tokens = data.draw(st.integers(min_value=0, max_value=min(int(hold.bound * 1_000_000), hold.tokens)))
            facts = self.at.facts(input_tokens=tokens)
            self.spent += facts.cost
            self.tokens_spent += tokens
            settles.append((hold, facts))
        self._meter(Batch(within=settles))
        self.settled += settles

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), extra=st.integers(min_value=1, max_value=20_000_000))
    def settle_beyond_the_bound(self, data: st.DataObject, extra: int) -> None:
        request_id = data.draw(st.sampled_from(list(self.holds)))
        hold = self.holds[request_id]
        tokens = int(hold.bound * 1_000_000) + extra
        facts = self.at.facts(input_tokens=tokens)
        token_charge = min(tokens, hold.tokens + self.token_room)
        del self.holds[request_id]
        fits = min(facts.cost, self.room)
        answer = self._meter(Batch(beyond=[(hold, facts)]))
        assert Decimal(answer["overages"][str(hold.request_id)]) == facts.cost - fits
        self.spent += fits
        self.tokens_spent += token_charge
        self.open = self.open and fits == facts.cost and token_charge == tokens
        self.settled.append((hold, facts))

    @precondition(lambda self: self.settled)
    @rule(data=st.data())
    def settle_again(self, data: st.DataObject) -> None:
        settle = data.draw(st.sampled_from(self.settled))
        self._meter(Batch(beyond=[settle]) if costs_beyond(*settle) else Batch(within=[settle]))

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        hold = self.holds.pop(data.draw(st.sampled_from(list(self.holds))))
        self._meter(Batch(voids=[hold]))

    @rule()
    def lose_the_acknowledgement_and_resync(self) -> None:
        # A commit that nobody heard of: the process does not claim this hold afterwards.
        self._meter(self._wish(Decimal("0.5"), 1000))
        claimed = [hold for hold in self.holds.values() if hold.worker == self.worker]
        amount = sum((hold.bound for hold in claimed), Decimal(0))
        tokens = sum(hold.tokens for hold in claimed)
        said = {"amount": str(amount), "tokens": tokens, "calls": len(claimed)}
        truth = [{"quota": quota, **said} for quota in self.chain]
        with connection.cursor() as cursor:
            cursor.execute("SELECT allocations_fence(%s)", [self.worker])
            self.epoch = cursor.fetchone()[0]
            cursor.execute("SELECT allocations_resync(%s, %s)", [self.worker, orjson.dumps(truth).decode()])

    @rule()
    def crash(self) -> None:
        for hold in self.holds.values():
            self.unsettled[hold.worker] = self.unsettled.get(hold.worker, Decimal(0)) + hold.bound
            self.tokens_unsettled[hold.worker] = self.tokens_unsettled.get(hold.worker, 0) + hold.tokens
        self.lost += self.holds.values()
        self.holds = {}
        with connection.cursor() as cursor:
            cursor.execute("UPDATE allocations_meterworker SET heartbeat_at = now() - interval '26 hours'")
            cursor.execute("SELECT allocations_lapse('10 seconds')")
        self._new_process()

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data())
    def release_by_hand(self, data: st.DataObject) -> None:
        lost = self._lost(data)
        hold_release(actor=self.finance, hold=lost, reason="Nothing was used")
        assert self.unsettled.pop(lost.worker_id) == lost.amount
        self.tokens_unsettled.pop(lost.worker_id)
        self._refused_now(lost)

    @precondition(lambda self: self.unsettled)
    @rule(data=st.data(), micro=st.integers(min_value=1, max_value=20_000_000))
    def charge_by_hand(self, data: st.DataObject, micro: int) -> None:
        lost, cost = self._lost(data), Decimal(micro) / 1_000_000
        fits = min(cost, self.room + lost.amount)
        overage = hold_charge(actor=self.finance, hold=lost, cost=cost, model=self.at.model, reason="As billed")
        assert overage == cost - fits
        assert self.unsettled.pop(lost.worker_id) == lost.amount
        self.tokens_unsettled.pop(lost.worker_id)
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
        facts = self.at.facts(input_tokens=micro)
        cost, freed = facts.cost, min(hold.bound, self.unsettled.get(hold.worker, Decimal(0)))
        fits = min(cost, self.room + freed)
        tokens_freed = min(hold.tokens, self.tokens_unsettled.get(hold.worker, 0))
        tokens_fit = min(micro, self.token_room + tokens_freed)
        row = settle_row(hold, facts)
        parts = [None, orjson.dumps([row]).decode()] if is_beyond(row) else [orjson.dumps([row]).decode(), None]
        with connection.cursor() as cursor:
            cursor.execute("SELECT allocations_replay(%s::bigint[], %s, %s)", [list(self.chain), *parts])
        self.spent += fits
        self.tokens_spent += tokens_fit
        self.open = self.open and fits == cost and tokens_fit == micro
        self.settled.append((hold, facts))
        if freed:
            self.unsettled[hold.worker] -= freed
            self.tokens_unsettled[hold.worker] -= tokens_freed
        if not self.unsettled.get(hold.worker, True):
            del self.unsettled[hold.worker], self.tokens_unsettled[hold.worker]

    @rule()
    def post(self) -> None:
        usage_post(actor=self.at.actor)
        self.posted = self.spent

    @invariant()
    def quotas_are_as_the_model_says(self) -> None:
        quotas = Quota.objects.filter(pk__in=self.chain).values_list("spent", "held", "tokens_spent", "tokens_held")
        assert set(quotas) == {(self.spent, self.held, self.tokens_spent, self.tokens_held)}

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
