"""A key that is revoked while several gateways are busy with its calls."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from allocations.services import key_revoke
from ledger.models import UsageRecord
from tests.allocations.gateways import House, Purse, gateway
from tests.allocations.test_gateway_catalogue import END_LISTENERS
from tests.bench.crowd import Plan
from tests.bench.fire import crowd, upstream
from tests.conftest import FreshDatabase
from tests.processes import until

pytestmark = pytest.mark.slow

MOST_SECONDS = 1.0
CLIENTS = 40


@dataclass(frozen=True)
class Place:
    """Four gateways, and what is behind them."""

    database: FreshDatabase
    house: House
    ports: list[int]


@pytest.fixture(scope="module")
def place(module_database: FreshDatabase) -> Iterator[Place]:
    with ExitStack() as stack:
        house = House(stack.enter_context(upstream(module_database.env)))
        urls = [stack.enter_context(gateway(module_database)).url for _ in range(4)]
        yield Place(module_database, house, [int(url.rpartition(":")[2]) for url in urls])


@pytest.mark.parametrize("is_deaf", [False, True], ids=["all hear of it", "one has just lost its listener"])
def test_no_gateway_accepts_a_call_that_begins_a_second_after_the_revocation(place: Place, is_deaf: bool) -> None:
    purse, file = place.house.purse(), place.database.data / f"told-{is_deaf}"
    # A client whose call is refused calls no more: the crowd has gone when every gateway has refused.
    plan = Plan(place.ports, [purse.secret], CLIENTS, 60, 0.02, str(file), is_stopped_by_refusal=True)
    with crowd(plan, place.database) as running:
        until(lambda: len(purse.records) > 20 * CLIENTS, within=60, what="the load")
        if is_deaf:
            _cut_one_listener(place.database)
        key_revoke(actor=place.house.actor, key=purse.key, reason="Leaked")
        revoked_at = time.time()
        assert running.ended(within=120) == 0, running.output

    *told, _ = map(orjson.loads, file.read_bytes().splitlines())
    accepted = [answer for answer in told if answer["status"] == 200]
    refused = [answer for answer in told if answer["status"] != 200]
    assert {answer["port"] for answer in accepted} == {answer["port"] for answer in refused} == set(place.ports)
    assert [answer["status"] for answer in refused] == [401] * CLIENTS
    late = max(answer["asked_at"] for answer in accepted) - revoked_at
    assert late < MOST_SECONDS, f"a call that began {late:.3f} s after the revocation was accepted"
    assert _recorded(purse) >= {UUID(answer["id"]) for answer in accepted}


def _cut_one_listener(database: FreshDatabase) -> None:
    with psycopg.connect(database.url, autocommit=True) as owner:
        assert owner.execute(f"{END_LISTENERS} LIMIT 1").fetchall() == [(True,)]


def _recorded(purse: Purse) -> set[UUID]:
    found: Any = UsageRecord.objects.filter(key_id=purse.key.pk).values_list("request_id", flat=True)
    return set(found)
