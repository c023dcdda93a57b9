"""Many clients at once: a hard quota admits exactly what fits, and a killed gateway loses nothing that was answered."""

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2 as httpx
import pytest

from allocations.metering.openai_bounds import openai_chat_demand
from allocations.metering.worst import worst_case
from allocations.models import Hold, HoldState
from ledger.models import AiModel, UsageRecord
from tests.allocations.gateways import House, Purse, chat, gateway, sandbox
from tests.conftest import FreshDatabase
from tests.processes import Running, manage, start_process, until

pytestmark = pytest.mark.slow

BODY = chat(max_tokens=50)


@pytest.fixture
def house(fresh_database: FreshDatabase) -> House:
    return House()


@contextmanager
def clients(database: FreshDatabase, purse: Purse, urls: list[str], **plan: Any) -> Iterator[Running]:
    """Run a process of clients."""
    words = json.dumps({"urls": urls, "secret": purse.secret, "body": BODY} | plan)
    with start_process([sys.executable, "-m", "tests.allocations.clients", words], database.env) as running:
        yield running


def answers_of(running: Running) -> list[dict[str, Any]]:
    lines = running.output.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]


def test_two_hundred_calls_on_a_budget_for_fifty(fresh_database: FreshDatabase, house: House) -> None:
    with ExitStack() as stack:
        box = stack.enter_context(sandbox(fresh_database, delay_ms=2000))
        urls = [stack.enter_context(gateway(fresh_database, box.url)).url for _ in range(2)]
        bound, cost = one_call(fresh_database, house, urls[0])

        purse = house.purse(str(50 * bound))
        crowd = [stack.enter_context(clients(fresh_database, purse, urls, callers=50, calls=1)) for _ in range(4)]
        assert [running.ended(within=60) for running in crowd] == [0] * 4
        got = [answer for running in crowd for answer in answers_of(running)]

        assert Counter(answer["status"] for answer in got) == {200: 50, 429: 150}
        assert all("Budget exhausted" in answer["text"] for answer in got if answer["status"] == 429)
        quota, own = purse.quota(), purse.key_quota
        assert (quota.spent, quota.held) == (own.spent, own.held) == (50 * cost, 0)
        assert {record.cost for record in purse.records} == {cost}
        assert {str(record.request_id) for record in purse.records} == {a["id"] for a in got if a["status"] == 200}
    assert manage("verify", env=fresh_database.env).returncode == 0


def test_waves_of_calls_without_a_cap_use_a_line_to_within_one_bound(
    fresh_database: FreshDatabase, house: House
) -> None:
    AiModel.objects.filter(name="tank-medium").update(default_output_cap=60)
    with ExitStack() as stack:
        box = stack.enter_context(sandbox(fresh_database, delay_ms=50))
        urls = [stack.enter_context(gateway(fresh_database, box.url)).url for _ in range(2)]
        _, cost = one_call(fresh_database, house, urls[0])
        purse = house.purse(str(300 * cost))

        got: list[dict[str, Any]] = []
        while not got or any(answer["status"] == 200 for answer in got):
            with clients(fresh_database, purse, urls, callers=300, calls=1, body=chat()) as wave:
                assert wave.ended(within=60) == 0
            got = answers_of(wave)
            assert len(got) == 300
            assert purse.quota().spent + purse.quota().held <= purse.quota().limit

        assert Counter(answer["status"] for answer in got) == {429: 300}
        quota = purse.quota()
        assert quota.held == 0
        assert 0 <= quota.limit - quota.spent < least_bound(house)
        assert quota.spent == sum(record.charged for record in purse.records)
    assert manage("verify", env=fresh_database.env).returncode == 0


def least_bound(house: House) -> Decimal:
    """Return what a call without a cap is held for when there is little left: its worst input and the least output."""
    model, rate = AiModel.objects.get(name="tank-medium"), house.rate("tank-medium")
    body = chat() | {"stream": False}
    demand = openai_chat_demand(body, json.dumps(body).encode())
    return worst_case(demand, rate.steps, context_window=model.context_window, output_cap=model.least_output_cap).cost


def one_call(database: FreshDatabase, house: House, url: str) -> tuple[Decimal, Decimal]:
    """Return what one call is held for and what it costs."""
    purse = house.purse()
    with clients(database, purse, [url], callers=1, calls=1) as running:
        until(lambda: purse.quota().held > 0, what="the hold")
        bound = purse.quota().held
        running.ended()
    assert 0 < purse.record.cost < bound
    return bound, purse.record.cost


def test_a_killed_gateway_has_recorded_every_answer_that_came_whole(
    fresh_database: FreshDatabase, house: House
) -> None:
    purse = house.purse("100")
    with sandbox(fresh_database, delay_ms=20) as box:
        with gateway(fresh_database, box.url) as doomed:
            plan = {"callers": 32, "calls": 1000, "mixed": True}
            with clients(fresh_database, purse, [doomed.url], **plan) as crowd:
                until(lambda: len(answers_of(crowd)) > 300, within=30, what="some load")
                doomed.running.send(signal.SIGKILL)
                crowd.ended()
                got = answers_of(crowd)
        assert {answer["status"] for answer in got} == {200}
        recorded = set(UsageRecord.objects.filter(key_id=purse.key.pk).values_list("request_id", flat=True))
        assert {UUID(answer["id"]) for answer in got} <= recorded

        quota, held = purse.quota(), Hold.objects.filter(quota__line__allocation=purse.allocation)
        assert quota.held == sum(hold.amount for hold in held) > 0
        assert quota.spent == sum(record.charged for record in purse.records)
        with gateway(fresh_database, box.url) as heir:
            until(lambda: held.get().state == HoldState.UNSETTLED, within=30, what="the lapse")
            answer = httpx.post(f"{heir.url}/v1/chat/completions", headers=purse.bearer, json=BODY)
            assert answer.status_code == 200
    told = json.loads(manage("quota", purse.allocation.number, "--json", env=fresh_database.env).stdout)
    assert Decimal(told["unsettled"]) == Decimal(told["held"]) == quota.held
    assert manage("verify", env=fresh_database.env).returncode == 0


def test_a_gateway_that_is_told_to_stop_finishes_its_calls(fresh_database: FreshDatabase, house: House) -> None:
    purse = house.purse("100")
    with sandbox(fresh_database, delay_ms=1000) as box, gateway(fresh_database, box.url) as server:
        with clients(fresh_database, purse, [server.url], callers=20, calls=1, mixed=True) as crowd:
            until(lambda: Hold.objects.filter(calls=20).count() == 2, what="the holds")
            server.running.send(signal.SIGTERM)
            assert crowd.ended() == 0
            assert [answer["status"] for answer in answers_of(crowd)] == [200] * 20
        assert server.running.ended() in {0, -signal.SIGTERM}
    assert (purse.quota().held, len(purse.records), Hold.objects.count()) == (0, 20, 0)
