"""A key's own limits, before the spend: caps in all, by day and by month, in money and in tokens, and its rates."""

import asyncio
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import pytest

from allocations.models import Denial, Quota, Window
from allocations.models.quota import starts_on
from allocations.services import KeyLimits, key_limits_set, limits_of
from ledger.checks import breaches
from ledger.models import Tier
from teams.errors import Refused
from teams.models import AuditEvent
from tests.allocations.gateways import House, Purse, chat, gateway, message, sandbox
from tests.conftest import FreshDatabase
from tests.processes import until

pytestmark = pytest.mark.usefixtures("module_database")


def call(http: httpx.Client, purse: Purse, **more: Any) -> httpx.Response:
    return http.post("/v1/chat/completions", headers=purse.bearer, json=chat(**{"max_tokens": 20, **more}))


def window_of(purse: Purse, window: Window) -> Quota:
    return Quota.objects.get(window_of=purse.key, window=window)


# --- Caps of days and months --------------------------------------------------------------------


@pytest.mark.parametrize(("window", "word"), [(Window.DAY, "daily"), (Window.MONTH, "monthly")])
def test_a_recurring_cap_stops_the_key_and_says_so(http: httpx.Client, house: House, window: Window, word: str) -> None:
    cap = Decimal("0.0006")
    limits = KeyLimits(day_cap=cap) if window is Window.DAY else KeyLimits(month_cap=cap)
    purse = house.purse("50", limits=limits)
    assert not Quota.objects.filter(window_of=purse.key).exists()

    answers = [call(http, purse) for _ in range(20)]

    spent = purse.quota().spent
    quota = window_of(purse, window)
    assert (quota.starts_on, quota.limit) == (starts_on(window, datetime.now(UTC)), Decimal("0.0006"))
    assert (quota.spent, quota.held) == (spent, 0)
    stopped = next(answer for answer in answers if answer.status_code != 200)
    assert (stopped.status_code, stopped.json()["error"]["code"]) == (429, "insufficient_quota")
    assert f"the {word} cap of key agent has" in stopped.json()["error"]["message"]
    details = stopped.json()["error"]["details"]
    assert details["budget"] == f"key:agent:{window}"
    assert Decimal(details["needed"]) > Decimal(details["remaining"]) == Decimal("0.0006") - spent >= 0
    told = http.get("/v1/quota", headers=purse.bearer).json()["key"]
    assert (told[window]["limit"], Decimal(told[window]["spent"])) == ("0.0006", spent)
    assert breaches() == []


def test_a_new_day_has_a_new_quota_and_the_month_goes_on(http: httpx.Client, house: House) -> None:
    purse = house.purse("50", limits=KeyLimits(day_cap=Decimal(1), month_cap=Decimal(2)))
    assert call(http, purse).status_code == 200
    yesterday = window_of(purse, Window.DAY)
    Quota.objects.filter(pk=yesterday.pk).update(limit=yesterday.spent)  # as if the day had been spent
    assert call(http, purse).status_code == 429
    key_limits_set(actor=house.actor, key=purse.key, limits=limits_of(purse.key), reason="A new day begins")
    assert call(http, purse).status_code == 200

    cost = purse.records[0].cost
    assert window_of(purse, Window.MONTH).spent == purse.quota().spent == 2 * cost


# --- Tokens -------------------------------------------------------------------------------------


def test_a_limit_in_tokens_is_hard_and_a_call_without_a_cap_gets_what_is_left(http: httpx.Client, house: House) -> None:
    purse = house.purse("50", limits=KeyLimits(tokens=1200))
    wide = {"max_tokens": None, "model": "tank-medium"}

    capped = call(http, purse, **wide)

    # What the bytes may be in tokens is held too, so the cap is what 1,200 leave beside them.
    assert 900 < int(capped.headers["x-tank-output-cap"]) < 1150
    record = purse.record
    used = record.input_tokens + record.output_tokens
    quota = purse.key_quota
    assert (quota.tokens_spent, quota.tokens_held, quota.tokens_available) == (used, 0, 1200 - used)
    refused = call(http, purse, max_tokens=1200)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert f"the cap of key agent has {1200 - used:,} of 1,200 tokens left" in error["message"]
    assert (error["details"]["unit"], error["details"]["remaining"]) == ("tokens", 1200 - used)
    assert breaches() == []


def test_tokens_of_a_day_count_input_and_output_together(http: httpx.Client, house: House) -> None:
    purse = house.purse("50", limits=KeyLimits(day_tokens=100_000))
    call(http, purse)
    record = purse.record
    assert window_of(purse, Window.DAY).tokens_spent == record.input_tokens + record.output_tokens


# --- Rates --------------------------------------------------------------------------------------


def test_requests_above_the_rate_are_told_when_to_try_again(http: httpx.Client, house: House) -> None:
    purse = house.purse("50", limits=KeyLimits(requests_per_minute=3))

    answers = [call(http, purse) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    error = answers[3].json()["error"]
    assert (error["type"], error["code"], error["param"]) == (
        "rate_limit_error",
        "rate_limit_exceeded",
        "requests_per_minute",
    )
    assert 1 <= int(answers[3].headers["retry-after"]) <= 20
    assert "x-should-retry" not in answers[3].headers
    other = http.post("/v1/messages", headers=purse.x_api_key, json=message())
    assert (other.status_code, other.json()["error"]["type"]) == (429, "rate_limit_error")
    assert len(purse.records) == 3
    until(lambda: Denial.objects.filter(key=purse.key, reason="rate_limit", count=2).exists(), what="the log")


def test_tokens_a_minute_count_what_was_used_not_what_was_held(http: httpx.Client, house: House) -> None:
    purse = house.purse("50", limits=KeyLimits(tokens_per_minute=3000))

    # Each may use a thousand tokens and uses some twenty: the rest is given back when it is settled.
    answers = [call(http, purse, max_tokens=1000) for _ in range(8)]

    assert {answer.status_code for answer in answers} == {200}
    assert call(http, purse, max_tokens=2000).status_code == 200


def test_calls_at_once_are_counted_over_all_gateways(fresh_database: FreshDatabase) -> None:
    house = House()
    purse = house.purse("50", limits=KeyLimits(calls_at_once=3))

    async def crowd(urls: list[str]) -> list[int]:
        async with httpx.AsyncClient(timeout=30) as client:
            asks = [
                client.post(f"{url}/v1/chat/completions", headers=purse.bearer, json=chat(max_tokens=20))
                for url in urls
            ]
            return [answer.status_code for answer in await asyncio.gather(*asks)]

    with ExitStack() as stack:
        box = stack.enter_context(sandbox(fresh_database, delay_ms=1500))
        urls = [stack.enter_context(gateway(fresh_database, box.url)).url for _ in range(2)] * 5
        assert Counter(asyncio.run(crowd(urls))) == {200: 3, 429: 7}
        assert asyncio.run(crowd(urls)).count(200) == 3
    assert (purse.key_quota.held, len(purse.records)) == (0, 6)


# --- Setting them -------------------------------------------------------------------------------

SOME = KeyLimits(cap=Decimal(5), day_cap=Decimal(2), month_tokens=10_000, requests_per_minute=60)


def test_limits_are_set_with_a_reason_and_reach_today_s_window(http: httpx.Client, house: House) -> None:
    purse = house.purse("50", limits=SOME)
    call(http, purse)
    spent = window_of(purse, Window.DAY).spent

    key_limits_set(actor=house.actor, key=purse.key, limits=KeyLimits(day_cap=spent), reason="Enough for today")

    assert limits_of(purse.key) == KeyLimits(day_cap=spent)
    assert call(http, purse).status_code == 429
    event = AuditEvent.objects.filter(object_id=str(purse.key.pk), verb="key.limits_set").get()
    assert event.reason == "Enough for today"
    assert event.details == {
        "cap": ["5", None],
        "day_cap": ["2", str(spent)],
        "month_tokens": ["10000", None],
        "requests_per_minute": ["60", None],
    }


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (KeyLimits(cap=Decimal("0.000001")), "cap"),
        (KeyLimits(day_cap=Decimal("0.000001")), "day_cap"),
        (KeyLimits(tokens=1), "tokens"),
        (KeyLimits(month_tokens=1), "month_tokens"),
    ],
)
def test_no_limit_goes_below_what_is_used(http: httpx.Client, house: House, limits: KeyLimits, field: str) -> None:
    everything = KeyLimits(
        cap=Decimal(5), day_cap=Decimal(2), month_cap=Decimal(3), tokens=10**6, day_tokens=10**6, month_tokens=10**6
    )
    purse = house.purse("50", limits=everything)
    call(http, purse)
    with pytest.raises(Refused) as refused:
        key_limits_set(actor=house.actor, key=purse.key, limits=limits, reason="Less")
    assert (refused.value.code, refused.value.field) == ("limit_below_use", field)
    assert limits_of(purse.key) == everything


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (KeyLimits(cap=Decimal(0)), "cap"),
        (KeyLimits(day_cap=Decimal(-1)), "day_cap"),
        (KeyLimits(tokens=0), "tokens"),
        (KeyLimits(requests_per_minute=0), "requests_per_minute"),
        (KeyLimits(calls_at_once=-1), "calls_at_once"),
    ],
)
def test_a_limit_is_more_than_zero(house: House, limits: KeyLimits, field: str) -> None:
    purse = house.purse("50", lines={Tier.STANDARD: "1"})
    with pytest.raises(Refused) as refused:
        key_limits_set(actor=house.actor, key=purse.key, limits=limits, reason="None")
    assert (refused.value.code, refused.value.field) == ("limit_not_positive", field)
