"""The fixtures of the gateway's tests: one sandbox, one recorded upstream and one gateway for all tests of a module."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from tests.allocations.gateways import House, Purse, Server, gateway, recorded, sandbox
from tests.allocations.sdks import Attempts
from tests.conftest import FreshDatabase


@pytest.fixture(scope="module")
def upstream(module_database: FreshDatabase) -> Iterator[Server]:
    with recorded(module_database) as server:
        yield server


@pytest.fixture(scope="module")
def house(module_database: FreshDatabase, upstream: Server) -> House:
    return House(upstream.url)


@pytest.fixture(scope="module")
def gateway_url(module_database: FreshDatabase, house: House) -> Iterator[str]:
    with sandbox(module_database) as box, gateway(module_database, box.url) as server:
        yield server.url


@pytest.fixture
def http(gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway_url, timeout=30) as client:
        yield client


@pytest.fixture
def attempts() -> Iterator[Attempts]:
    counted = Attempts()
    yield counted
    counted.client.close()


@pytest.fixture
def purse(house: House) -> Purse:
    return house.purse("50")
