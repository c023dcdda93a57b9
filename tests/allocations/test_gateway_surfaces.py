"""Responses, embeddings and the counting of tokens: what comes back, what goes upstream, what is charged."""

import base64
import math
import struct
from decimal import Decimal
from typing import Any

import httpx2 as httpx
import orjson
import pytest

from allocations.models import StopBehaviour
from allocations.services import allocation_suspend
from ledger.models import Dialect, Tier
from ledger.services import provider_add
from tests.allocations.gateways import House, Server, chat, embedding, message, response, seen
from tests.allocations.recorded import SAMPLES
from tests.allocations.test_gateway_calls import OPENAI_TOKENS, tokens_of

pytestmark = pytest.mark.usefixtures("module_database")

STREAM = "openai_response_stream.sse"


def events(body: bytes) -> list[Any]:
    return [orjson.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]


# --- Responses -----------------------------------------------------------------------------------------------


def test_a_response_is_answered_charged_and_recorded(http: httpx.Client, house: House) -> None:
    purse = house.purse()
    answer = http.post("/v1/responses", headers=purse.bearer, json=response(max_output_tokens=100))
    assert answer.status_code == 200
    usage, record = answer.json()["usage"], purse.record
    assert (record.input_tokens, record.output_tokens) == (usage["input_tokens"], usage["output_tokens"])
    assert (record.surface, record.streamed, record.settle_kind) == ("responses", False, "exact")
    assert purse.quota().spent == record.cost == Decimal(answer.headers["x-tank-cost"])
    assert purse.quota().held == 0


def test_a_providers_response_passes_byte_for_byte(http: httpx.Client, house: House) -> None:
    purse = house.purse()
    headers = purse.bearer | {"x-play": "openai_response.json"}
    answer = http.post("/v1/responses", headers=headers, json=response("gpt-6-astra", max_output_tokens=900))
    assert (answer.status_code, answer.content) == (200, (SAMPLES / "openai_response.json").read_bytes())
    assert tokens_of(purse.record) == OPENAI_TOKENS


@pytest.mark.parametrize("chunk", ["1", "100", "1000000"])
def test_a_streamed_response_passes_byte_for_byte(http: httpx.Client, house: House, chunk: str) -> None:
    purse = house.purse()
    headers = purse.bearer | {"x-play": STREAM, "x-play-chunk": chunk}
    body = response("gpt-6-astra", stream=True, max_output_tokens=900)
    answer = http.post("/v1/responses", headers=headers, json=body)
    assert answer.content == (SAMPLES / STREAM).read_bytes()
    assert (purse.record.streamed, purse.record.settle_kind) == (True, "exact")
    assert tokens_of(purse.record) == OPENAI_TOKENS


def test_the_last_event_of_a_response_comes_after_its_settle(http: httpx.Client, house: House) -> None:
    purse = house.purse()
    headers = purse.bearer | {"x-sandbox-chunk-delay-ms": "50"}
    body = response(stream=True, max_output_tokens=8)
    with http.stream("POST", "/v1/responses", headers=headers, json=body) as answer:
        seen_before, held = b"", purse.quota().held
        for piece in answer.iter_bytes():
            seen_before += piece
            if b"event: response.incomplete" in seen_before:
                assert purse.record.output_tokens == 8
    assert held > 0
    assert events(seen_before)[-1]["response"]["usage"]["output_tokens"] == 8
    assert purse.quota().held == 0


def test_a_response_without_a_cap_gets_one_under_its_own_name(
    http: httpx.Client, house: House, upstream: Server
) -> None:
    purse = house.purse()
    seen(upstream)
    headers = purse.bearer | {"x-play": "openai_response.json"}
    body = b'{"model":"gpt-6-astra", "input":"a", "store":false,"odd" : 1.50}'
    answer = http.post("/v1/responses", headers=headers, content=body)
    assert answer.headers["x-tank-output-cap"] == "4096"
    (request,) = seen(upstream)
    assert (request["path"], request["body"].encode()) == (
        "/v1/responses",
        b'{"max_output_tokens":4096,' + body[1:],
    )


@pytest.mark.parametrize("name", ["openai_response_stream_failed.sse", "openai_response_stream_error.sse"])
def test_a_response_that_fails_is_charged_for_what_is_known(http: httpx.Client, house: House, name: str) -> None:
    purse = house.purse()
    headers = purse.bearer | {"x-play": f"errors/{name}"}
    body = response("gpt-6-astra", stream=True, max_output_tokens=900)
    answer = http.post("/v1/responses", headers=headers, json=body)
    assert answer.content == (SAMPLES / "errors" / name).read_bytes()
    assert (purse.record.settle_kind, purse.record.output_tokens) == ("estimated", 2)


@pytest.mark.parametrize("fault", ["cut", "error-event", "no-usage"])
def test_a_response_in_trouble_is_never_free(http: httpx.Client, house: House, fault: str) -> None:
    purse = house.purse()
    headers = purse.bearer | {"x-sandbox-fault": fault}
    answer = http.post("/v1/responses", headers=headers, json=response(stream=True, max_output_tokens=50))
    kind = {"cut": "error", "error-event": "error", "no-usage": "response.incomplete"}[fault]
    assert events(answer.content)[-1]["type"] == kind
    assert purse.record.settle_kind == ("bound" if fault == "no-usage" else "estimated")
    assert purse.quota().spent == purse.record.cost > 0
    assert purse.quota().held == 0


@pytest.mark.parametrize(
    ("more", "said", "parameter"),
    [
        ({"background": True}, "could not be metered", "background"),
        ({"prompt": {"id": "p"}}, "stored prompt", "prompt"),
        ({"tools": [{"type": "web_search"}]}, "no price for the tool `web_search`", "tools"),
        ({"tools": [{"type": "mcp"}]}, "say with `max_tool_calls` how often", "max_tool_calls"),
        ({"input": {"a": 1}}, "`input` must be a text or a list", "input"),
        ({"max_output_tokens": 0}, "`max_output_tokens` must be a whole number", "max_output_tokens"),
    ],
)
def test_a_response_that_cannot_be_metered_is_refused(
    http: httpx.Client, house: House, more: dict[str, Any], said: str, parameter: str
) -> None:
    purse = house.purse()
    answer = http.post("/v1/responses", headers=purse.bearer, json=response() | more)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", parameter)
    assert said in error["message"]
    assert purse.quota().spent == purse.quota().held == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("GET", "/v1/responses/resp_1/input_items"),
    ],
)
def test_stored_responses_are_not_there(http: httpx.Client, house: House, method: str, path: str) -> None:
    answer = http.request(method, path, headers=house.purse().bearer)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    assert answer.json()["error"]["message"].startswith("Tank keeps no responses")


def test_what_a_provider_keeps_holds_the_whole_window(http: httpx.Client, house: House) -> None:
    purse = house.purse("0.1")
    body = response(previous_response_id="resp_1", max_output_tokens=10)
    answer = http.post("/v1/responses", headers=purse.bearer, json=body)
    assert answer.status_code == 429
    assert Decimal(answer.json()["error"]["details"]["needed"]) > Decimal("0.1")
    assert http.post("/v1/responses", headers=house.purse().bearer, json=body).status_code == 200


# --- Embeddings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["How are you?", ["one", "two"], [1, 2, 3], [[1, 2], [3]]])
def test_embeddings_are_answered_charged_and_recorded(http: httpx.Client, house: House, text: Any) -> None:
    purse = house.purse()
    answer = http.post("/v1/embeddings", headers=purse.bearer, json=embedding(text=text, dimensions=8))
    assert answer.status_code == 200
    count = 2 if isinstance(text, list) and not isinstance(text[0], int) else 1
    vectors = [entry["embedding"] for entry in answer.json()["data"]]
    assert [len(vector) for vector in vectors] == [8] * count
    assert all(math.isclose(sum(number**2 for number in vector), 1) for vector in vectors)
    record = purse.record
    assert (record.surface, record.settle_kind, record.output_tokens) == ("embeddings", "exact", 0)
    assert record.input_tokens == answer.json()["usage"]["prompt_tokens"] > 0
    assert purse.quota().spent == record.cost == Decimal(answer.headers["x-tank-cost"])
    assert "x-tank-output-cap" not in answer.headers


def test_a_vector_is_the_same_in_base64(http: httpx.Client, house: House) -> None:
    purse = house.purse()
    numbers = http.post("/v1/embeddings", headers=purse.bearer, json=embedding()).json()["data"][0]["embedding"]
    body = embedding(encoding_format="base64")
    packed = base64.b64decode(
        http.post("/v1/embeddings", headers=purse.bearer, json=body).json()["data"][0]["embedding"]
    )
    assert struct.unpack(f"<{len(numbers)}f", packed) == pytest.approx(numbers, rel=1e-6)


def test_a_providers_embeddings_pass_byte_for_byte(http: httpx.Client, house: House, upstream: Server) -> None:
    purse = house.purse()
    seen(upstream)
    body = b'{"model":"gpt-6-astra", "input":"a b c d e f g h", "dimensions":2,"encoding_format":"float" }'
    answer = http.post("/v1/embeddings", headers=purse.bearer | {"x-play": "openai_embeddings.json"}, content=body)
    assert answer.content == (SAMPLES / "openai_embeddings.json").read_bytes()
    assert tokens_of(purse.record) == (8, 0, 0, 0, 0, 0)
    (request,) = seen(upstream)
    assert (request["path"], request["body"].encode()) == ("/v1/embeddings", body)


def test_no_other_model_stands_in_for_embeddings(http: httpx.Client, house: House) -> None:
    lines = {Tier.STANDARD: "0.000001", Tier.ECONOMY: "5"}
    purse = house.purse(lines=lines, stop=StopBehaviour.FALL)
    assert http.post("/v1/chat/completions", headers=purse.bearer, json=chat()).status_code == 200
    answer = http.post("/v1/embeddings", headers=purse.bearer, json=embedding())
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "insufficient_quota")
    answer = http.post("/v1/embeddings", headers=purse.bearer, json=embedding("tank/auto"))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


@pytest.mark.parametrize("body", [{"input": None}, {"input": 5}, {}])
def test_embeddings_of_nothing_are_refused(http: httpx.Client, house: House, body: dict[str, Any]) -> None:
    answer = http.post("/v1/embeddings", headers=house.purse().bearer, json={"model": "tank-medium"} | body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


def test_embeddings_without_usage_are_charged_at_their_bound(http: httpx.Client, house: House) -> None:
    purse = house.purse()
    headers = purse.bearer | {"x-sandbox-fault": "no-usage"}
    http.post("/v1/embeddings", headers=headers, json=embedding(text=["hello", "you"]))
    assert (purse.record.settle_kind, purse.record.input_tokens, purse.record.output_tokens) == ("bound", 12, 0)


# --- Counting ------------------------------------------------------------------------------------------------


def test_tokens_are_counted_for_free(http: httpx.Client, house: House) -> None:
    purse = house.purse()
    body = message()
    counted = http.post("/v1/messages/count_tokens", headers=purse.x_api_key, json=body)
    assert (counted.status_code, counted.headers["x-tank-cost"]) == (200, "0")
    assert counted.headers["x-tank-model"] == "tank-medium"
    assert len(counted.headers["x-request-id"]) == 36
    assert (purse.records, purse.quota().spent, purse.quota().held) == ([], 0, 0)
    answered = http.post("/v1/messages", headers=purse.x_api_key, json=body)
    assert counted.json() == {"input_tokens": answered.json()["usage"]["input_tokens"]}


def test_a_request_to_count_passes_untouched(http: httpx.Client, house: House, upstream: Server) -> None:
    purse = house.purse()
    seen(upstream)
    headers = purse.x_api_key | {"x-play": "anthropic_count_tokens.json", "anthropic-beta": "b"}
    body = b'{"model":"claude-sonnet-5-5" , "messages":[{"role":"user","content":"hi"}],"odd":1.0}'
    answer = http.post("/v1/messages/count_tokens?beta=true", headers=headers, content=body)
    assert answer.content == (SAMPLES / "anthropic_count_tokens.json").read_bytes()
    (request,) = seen(upstream)
    assert (request["path"], request["body"].encode()) == ("/v1/messages/count_tokens?beta=true", body)
    assert (request["headers"]["anthropic-beta"], request["headers"]["x-api-key"] != purse.secret) == ("b", True)


def test_counting_needs_no_budget_but_a_key_a_model_and_an_open_allocation(http: httpx.Client, house: House) -> None:
    path, poor = "/v1/messages/count_tokens", house.purse("0.000001")
    assert http.post(path, headers=poor.x_api_key, json=message()).status_code == 200
    assert http.post(path, json=message()).status_code == 401
    assert http.post(path, headers=poor.x_api_key, json=message("none")).json()["error"]["type"] == "not_found_error"
    assert http.post(path, headers=poor.x_api_key, content=b"{").json()["error"]["type"] == "invalid_request_error"
    assert http.get(path, headers=poor.x_api_key).status_code == 405
    shut = house.purse()
    allocation_suspend(actor=house.actor, allocation=shut.allocation, reason="Under review")
    assert http.post(path, headers=shut.x_api_key, json=message()).status_code == 403


@pytest.mark.parametrize(
    ("fault", "status"), [("429", 429), ("529", 529), ("401", 502), ("redirect", 502), ("cut", 502)]
)
def test_counting_that_fails_says_so(http: httpx.Client, house: House, fault: str, status: int) -> None:
    headers = house.purse().x_api_key | {"x-sandbox-fault": fault}
    answer = http.post("/v1/messages/count_tokens", headers=headers, json=message())
    assert (answer.status_code, answer.json()["type"]) == (status, "error")


def test_counting_at_a_provider_that_is_not_there(http: httpx.Client, house: House) -> None:
    gone = provider_add(
        actor=house.actor, name="gone", dialect=Dialect.ANTHROPIC, base_url="http://127.0.0.1:9", api_key="k"
    )
    house.model(gone, "model-gone", Tier.STANDARD, "1")
    answer = http.post("/v1/messages/count_tokens", headers=house.purse().x_api_key, json=message("model-gone"))
    assert answer.status_code == 502
