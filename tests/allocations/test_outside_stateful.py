"""Any order of admits, ends, repeats, deadlines and settles by hand of outside calls, against a plain model."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from pytest_django import DjangoDbBlocker

from allocations.models import Hold, MeterWorker, OutsideCall
from allocations.selectors.unsettled import LostHold, lost_holds
from allocations.services import KeyLimits, hold_charge, hold_release
from ledger.checks import breaches
from ledger.models import AiModel, RateSource, Tier
from ledger.selectors import balance
from ledger.services import model_add, rate_approve, rate_propose, usage_post
from teams.models import Role, User
from teams.services import role_grant, user_create
from tests import databases
from tests.allocations.callers import Caller
from tests.allocations.gateways import House, Purse

LIMIT, CAP = Decimal(10), Decimal(6)
# A token of input costs a millionth of a dollar, so a count of tokens is an amount of money.
micro_dollars = st.integers(min_value=1, max_value=3_000_000)


@pytest.fixture(scope="module")
def house(
    django_db_setup: None, server_databases: databases.Databases, django_db_blocker: DjangoDbBlocker
) -> Iterator[House]:
    with server_databases.cloned() as name, django_db_blocker.unblock(), databases.used_by_django(name):
        yield House()


@dataclass
class Known:
    """What the model knows of a call."""

    name: str
    asked: dict[str, Any]
    bound: Decimal
    """What is held for it now."""
    answer: dict[str, Any]
    end: tuple[str, dict[str, Any], dict[str, Any]] | None = None
    """The path, what was said, and what was answered."""
    is_lost: bool = False
    by_hand: Decimal | None = None
    """What finance charged for it."""

    @property
    def has_ended(self) -> bool:
        return self.end is not None


class Outside(RuleBasedStateMachine):
    """One line of 10 dollars, a key capped at 6, and callers who say everything more than once."""

    house: ClassVar[House]
    model: ClassVar[AiModel]
    finance: ClassVar[User]

    def __init__(self) -> None:
        super().__init__()
        self.purse: Purse = self.house.purse(str(LIMIT), limits=KeyLimits(cap=CAP))
        self.caller = Caller(self.purse.secret)
        self.calls: dict[str, Known] = {}
        self.spent, self.records, self.posted = Decimal(0), 0, Decimal(0)
        self.open = True

    @property
    def held(self) -> Decimal:
        return sum((call.bound for call in self.calls.values()), Decimal(0))

    @property
    def room(self) -> Decimal:
        return CAP - self.spent - self.held

    def pick(self, data: st.DataObject, **wanted: bool) -> Known:
        return data.draw(st.sampled_from(self.those(**wanted)))

    def those(self, **wanted: bool) -> list[Known]:
        return [
            call for call in self.calls.values() if all(getattr(call, name) == is_so for name, is_so in wanted.items())
        ]

    @rule(tokens=micro_dollars)
    def admit(self, tokens: int) -> None:
        name, bound = f"call-{len(self.calls)}", Decimal(tokens) / 1_000_000
        asked = {"model": self.model.name, "input_tokens": tokens, "output_cap": 0}
        if not self.open or bound > self.room:
            code = "insufficient_quota" if self.open else "invalid_api_key"
            assert self.caller.refused("admit", id=name, **asked)[1] == code
            return
        answer = self.caller.told("admit", id=name, **asked)
        assert Decimal(answer["bound"]) == bound
        self.calls[name] = Known(name, asked, bound, answer)

    @precondition(lambda self: self.calls and self.open)
    @rule(data=st.data())
    def admit_again(self, data: st.DataObject) -> None:
        call = self.pick(data)
        outcome = {"settle": "settled", "void": "void"}.get(call.end[0] if call.end else "")
        assert self.caller.told("admit", id=call.name, **call.asked) == call.answer | {"outcome": outcome}
        other = call.asked | {"input_tokens": call.asked["input_tokens"] + 1}
        assert self.caller.refused("admit", id=call.name, **other)[:2] == (409, "id_reused")

    @precondition(lambda self: self.those(has_ended=False))
    @rule(data=st.data(), share=st.integers(min_value=0, max_value=100), extra=st.sampled_from([0, 0, 0, 2_000_000]))
    def settle(self, data: st.DataObject, share: int, extra: int) -> None:
        call = self.pick(data, has_ended=False)
        used = call.asked["input_tokens"] * share // 100 + extra
        cost, fits = Decimal(used) / 1_000_000, self.room + call.bound
        said = {"tokens": {"input": used}}
        answer = self.caller.told("settle", id=call.name, **said)
        if call.by_hand is not None:
            assert (answer["settle_kind"], Decimal(answer["cost"])) == ("by_hand", call.by_hand)
        else:
            charged = min(cost, fits)
            assert (Decimal(answer["charged"]), Decimal(answer["overage"])) == (charged, cost - charged)
            self.spent, self.records = self.spent + charged, self.records + 1
            self.open = self.open and charged == cost
        call.bound, call.end = Decimal(0), ("settle", said, answer)

    @precondition(lambda self: self.those(has_ended=False))
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        call = self.pick(data, has_ended=False)
        if call.by_hand is not None:
            assert self.caller.refused("void", id=call.name)[:2] == (409, "already_ended")
            return
        call.bound, call.end = Decimal(0), ("void", {}, self.caller.told("void", id=call.name))

    @precondition(lambda self: self.those(has_ended=True))
    @rule(data=st.data())
    def end_again(self, data: st.DataObject) -> None:
        call = self.pick(data, has_ended=True)
        assert call.end is not None
        path, said, before = call.end
        again = self.caller.told(path, id=call.name, **said)
        assert again | {"remaining": before["remaining"]} == before
        for other, what in (("settle", {"tokens": {"input": 77_777_777}}), ("void", {})):
            if other != path or what != said:
                assert self.caller.refused(other, id=call.name, **what)[:2] == (409, "already_ended")

    @precondition(lambda self: self.those(has_ended=False, is_lost=False))
    @rule(data=st.data())
    def pass_the_deadline(self, data: st.DataObject) -> None:
        call = self.pick(data, has_ended=False, is_lost=False)
        past = datetime.now(UTC) - timedelta(hours=2)
        MeterWorker.objects.filter(pk=call.answer["hold"]).update(heartbeat_at=past, started_at=past)
        with connection.cursor() as cursor:
            cursor.execute("SELECT allocations_lapse('10 seconds')")
        call.is_lost = True

    @precondition(lambda self: any(call.bound for call in self.those(has_ended=False, is_lost=True)))
    @rule(data=st.data(), micro=st.one_of(st.none(), st.integers(min_value=1, max_value=9_000_000)))
    def settle_by_hand(self, data: st.DataObject, micro: int | None) -> None:
        call = data.draw(st.sampled_from([one for one in self.those(has_ended=False, is_lost=True) if one.bound]))
        found = self.lost(call)
        assert (found.amount, found.calls) == (call.bound, 1)
        if micro is None:
            hold_release(actor=self.finance, hold=found, reason="Nothing was used")
        else:
            cost, fits = Decimal(micro) / 1_000_000, self.room + call.bound
            overage = hold_charge(actor=self.finance, hold=found, cost=cost, model=self.model, reason="As billed")
            assert overage == cost - min(cost, fits)
            self.spent, self.records, call.by_hand = self.spent + min(cost, fits), self.records + 1, cost
        call.bound = Decimal(0)

    def lost(self, call: Known) -> LostHold:
        (found,) = [one for one in lost_holds() if str(one.worker_id) == call.answer["hold"]]
        assert found.caller_id == call.name
        return found

    @rule()
    def post(self) -> None:
        usage_post(actor=self.house.actor)
        self.posted = self.spent

    @invariant()
    def quotas_are_as_the_model_says(self) -> None:
        line, own = self.purse.quota(), self.purse.key_quota
        assert (line.spent, line.held) == (own.spent, own.held) == (self.spent, self.held)
        assert line.tokens_held == own.tokens_held == self.held * 1_000_000

    @invariant()
    def the_line_is_as_the_model_says(self) -> None:
        assert balance(self.purse.allocation.lines.get().account).amount == LIMIT - self.posted

    @invariant()
    def nothing_is_kept_of_what_has_ended_but_its_id(self) -> None:
        ended = [call.answer["hold"] for call in self.those(has_ended=True)]
        assert not MeterWorker.objects.filter(pk__in=ended).exists()
        holding = Hold.objects.filter(quota=self.purse.quota()).values_list("worker", flat=True)
        assert {str(pk) for pk in holding} == {call.answer["hold"] for call in self.calls.values() if call.bound}

    def teardown(self) -> None:
        assert OutsideCall.objects.filter(key=self.purse.key).count() == len(self.calls)
        assert sum(record.charged for record in self.purse.records) == self.spent
        assert len(self.purse.records) == self.records
        assert breaches() == []


def test_every_order_of_events_keeps_quota_subledger_and_ledger_equal(house: House) -> None:
    Outside.house = house
    prices: Any = {"input_price": Decimal(1), "output_price": Decimal(3)}
    Outside.model = model_add(
        actor=house.actor,
        provider=house.provider("sandbox"),
        name="endless",
        tier=Tier.STANDARD,
        context_window=10_000_000,
        **prices,
    )
    then: Any = {"source": RateSource.NEGOTIATED, "valid_from": datetime(2019, 1, 1, tzinfo=UTC)}
    rate_approve(actor=house.actor, rate=rate_propose(actor=house.actor, model=Outside.model, **prices, **then))
    Outside.finance = user_create(actor=house.actor, email="hana@acorn.example", name="Hana Example")
    role_grant(actor=house.actor, user=Outside.finance, role=Role.FINANCE)
    profile = settings(
        max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(Outside, settings=profile)
