"""Many callers outside at once, of real web processes: one hold for an id, and as many calls as the budget is for."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx2 as httpx
import pytest

from allocations.models import MeterWorker, OutsideCall
from tests.allocations.callers import HALF, TENTH
from tests.allocations.gateways import House, Purse, chat, serve
from tests.conftest import FreshDatabase
from tests.processes import manage

pytestmark = pytest.mark.slow

CALLERS, PROCESSES, FITTING = 40, 2, 15


@pytest.fixture
def house(fresh_database: FreshDatabase) -> House:
    return House()


@pytest.fixture
def urls(fresh_database: FreshDatabase) -> Iterator[list[str]]:
    """Run the web processes, and return their addresses."""
    with ExitStack() as stack:
        servers = (serve("marketplace.asgi:application", fresh_database.env, ready="/readyz") for _ in range(PROCESSES))
        yield [stack.enter_context(server).url for server in servers]


def say(url: str, purse: Purse, what: str, **said: Any) -> httpx.Response:
    return httpx.post(f"{url}/api/v1/metering/{what}", headers=purse.bearer, json=said, timeout=60)


def test_callers_at_once_get_one_hold_for_an_id_and_no_more_holds_than_fit(
    fresh_database: FreshDatabase, house: House, urls: list[str]
) -> None:
    one, many = house.purse("0.1"), house.purse(f"{FITTING / 10}")

    def at_once(purse: Purse, what: str, names: list[str], said: dict[str, Any]) -> list[httpx.Response]:
        with ThreadPoolExecutor(len(names)) as pool:
            calls = [
                pool.submit(say, urls[number % PROCESSES], purse, what, id=name, **said)
                for number, name in enumerate(names)
            ]
            return [call.result() for call in calls]

    # The budget is for one call: whoever asks for it under the same id gets the same hold, nobody is turned away.
    answers = at_once(one, "admit", ["same"] * CALLERS, TENTH)
    assert Counter(answer.status_code for answer in answers) == {200: CALLERS}
    assert len({answer.text for answer in answers}) == 1
    assert one.quota().available == 0
    answers = at_once(one, "settle", ["same"] * CALLERS, HALF)
    assert len({answer.text for answer in answers}) == 1
    assert (one.quota().held, one.quota().spent) == (0, one.record.charged)

    answers = at_once(many, "admit", [f"call-{number}" for number in range(CALLERS)], TENTH)
    assert Counter(answer.status_code for answer in answers) == {200: FITTING, 429: CALLERS - FITTING}
    admitted = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in at_once(many, "settle", admitted, HALF)} == {200}
    quota = many.quota()
    assert (quota.held, quota.spent * 2, len(many.records)) == (0, quota.limit, FITTING)

    assert OutsideCall.objects.count() == 1 + FITTING
    assert not MeterWorker.objects.filter(host="outside").exists()
    assert manage("verify", env=fresh_database.env).returncode == 0


def test_a_request_may_be_as_large_as_at_the_gateway(house: House, urls: list[str]) -> None:
    purse = house.purse("50")
    asked = {"id": "large", "model": "tank-medium", "surface": "chat/completions"}
    large = say(urls[0], purse, "admit", **asked, request=chat(text="x" * 3_000_000))
    assert large.status_code == 200, large.text
    assert large.json()["tokens"] == 200_000 + 4_096  # no more than the model can read
    assert say(urls[0], purse, "admit", **asked, request=chat(text="x" * 11_000_000)).status_code == 413
