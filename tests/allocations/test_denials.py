"""Refused calls: counted by hour, key, reason and model, by real gateways, off the way of the calls."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import pytest
from django.conf import settings

from allocations import secrets
from allocations.gateway import denials
from allocations.gateway.catalogue import dsn_of
from allocations.gateway.denials import Denials
from allocations.gateway.refusal import Denied
from allocations.models import Denial
from allocations.services import allocation_suspend, key_revoke, key_suspend
from tests.allocations.desk import Desk, open_desk
from tests.allocations.gateways import House, chat, gateway, message
from tests.conftest import FreshDatabase
from tests.processes import until

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def dsn() -> str:
    return dsn_of(settings.DATABASES["default"])


def logged() -> list[tuple[Any, ...]]:
    rows = Denial.objects.order_by("key_id", "reason", "model", "hour")
    return [(row.key and row.key.name, row.reason, row.model, row.count) for row in rows]


def post(http: httpx.Client, secret: str, body: dict[str, Any]) -> int:
    answer = http.post("/v1/chat/completions", headers={"authorization": f"Bearer {secret}"}, json=body)
    return answer.status_code


def test_what_a_gateway_refuses_is_in_the_log_when_it_has_stopped(fresh_database: FreshDatabase) -> None:
    house = House()
    poor, capped, gone, asleep = house.purse("0.000001"), house.purse(cap="0.000001"), house.purse(), house.purse()
    shut = house.purse()
    key_revoke(actor=house.actor, key=gone.key, reason="Leaked")
    key_suspend(actor=house.actor, key=asleep.key, reason="Odd")
    allocation_suspend(actor=house.actor, allocation=shut.allocation, reason="Under review")

    with gateway(fresh_database) as server, httpx.Client(base_url=server.url, timeout=30) as http:
        assert [post(http, poor.secret, chat(max_tokens=100)) for _ in range(3)] == [429] * 3
        assert http.post("/v1/messages", headers=poor.x_api_key, json=message()).status_code == 402
        assert post(http, poor.secret, chat("no-such-model")) == 404
        assert post(http, poor.secret, chat("tank-large")) == 404
        assert post(http, capped.secret, chat(max_tokens=100)) == 429
        assert [post(http, purse.secret, chat()) for purse in (gone, asleep, shut)] == [401, 401, 403]
        assert [post(http, secret, chat()) for secret in ("sk-abc", secrets.make())] == [401, 401]
        # Neither a quota nor a key refuses these.
        assert post(http, poor.secret, {"model": "tank-medium"}) == 400
        assert http.post("/v1/chat/completions", json=chat()).status_code == 401
        until(Denial.objects.exists, what="the first flush")
        server.running.process.terminate()
        server.running.ended(within=30)

    found = {(row.key_id, row.reason, row.model): row for row in Denial.objects.all()}
    assert {place: row.count for place, row in found.items()} == {
        (poor.key.pk, "line_empty", "tank-medium"): 4,
        (poor.key.pk, "no_line", ""): 1,
        (poor.key.pk, "no_line", "tank-large"): 1,
        (capped.key.pk, "key_cap", "tank-medium"): 1,
        (gone.key.pk, "key_revoked", ""): 1,
        (asleep.key.pk, "key_suspended", ""): 1,
        (shut.key.pk, "allocation_shut", ""): 1,
        (None, "key_unknown", ""): 2,
    }
    example = found[poor.key.pk, "line_empty", "tank-medium"]
    assert example.example_asked == "tank-medium"
    assert example.example_bytes is not None
    assert example.example_bytes > 60
    # A hundred tokens out at three dollars a million, and some in at one.
    assert example.example_bound is not None
    assert Decimal("0.0003") < example.example_bound < Decimal("0.001")
    assert found[poor.key.pk, "no_line", ""].example_asked == "no-such-model"
    assert all(row.hour == row.last_at.replace(minute=0, second=0, microsecond=0) for row in found.values())


@pytest.fixture
def desk(fresh_database: FreshDatabase) -> Desk:
    return open_desk()


def count(log: Denials, key: int | None, reason: str = "line_empty", *, minutes: int = 0, model: str = "m") -> None:
    log.count(Denied(reason, key), model=model, asked=model, size=10, now=NOON + timedelta(minutes=minutes))


def test_counts_of_several_processes_add_up_hour_by_hour(desk: Desk) -> None:
    async def run() -> None:
        first, second = Denials(dsn()), Denials(dsn())
        for minute in (0, 10, 70):
            count(first, desk.key.pk, minutes=minute)
        count(second, desk.key.pk, minutes=59)
        count(second, None, "key_unknown", model="")
        await asyncio.gather(first.flush(), second.flush())
        count(second, None, "key_unknown", model="")
        await second.flush()
        await second.flush()

    asyncio.run(run())

    assert logged() == [
        ("first", "line_empty", "m", 3),
        ("first", "line_empty", "m", 1),
        (None, "key_unknown", "", 2),
    ]
    assert {row.hour: row.last_at for row in Denial.objects.exclude(key=None)} == {
        NOON: NOON + timedelta(minutes=59),
        NOON + timedelta(hours=1): NOON + timedelta(minutes=70),
    }


def test_what_could_not_be_written_is_written_later(desk: Desk) -> None:
    async def run() -> None:
        log = Denials("host=127.0.0.1 port=9 dbname=nowhere")
        count(log, desk.key.pk)
        await log.flush()
        count(log, desk.key.pk)
        log._dsn = dsn()
        log.start()
        await log.stop()

    asyncio.run(run())

    assert logged() == [("first", "line_empty", "m", 2)]


def test_memory_is_bounded_and_still_counts_everything(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denials, "MOST_BUCKETS", 3)

    async def run() -> None:
        log = Denials(dsn())
        for number in range(10):
            count(log, desk.key.pk, model=f"m{number}")
        await log.flush()

    asyncio.run(run())

    assert [(key, model, calls) for key, _, model, calls in logged()] == [
        ("first", "m0", 1),
        ("first", "m1", 1),
        ("first", "m2", 1),
        (None, "", 7),
    ]


def test_a_name_that_the_database_cannot_hold_stops_nothing(desk: Desk) -> None:
    async def run() -> None:
        log = Denials(dsn())
        log.count(Denied("no_line", desk.key.pk), model="", asked="a\0b\ud800" + "c" * 500, size=None, now=NOON)
        await log.flush()

    asyncio.run(run())

    asked = Denial.objects.get().example_asked
    assert asked.startswith("ab?c")
    assert len(asked) <= 120
