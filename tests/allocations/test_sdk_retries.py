"""How often the stock SDKs try, for every kind of error that docs/gateway.md lists: what arrives is counted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any

import anthropic
import openai
import pytest

from allocations.services import allocation_suspend, key_revoke, key_suspend
from ledger.models import Dialect, Tier
from ledger.services import provider_add
from tests.allocations.gateways import NOWHERE, House, Purse, gateway
from tests.allocations.sdks import HELLO, MEDIUM, Attempts, of_anthropic, of_openai
from tests.conftest import FreshDatabase

pytestmark = pytest.mark.usefixtures("module_database")

BOTH = pytest.mark.parametrize("dialect", ["openai", "anthropic"])
ASTRA = {"openai": "gpt-6-astra", "anthropic": "claude-sonnet-5-5"}


@dataclass(frozen=True)
class Failure:
    """What an SDK raised, and how often it had tried."""

    kind: str
    status: int | None
    tries: int


def chat(url: str, purse: Purse, attempts: Attempts, model: str, messages: Any, headers: dict[str, str]) -> None:
    of_openai(url, purse, attempts, **headers).chat.completions.create(model=model, messages=messages)


def message(url: str, purse: Purse, attempts: Attempts, model: str, messages: Any, headers: dict[str, str]) -> None:
    of_anthropic(url, purse, attempts, **headers).messages.create(model=model, messages=messages, max_tokens=50)


CALLS = {"openai": chat, "anthropic": message}


def called(
    dialect: str, url: str, purse: Purse, attempts: Attempts, model: str = MEDIUM, text: str = "hi", **headers: str
) -> Failure:
    """Call as a stock SDK does, and return how that failed."""
    messages: Any = [{"role": "user", "content": text}] if text else []
    before = attempts.count
    with pytest.raises((openai.APIError, anthropic.APIError)) as failed:
        CALLS[dialect](url, purse, attempts, model, messages, headers)
    return Failure(type(failed.value).__name__, getattr(failed.value, "status_code", None), attempts.count - before)


def revoked(house: House) -> Purse:
    purse = house.purse()
    key_revoke(actor=house.actor, key=purse.key, reason="Leaked")
    return purse


def suspended(house: House) -> Purse:
    purse = house.purse()
    key_suspend(actor=house.actor, key=purse.key, reason="Looked odd")
    return purse


def shut(house: House) -> Purse:
    purse = house.purse()
    allocation_suspend(actor=house.actor, allocation=purse.allocation, reason="Under review")
    return purse


# --- Once ------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("make", "kind", "status"),
    [
        (revoked, "AuthenticationError", 401),
        (suspended, "AuthenticationError", 401),
        (shut, "PermissionDeniedError", 403),
    ],
)
def test_a_key_that_may_not_call_tries_once(
    gateway_url: str,
    house: House,
    attempts: Attempts,
    dialect: str,
    make: Callable[[House], Purse],
    kind: str,
    status: int,
) -> None:
    assert called(dialect, gateway_url, make(house), attempts) == Failure(kind, status, 1)


@BOTH
def test_a_call_that_cannot_be_understood_or_priced_tries_once(
    gateway_url: str, purse: Purse, attempts: Attempts, dialect: str
) -> None:
    assert called(dialect, gateway_url, purse, attempts, text="") == Failure("BadRequestError", 400, 1)
    assert called(dialect, gateway_url, purse, attempts, model="none") == Failure("NotFoundError", 404, 1)
    tags = {"x-tank-tags": "="}
    assert called(dialect, gateway_url, purse, attempts, **tags) == Failure("BadRequestError", 400, 1)
    kind = {"openai": "APIStatusError", "anthropic": "ContentTooLargeError"}[dialect]
    assert called(dialect, gateway_url, purse, attempts, text="x" * 11_000_000) == Failure(kind, 413, 1)


@BOTH
def test_a_spent_budget_tries_once(gateway_url: str, house: House, attempts: Attempts, dialect: str) -> None:
    kind, status = {"openai": ("RateLimitError", 429), "anthropic": ("PaymentRequiredError", 402)}[dialect]
    for purse in (house.purse("0.00001"), house.purse("50", cap="0.00001")):
        assert called(dialect, gateway_url, purse, attempts) == Failure(kind, status, 1)


def test_a_spent_budget_tries_once_on_every_surface(gateway_url: str, house: House, attempts: Attempts) -> None:
    client = of_openai(gateway_url, house.purse("0.000001"), attempts)
    with pytest.raises(openai.RateLimitError):
        client.responses.create(model=MEDIUM, input="hi")
    with pytest.raises(openai.RateLimitError):
        client.responses.create(model=MEDIUM, input="hi", stream=True)
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model=MEDIUM, input="hi")
    assert attempts.count == 3


# --- Again and again -------------------------------------------------------------------------------------------

UNREACHABLE = "model-that-nobody-serves"


@pytest.fixture(scope="module")
def house_with_a_gap(house: House) -> House:
    for dialect in (Dialect.OPENAI, Dialect.ANTHROPIC):
        gone = provider_add(actor=house.actor, name=f"gone-{dialect}", dialect=dialect, base_url=NOWHERE, api_key="k")
        house.model(gone, f"{UNREACHABLE}-{dialect}", Tier.STANDARD, "1")
    return house


@pytest.fixture(scope="module")
def impatient_url(module_database: FreshDatabase) -> Iterator[str]:
    with gateway(module_database, GATEWAY_SILENCE_SECONDS="1") as server:
        yield server.url


@BOTH
def test_a_provider_that_cannot_be_reached_is_tried_three_times(
    gateway_url: str, house_with_a_gap: House, attempts: Attempts, dialect: str
) -> None:
    model = f"{UNREACHABLE}-{dialect}"
    failure = called(dialect, gateway_url, house_with_a_gap.purse(), attempts, model=model)
    assert failure == Failure("InternalServerError", 502, 3)


@BOTH
def test_a_provider_that_does_not_answer_in_time_is_tried_three_times(
    impatient_url: str, house: House, attempts: Attempts, dialect: str
) -> None:
    headers = {"x-play": "silence"}
    failure = called(dialect, impatient_url, house.purse(), attempts, model=ASTRA[dialect], **headers)
    kind = {"openai": "InternalServerError", "anthropic": "GatewayTimeoutError"}[dialect]
    assert failure == Failure(kind, 504, 3)


@BOTH
@pytest.mark.parametrize(
    ("fault", "status", "tries"),
    [
        ("400", 400, 1),
        ("403", 403, 1),
        ("404", 404, 1),
        ("413", 413, 1),
        ("401", 502, 3),  # it is our credential that was refused, which may soon be mended
        ("408", 408, 3),
        ("429", 429, 3),
        ("500", 500, 3),
        ("502", 502, 3),
        ("503", 503, 3),
        ("504", 504, 3),
        ("529", 529, 3),
    ],
)
def test_the_providers_own_errors_are_tried_as_often_as_without_tank(
    gateway_url: str, purse: Purse, attempts: Attempts, dialect: str, fault: str, status: int, tries: int
) -> None:
    failure = called(dialect, gateway_url, purse, attempts, **{"x-sandbox-fault": fault})
    assert (failure.status, failure.tries) == (status, tries)
    assert (purse.records, purse.quota().held) == ([], 0)


@BOTH
def test_an_answer_that_broke_off_is_tried_three_times_and_never_free(
    gateway_url: str, purse: Purse, attempts: Attempts, dialect: str
) -> None:
    failure = called(dialect, gateway_url, purse, attempts, **{"x-sandbox-fault": "cut"})
    assert failure == Failure("InternalServerError", 502, 3)
    assert [record.settle_kind for record in purse.records] == ["estimated"] * 3


def test_an_answer_that_is_no_json_is_not_tried_again(gateway_url: str, purse: Purse, attempts: Attempts) -> None:
    client = of_openai(gateway_url, purse, attempts, **{"x-sandbox-fault": "not-json"})
    with pytest.raises(JSONDecodeError):
        client.chat.completions.create(model=MEDIUM, messages=HELLO)
    assert attempts.count == 1
