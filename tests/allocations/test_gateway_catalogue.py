"""What a gateway remembers is dropped when it changes, and it remembers nothing while it could not hear of it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal

import httpx2 as httpx
import psycopg
import pytest

from allocations.models import Allocation, StopBehaviour
from allocations.services import (
    KeyLimits,
    allocation_resume,
    allocation_suspend,
    key_issue,
    key_limits_set,
    key_revoke,
)
from ledger.models import Tier
from tests.allocations.gateways import NOWHERE, House, Purse, chat, gateway, sandbox
from tests.conftest import FreshDatabase
from tests.processes import until

END_LISTENERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND query ~ '^(LISTEN|SELECT 1$)'
"""


@pytest.fixture(scope="module")
def house(module_database: FreshDatabase) -> House:
    return House()


@pytest.fixture(scope="module")
def urls(module_database: FreshDatabase, house: House) -> Iterator[list[str]]:
    """Run two gateways."""
    with ExitStack() as stack:
        box = stack.enter_context(sandbox(module_database))
        yield [stack.enter_context(gateway(module_database, box.url)).url for _ in range(2)]


def status(url: str, purse: Purse, model: str = "tank-medium") -> int:
    answer = httpx.post(f"{url}/v1/chat/completions", headers=purse.bearer, json=chat(model, max_tokens=20))
    return answer.status_code


def words(url: str, purse: Purse) -> str:
    answer = httpx.post(f"{url}/v1/chat/completions", headers=purse.bearer, json=chat(max_tokens=20))
    told: str = answer.json()["error"]["message"]
    return told


def test_a_revocation_reaches_every_gateway_within_a_second(urls: list[str], house: House) -> None:
    purse = house.purse()
    assert [status(url, purse) for url in urls] == [200, 200]
    revoked = time.monotonic()
    key_revoke(actor=house.actor, key=purse.key, reason="Leaked")
    until(lambda: [status(url, purse) for url in urls] == [401, 401], within=1)
    assert time.monotonic() - revoked < 1


def test_no_call_is_admitted_once_the_revocation_has_committed(urls: list[str], house: House) -> None:
    for _ in range(5):
        purse = house.purse()
        assert status(urls[0], purse) == 200
        key_revoke(actor=house.actor, key=purse.key, reason="Leaked")
        assert status(urls[0], purse) == 401


def test_a_key_is_known_at_once_although_it_was_just_asked_for(urls: list[str], house: House) -> None:
    purse = house.purse()
    key, secret = key_issue(actor=house.actor, allocation=purse.allocation, name="second")
    fresh = Purse(purse.allocation, key, secret)
    until(lambda: status(urls[0], fresh) == 200, within=1)


def test_a_new_price_and_a_new_model_are_used_from_then_on(urls: list[str], house: House) -> None:
    purse = house.purse()
    assert (status(urls[0], purse), status(urls[0], purse, "tank-new")) == (200, 404)
    box = house.rate("tank-medium").model.provider
    house.model(box, "tank-medium", Tier.STANDARD, "10")
    house.model(box, "tank-new", Tier.STANDARD, "1")
    until(lambda: status(urls[0], purse, "tank-new") == 200, within=1)
    assert status(urls[0], purse) == 200
    first, _, *dearer = purse.records
    assert dearer[-1].rate.input == Decimal(10)
    assert dearer[-1].cost == 10 * first.cost


def test_a_changed_allocation_is_seen(urls: list[str], house: House) -> None:
    purse = house.purse(lines={Tier.STANDARD: "0.000001", Tier.ECONOMY: "5"})
    assert status(urls[0], purse) == 429
    Allocation.objects.filter(pk=purse.allocation.pk).update(stop_behaviour=StopBehaviour.FALL)
    until(lambda: status(urls[0], purse) == 200, within=1)


def test_a_suspension_reaches_every_gateway_within_a_second_and_so_does_its_end(urls: list[str], house: House) -> None:
    purse = house.purse(lines={Tier.STANDARD: "5", Tier.ECONOMY: "5"}, stop=StopBehaviour.FALL)
    assert [status(url, purse) for url in urls] == [200, 200]
    allocation_suspend(actor=house.actor, allocation=purse.allocation, reason="Under review")
    assert [status(url, purse) for url in urls] == [403, 403]  # the quotas are closed: no memory matters
    suspended = f"Allocation {purse.allocation.number} is suspended."
    until(lambda: [words(url, purse) for url in urls] == [suspended, suspended], within=1)

    allocation_resume(actor=house.actor, allocation=purse.allocation, reason="All is well")
    until(lambda: [status(url, purse) for url in urls] == [200, 200], within=1)


def test_a_cap_holds_from_the_moment_it_is_set(urls: list[str], house: House) -> None:
    purse = house.purse()
    assert status(urls[0], purse) == 200
    key_limits_set(actor=house.actor, key=purse.key, limits=KeyLimits(cap=purse.key_quota.spent), reason="Enough")
    assert status(urls[0], purse) == 429


def test_a_lost_listener_empties_the_memory(urls: list[str], house: House, module_database: FreshDatabase) -> None:
    purse = house.purse()
    assert status(urls[0], purse) == 200
    with psycopg.connect(module_database.url, autocommit=True) as owner:
        # Nobody is told of this change.
        owner.execute("ALTER TABLE allocations_quotakey DISABLE TRIGGER catalogue_changed")
        owner.execute("UPDATE allocations_quotakey SET state = 'revoked' WHERE id = %s", (purse.key.pk,))
        owner.execute("ALTER TABLE allocations_quotakey ENABLE TRIGGER catalogue_changed")
        assert len(owner.execute(END_LISTENERS).fetchall()) == 2
    until(lambda: status(urls[0], purse) == 401, within=2)


def test_a_gateway_that_is_told_of_no_lifespan_starts_with_its_first_call(
    urls: list[str], house: House, module_database: FreshDatabase
) -> None:
    with gateway(module_database, NOWHERE, "--lifespan", "off") as server:
        answer = httpx.get(f"{server.url}/v1/quota", headers=house.purse("7").bearer)
        assert answer.json()["lines"][0]["available"] == "7"
        assert status(server.url, house.purse("0.000001")) == 429


def test_a_gateway_without_a_database_starts_and_says_503(module_database: FreshDatabase, house: House) -> None:
    purse = house.purse()
    with gateway(module_database, NOWHERE, DATABASE_URL="postgresql://nobody@127.0.0.1:9/nothing") as server:
        answer = httpx.post(f"{server.url}/v1/chat/completions", headers=purse.bearer, json=chat())
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert answer.json()["error"]["code"] == "meter_unavailable"
        assert httpx.get(f"{server.url}/v1/quota", headers=purse.bearer).status_code == 503
