"""What goes wrong between client, gateway and provider: the hold is always settled or released, and never for free."""

import socket
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import orjson
import psycopg
import pytest

from ledger.models import Dialect, Tier
from ledger.services import provider_add
from tests.allocations.gateways import House, Purse, Server, chat, gateway, message, sandbox
from tests.allocations.recorded import SAMPLES
from tests.conftest import FreshDatabase
from tests.processes import until

pytestmark = pytest.mark.usefixtures("module_database")

CUT = b"The provider's answer broke off."
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
MODELS = {"openai": "gpt-6-astra", "anthropic": "claude-sonnet-5-5"}
BOTH = pytest.mark.parametrize("dialect", ["openai", "anthropic"])


def post(http: httpx.Client, purse: Purse, dialect: str, fault: str = "", **more: Any) -> httpx.Response:
    body = chat(**more) if dialect == "openai" else message(**more)
    headers = purse.bearer | ({"x-sandbox-fault": fault} if fault else {})
    return http.post(PATHS[dialect], headers=headers, json=body)


def is_settled(purse: Purse) -> bool:
    return {purse.quota().held, purse.key_quota.held} == {Decimal(0)}


def is_free(purse: Purse) -> bool:
    return is_settled(purse) and purse.quota().spent == 0 and purse.records == []


# --- The provider --------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("status", ["400", "403", "404", "429", "500", "503", "529"])
def test_the_providers_own_error_passes_and_costs_nothing(
    http: httpx.Client, house: House, dialect: str, status: str
) -> None:
    purse = house.purse("50")
    answer = post(http, purse, dialect, status)
    assert answer.status_code == int(status)
    assert "The sandbox was asked to fail." in answer.text
    assert (answer.headers["x-tank-remaining"], answer.headers["x-tank-cost"]) == ("50", "0")
    assert is_free(purse)


@pytest.mark.parametrize(
    "play",
    [
        "openai_429_rate_limit.json",
        "openai_429_insufficient_quota.json",
        "anthropic_429_rate_limit.json",
        "anthropic_529_overloaded.json",
        "anthropic_400_usage_limit.json",
    ],
)
def test_a_recorded_error_passes_with_its_headers(http: httpx.Client, house: House, play: str) -> None:
    purse = house.purse("50")
    sample = orjson.loads((SAMPLES / "errors" / play).read_bytes())
    dialect = play.partition("_")[0]
    body = chat(MODELS[dialect]) if dialect == "openai" else message(MODELS[dialect])
    answer = http.post(PATHS[dialect], headers=purse.bearer | {"x-play": f"errors/{play}"}, json=body)
    assert (answer.status_code, answer.json()) == (sample["status"], sample["body"])
    kept = {name: value for name, value in sample["headers"].items() if name != "x-request-id"}
    assert {name: answer.headers[name] for name in kept} == kept
    assert is_free(purse)


@BOTH
def test_a_refused_credential_is_not_the_callers_fault(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse("50")
    answer = post(http, purse, dialect, "401")
    assert answer.status_code == 502
    assert answer.json()["error"]["message"] == "The provider refused Tank's credential; tell your platform admin."
    assert is_free(purse)


@BOTH
def test_a_redirect_is_not_followed(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse("50")
    assert post(http, purse, dialect, "redirect").status_code == 502
    assert is_free(purse)


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_without_usage_is_charged_at_its_bound(
    http: httpx.Client, house: House, dialect: str, is_stream: bool
) -> None:
    purse = house.purse("50")
    answer = post(http, purse, dialect, "no-usage", stream=is_stream, max_tokens=100)
    assert answer.status_code == 200
    record = purse.record
    assert (record.settle_kind, record.output_tokens, record.streamed) == ("bound", 100, is_stream)
    assert record.input_tokens > 60
    assert purse.quota().spent == record.cost > Decimal("0.0003")
    assert is_settled(purse)


@BOTH
def test_an_answer_that_is_no_json_is_charged_at_its_bound(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse("50")
    answer = post(http, purse, dialect, "not-json")
    assert (answer.status_code, answer.content) == (200, b"{not json")
    assert purse.record.settle_kind == "bound"
    assert is_settled(purse)


@BOTH
def test_a_stream_that_is_cut_ends_with_an_error_event(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse("50")
    answer = post(http, purse, dialect, "cut", stream=True, max_tokens=100)
    assert answer.status_code == 200
    last = answer.content.split(b"\n\n")[-2]
    assert CUT in last
    assert (b"event: error" in last) is (dialect == "anthropic")
    assert b"[DONE]" not in answer.content
    record = purse.record
    assert record.settle_kind == "estimated"
    assert 0 < record.output_tokens < 100
    assert purse.quota().spent == record.cost > 0
    assert is_settled(purse)


def test_a_cut_message_knows_its_input_exactly(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    whole = post(http, purse, "anthropic").json()["usage"]
    post(http, purse, "anthropic", "cut", stream=True)
    assert [record.input_tokens for record in purse.records] == [whole["input_tokens"]] * 2


@BOTH
def test_a_whole_answer_that_is_cut_is_an_error(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse("50")
    answer = post(http, purse, dialect, "cut", max_tokens=100)
    assert answer.status_code == 502
    assert answer.json()["error"]["message"].startswith(CUT.decode())
    assert (purse.record.settle_kind, purse.record.output_tokens) == ("estimated", 100)
    assert is_settled(purse)


@BOTH
def test_a_providers_error_event_ends_the_stream_once(http: httpx.Client, house: House, dialect: str) -> None:
    purse = house.purse("50")
    answer = post(http, purse, dialect, "error-event", stream=True)
    assert b"The sandbox was asked to fail." in answer.content.split(b"\n\n")[-2]
    assert CUT not in answer.content
    assert purse.record.settle_kind == "estimated"
    assert is_settled(purse)


@BOTH
def test_a_provider_that_exceeds_the_cap_is_charged_as_far_as_the_line_goes(
    http: httpx.Client, house: House, dialect: str
) -> None:
    purse = house.purse("0.0005")
    answer = post(http, purse, dialect, "overrun", max_tokens=20)
    assert answer.status_code == 200
    record, quota = purse.record, purse.quota()
    assert record.cost > Decimal("0.003")
    assert (quota.spent, quota.held, quota.limit) == (record.charged, 0, Decimal("0.0005"))
    assert record.charged + record.overage == record.cost
    assert record.overage > 0


# --- The books -----------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_that_cannot_be_recorded_is_not_given_whole(
    http: httpx.Client, house: House, module_database: FreshDatabase, dialect: str, is_stream: bool
) -> None:
    purse = house.purse("50")
    with psycopg.connect(module_database.url) as owner:
        rule = f"CHECK (key_id <> {purse.key.pk}) NOT VALID"
        owner.execute(f"ALTER TABLE ledger_usagerecord ADD CONSTRAINT nothing_of_{purse.key.pk} {rule}")
    answer = post(http, purse, dialect, stream=is_stream)
    assert answer.status_code == (200 if is_stream else 500)
    assert b"[DONE]" not in answer.content
    assert b"message_stop" not in answer.content
    if is_stream:
        assert b"Tank could not record what this answer used." in answer.content.split(b"\n\n")[-2]
    assert (purse.records, purse.quota().held > 0) == ([], True)
    other = house.purse("50")
    until(lambda: post(http, other, dialect).status_code == 200, what="the next call")


# --- The client ----------------------------------------------------------------------------------------------


def leave_early(url: str, purse: Purse, dialect: str, *, after: bytes, **headers: str) -> None:
    """Send a streamed call over a bare socket and close it once some bytes came."""
    body = orjson.dumps((chat if dialect == "openai" else message)(stream=True, max_tokens=50))
    given = {"host": "tank", "content-length": str(len(body))} | purse.bearer | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port)) as client:
        client.sendall(f"POST {PATHS[dialect]} HTTP/1.1\r\n{head}\r\n".encode() + body)
        received = client.recv(65536)
        while after not in received:
            more = client.recv(65536)
            assert more, received
            received += more


@BOTH
def test_a_client_that_leaves_a_stream_pays_exactly(
    http: httpx.Client, gateway_url: str, house: House, dialect: str
) -> None:
    purse = house.purse("50")
    leave_early(gateway_url, purse, dialect, after=b"Sandbox", **{"x-sandbox-chunk-delay-ms": "20"})
    until(lambda: len(purse.records) == 1, what="the settle")
    whole = post(http, purse, dialect, max_tokens=50).json()["usage"]
    left, stayed = purse.records
    assert (left.settle_kind, left.streamed) == ("exact", True)
    assert left.output_tokens == stayed.output_tokens == whole.get("output_tokens", whole.get("completion_tokens"))
    assert is_settled(purse)


def test_a_client_that_leaves_before_the_answer_pays_exactly(gateway_url: str, house: House) -> None:
    purse = house.purse("50")
    headers, body = purse.bearer | {"x-sandbox-delay-ms": "600"}, chat(max_tokens=50)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{gateway_url}/v1/chat/completions", headers=headers, json=body, timeout=0.3)
    assert purse.quota().held > 0
    until(lambda: len(purse.records) == 1, what="the settle")
    assert (purse.record.settle_kind, purse.record.streamed) == ("exact", False)
    assert is_settled(purse)


def test_a_client_that_leaves_in_the_middle_of_its_request_costs_nothing(gateway_url: str, house: House) -> None:
    purse = house.purse("50")
    parts = urlsplit(gateway_url)
    with socket.create_connection((parts.hostname, parts.port)) as client:
        head = f"authorization: Bearer {purse.secret}\r\nhost: tank\r\ncontent-length: 100\r\n"
        client.sendall(f"POST /v1/messages HTTP/1.1\r\n{head}\r\n{{".encode())
    with httpx.Client(base_url=gateway_url) as http:
        assert http.get("/v1/quota", headers=purse.bearer).status_code == 200
    assert is_free(purse)


@pytest.mark.parametrize("junk", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"POST /v1/messages HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_does_not_harm(http: httpx.Client, gateway_url: str, house: House, junk: bytes) -> None:
    parts = urlsplit(gateway_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as client:
        client.sendall(junk)
        assert b" 200 " not in client.recv(1000)
    assert http.get("/v1/quota", headers=house.purse().bearer).status_code == 200


# --- Silence -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def impatient_url(module_database: FreshDatabase, upstream: Server, house: House) -> Iterator[str]:
    with sandbox(module_database) as box:
        patience = {"GATEWAY_SILENCE_SECONDS": "1", "GATEWAY_WRITE_SECONDS": "1"}
        with gateway(module_database, box.url, **patience) as server:
            yield server.url


@BOTH
def test_a_provider_that_says_nothing_may_have_worked(impatient_url: str, house: House, dialect: str) -> None:
    purse = house.purse("50")
    body = (chat if dialect == "openai" else message)(MODELS[dialect], max_tokens=100)
    answer = httpx.post(impatient_url + PATHS[dialect], headers=purse.bearer | {"x-play": "silence"}, json=body)
    assert answer.status_code == 504
    assert answer.json()["error"]["type"] == {"openai": "server_error", "anthropic": "timeout_error"}[dialect]
    record = purse.record
    assert (record.settle_kind, record.output_tokens) == ("estimated", 0)
    assert record.input_tokens > 60
    assert answer.headers["x-request-id"] == str(record.request_id)
    assert Decimal(answer.headers["x-tank-cost"]) == record.cost
    assert Decimal(answer.headers["x-tank-remaining"]) == 50 - record.cost
    assert is_settled(purse)


def test_a_client_that_takes_nothing_counts_as_gone(impatient_url: str, house: House) -> None:
    purse, parts = house.purse("50"), urlsplit(impatient_url)
    body = orjson.dumps(chat(stream=True, max_tokens=60_000))
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((parts.hostname, parts.port))
        head = f"authorization: Bearer {purse.secret}\r\nhost: tank\r\ncontent-length: {len(body)}\r\n"
        head += "x-sandbox-output-tokens: 50000\r\n"
        client.sendall(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n".encode() + body)
        until(lambda: len(purse.records) == 1, within=20, what="the settle")
    assert (purse.record.settle_kind, purse.record.output_tokens) == ("exact", 50_000)
    assert is_settled(purse)


def test_a_provider_with_a_path_and_version_of_its_own(http: httpx.Client, house: House, upstream: Server) -> None:
    provider = provider_add(
        actor=house.actor,
        name="odd-path",
        dialect=Dialect.OPENAI,
        base_url=f"{upstream.url}/v1beta/openai/",
        api_key="k",
    )
    house.model(provider, "odd-model", Tier.STANDARD, "1")
    httpx.get(f"{upstream.url}/seen")
    headers = house.purse().bearer | {"x-play": "openai_chat_completion.json"}
    assert http.post("/v1/chat/completions", headers=headers, json=chat("odd-model")).status_code == 200
    (request,) = httpx.get(f"{upstream.url}/seen").json()
    assert request["path"] == "/v1beta/openai/chat/completions"
