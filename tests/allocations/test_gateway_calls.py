"""Calls that work: what comes back, what goes upstream, what is charged and recorded."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2 as httpx
import orjson
import pytest

from allocations.metering.types import Tokens
from allocations.models import StopBehaviour
from ledger.models import Tier
from ledger.money import plain
from ledger.rating import cost
from tests.allocations.gateways import CREDENTIAL, House, Server, chat, message, seen
from tests.allocations.recorded import SAMPLES

pytestmark = pytest.mark.usefixtures("module_database")

OPENAI_TOKENS = (412, 1850, 96, 0, 612, 448)
ANTHROPIC_TOKENS = (412, 18500, 1000, 96, 612, 448)


def tokens_of(record: Any) -> tuple[int, ...]:
    classes = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
    return tuple(getattr(record, f"{name}_tokens") for name in classes)


# --- Plain ---------------------------------------------------------------------------------------------------


def test_a_chat_completion_is_answered_charged_and_recorded(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    answer = http.post("/v1/chat/completions", headers=purse.bearer, json=chat(max_tokens=100))
    assert answer.status_code == 200
    usage, record = answer.json()["usage"], purse.record
    charged = (usage["prompt_tokens"] * Decimal(1) + usage["completion_tokens"] * Decimal(3)) / 1_000_000
    assert (record.input_tokens, record.output_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert (record.cost, record.charged, record.overage, record.settle_kind) == (charged, charged, 0, "exact")
    assert (record.surface, record.streamed, record.model_asked) == ("chat/completions", False, "tank-medium")
    assert (record.account.code, record.team) == (f"line:{purse.allocation.number}:standard", house.team)
    quota, own = purse.quota(), purse.key_quota
    assert (quota.spent, quota.held, own.spent, own.held) == (charged, 0, charged, 0)
    assert answer.headers["x-request-id"] == str(record.request_id)
    assert answer.headers["x-tank-cost"] == plain(charged)
    assert answer.headers["x-tank-remaining"] == plain(50 - charged)
    assert answer.headers["x-tank-model"] == "tank-medium"
    assert "x-tank-output-cap" not in answer.headers


def test_a_message_is_answered_charged_and_recorded(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    answer = http.post("/v1/messages", headers=purse.x_api_key, json=message())
    assert answer.status_code == 200
    assert answer.json()["type"] == "message"
    assert (purse.record.surface, purse.record.output_tokens) == ("messages", answer.json()["usage"]["output_tokens"])
    assert purse.quota().spent == purse.record.cost == Decimal(answer.headers["x-tank-cost"])


@pytest.mark.parametrize(
    ("path", "body", "play", "tokens"),
    [
        ("chat/completions", chat("gpt-6-astra", max_tokens=900), "openai_chat_completion.json", OPENAI_TOKENS),
        ("messages", message("claude-sonnet-5-5", max_tokens=900), "anthropic_message.json", ANTHROPIC_TOKENS),
    ],
)
def test_a_providers_answer_passes_byte_for_byte(
    http: httpx.Client, house: House, path: str, body: dict[str, Any], play: str, tokens: tuple[int, ...]
) -> None:
    purse = house.purse("50")
    answer = http.post(f"/v1/{path}", headers=purse.bearer | {"x-play": play}, json=body)
    assert (answer.status_code, answer.content) == (200, (SAMPLES / play).read_bytes())
    record = purse.record
    assert tokens_of(record) == tokens
    assert record.model_returned == orjson.loads(answer.content)["model"]
    # The recorded answers used more input than this short request could: what fits is charged all the same.
    assert purse.quota().spent == record.cost == record.charged > 0


def test_what_goes_upstream_is_what_came_but_for_who_is_asking(
    http: httpx.Client, house: House, upstream: Server
) -> None:
    purse = house.purse("50")
    seen(upstream)
    body = (
        b'{ "model":"gpt-6-astra",\n "max_tokens": 5, "messages":[{"role":"user","content":"\xc3\xa9"}] , "odd":1.50}'
    )
    headers = {
        "x-play": "openai_chat_completion.json",
        "content-type": "application/json",
        "x-custom": "kept",
        "cookie": "session=1",
        "openai-organization": "org-other",
        "x-forwarded-for": "10.0.0.1",
        "x-sandbox-delay-ms": "1",
        "x-tank-tags": "workflow=triage",
        "accept-encoding": "gzip",
    }
    http.post("/v1/chat/completions?a=b&c=%20d", headers=purse.bearer | headers, content=body)
    (request,) = seen(upstream)
    sent = request["headers"]
    assert (request["path"], request["body"].encode()) == ("/v1/chat/completions?a=b&c=%20d", body)
    assert sent["authorization"] == f"Bearer {CREDENTIAL}"
    assert sent["accept-encoding"] == "identity"
    assert sent["x-custom"] == "kept"
    dropped = ("cookie", "openai-organization", "x-forwarded-for", "x-sandbox-delay-ms", "x-tank-tags", "x-api-key")
    assert not [name for name in dropped if name in sent]
    assert purse.secret not in str(request)


def test_anthropics_own_headers_pass_and_the_credential_is_its_own(
    http: httpx.Client, house: House, upstream: Server
) -> None:
    purse = house.purse("50")
    seen(upstream)
    headers = {"x-play": "anthropic_message.json", "anthropic-beta": "some-beta"}
    http.post("/v1/messages?beta=true", headers=purse.x_api_key | headers, json=message("claude-sonnet-5-5"))
    (request,) = seen(upstream)
    sent = request["headers"]
    assert request["path"] == "/v1/messages?beta=true"
    assert (sent["x-api-key"], sent["anthropic-version"], sent["anthropic-beta"]) == (
        CREDENTIAL,
        "2023-06-01",
        "some-beta",
    )
    assert "authorization" not in sent


def test_headers_of_the_answer_pass_but_for_those_of_the_connection(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    answer = http.post(
        "/v1/chat/completions",
        headers=purse.bearer | {"x-play": "odd-headers"},
        json=chat("gpt-6-astra", max_tokens=900),
    )
    assert answer.headers["openai-processing-ms"] == "12"
    assert answer.headers["x-tank-upstream-id"] == purse.record.upstream_id == "req_up"
    assert answer.headers["x-request-id"] == str(purse.record.request_id)
    assert not {"x-hop", "set-cookie"} & set(answer.headers)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_an_answer_that_comes_compressed_is_understood(
    http: httpx.Client, house: House, encoding: str, is_stream: bool
) -> None:
    purse = house.purse("50")
    play = f"{encoding}-stream" if is_stream else encoding
    body = chat("gpt-6-astra", max_tokens=900, stream=is_stream, stream_options={"include_usage": True})
    answer = http.post("/v1/chat/completions", headers=purse.bearer | {"x-play": play}, json=body)
    sample = "openai_chat_stream_include_usage.sse" if body["stream"] else "openai_chat_completion.json"
    assert answer.content == (SAMPLES / sample).read_bytes()
    assert "content-encoding" not in answer.headers  # the client did not ask for any
    assert tokens_of(purse.record) == OPENAI_TOKENS


def test_an_answer_that_is_not_in_the_encoding_it_names_is_charged_at_its_bound(
    http: httpx.Client, house: House
) -> None:
    purse = house.purse("50")
    body = chat("gpt-6-astra", max_tokens=900)
    with pytest.raises(httpx.DecodingError):
        http.post("/v1/chat/completions", headers=purse.bearer | {"x-play": "zstd-broken"}, json=body)
    assert (purse.record.settle_kind, purse.record.output_tokens) == ("bound", 900)


def test_tags_are_kept_with_the_usage(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    tags = {"x-tank-tags": "workflow=triage, step=2 ,variant=a b=c"}
    http.post("/v1/chat/completions", headers=purse.bearer | tags, json=chat())
    assert purse.record.tags == {"workflow": "triage", "step": "2", "variant": "a b=c"}


def test_a_model_that_the_provider_names_otherwise_is_priced_by_that_name(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    provider = house.rate("gpt-6-astra").model.provider
    dated = house.model(provider, "gpt-6-alias", Tier.STANDARD, "7")
    answer = http.post(
        "/v1/chat/completions",
        headers=purse.bearer | {"x-play": "openai_chat_completion.json"},
        json=chat(dated.name, max_tokens=900),
    )
    record = purse.record
    assert (record.model_asked, record.model_returned) == ("gpt-6-alias", answer.json()["model"])
    assert (record.model.name, record.rate) == ("gpt-6-astra", house.rate("gpt-6-astra"))
    assert record.cost == cost(record.rate, Tokens(*tokens_of(record)))


# --- Streams -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", ["1", "7", "100", "1000000"])
@pytest.mark.parametrize(
    ("path", "body", "play"),
    [
        (
            "chat/completions",
            chat("gpt-6-astra", max_tokens=900, stream=True, stream_options={"include_usage": True}),
            "openai_chat_stream_include_usage.sse",
        ),
        ("messages", message("claude-sonnet-5-5", max_tokens=900, stream=True), "anthropic_stream.sse"),
    ],
)
def test_a_stream_passes_byte_for_byte(
    http: httpx.Client, house: House, path: str, body: dict[str, Any], play: str, chunk: str
) -> None:
    purse = house.purse("50")
    headers = purse.bearer | {"x-play": play, "x-play-chunk": chunk}
    answer = http.post(f"/v1/{path}", headers=headers, json=body)
    assert (answer.status_code, answer.content) == (200, (SAMPLES / play).read_bytes())
    assert answer.headers["content-type"].startswith("text/event-stream")
    record = purse.record
    assert (record.streamed, record.settle_kind, record.output_tokens) == (True, "exact", 612)
    assert purse.quota().spent == record.cost
    assert purse.quota().held == 0


def test_usage_is_ordered_for_a_client_that_did_not_and_kept_from_it(
    http: httpx.Client, house: House, upstream: Server
) -> None:
    purse = house.purse("50")
    seen(upstream)
    play = "openai_chat_stream_include_usage.sse"
    body = b'{"model":"gpt-6-astra", "stream": true, "max_tokens":900, "messages":[{"role":"user","content":"a"}]}'
    answer = http.post("/v1/chat/completions", headers=purse.bearer | {"x-play": play}, content=body)
    whole = (SAMPLES / play).read_bytes()
    usage_event = whole[whole.rindex(b'data: {"id"') : whole.index(b"data: [DONE]")]
    assert answer.content == whole.replace(usage_event, b"")
    assert purse.record.output_tokens == 612
    (request,) = seen(upstream)
    assert request["body"].encode() == b'{"stream_options":{"include_usage":true},' + body[1:]


def test_usage_is_ordered_although_the_client_declined(http: httpx.Client, house: House, upstream: Server) -> None:
    purse = house.purse("50")
    seen(upstream)
    body = chat("gpt-6-astra", stream=True, max_tokens=900, stream_options={"include_usage": False, "other": 1})
    headers = purse.bearer | {"x-play": "openai_chat_stream_include_usage.sse"}
    assert b'"choices":[]' not in http.post("/v1/chat/completions", headers=headers, json=body).content
    (request,) = seen(upstream)
    assert orjson.loads(request["body"])["stream_options"] == {"include_usage": True, "other": 1}


def test_a_stream_without_its_end_but_with_its_usage_is_whole(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    headers = purse.bearer | {"x-play": "no-done"}
    answer = http.post("/v1/chat/completions", headers=headers, json=chat("gpt-6-astra", max_tokens=900, stream=True))
    assert b"error" not in answer.content
    assert purse.record.settle_kind == "exact"


def test_the_first_words_come_before_the_last(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    headers = purse.bearer | {"x-sandbox-chunk-delay-ms": "100"}
    with http.stream("POST", "/v1/chat/completions", headers=headers, json=chat(stream=True, max_tokens=20)) as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        quota = purse.quota()
        assert (quota.spent, quota.held > 0, purse.records) == (0, True, [])
        assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
    assert purse.quota().held == 0
    assert UUID(answer.headers["x-request-id"]) == purse.record.request_id


# --- Output caps ---------------------------------------------------------------------------------------------


def test_a_request_without_a_cap_gets_the_models_own(http: httpx.Client, house: House, upstream: Server) -> None:
    purse = house.purse("50")
    seen(upstream)
    answer = http.post(
        "/v1/chat/completions",
        headers=purse.bearer | {"x-play": "openai_chat_completion.json"},
        content=b'{"model":"gpt-6-astra","messages":[{"role":"user","content":"a"}]}',
    )
    assert answer.headers["x-tank-output-cap"] == "4096"
    (request,) = seen(upstream)
    assert request["body"].startswith('{"max_completion_tokens":4096,"model":"gpt-6-astra",')


def test_a_cap_of_null_is_no_cap(http: httpx.Client, house: House, upstream: Server) -> None:
    purse = house.purse("50")
    seen(upstream)
    http.post(
        "/v1/chat/completions",
        headers=purse.bearer | {"x-play": "openai_chat_completion.json"},
        json=chat("gpt-6-astra", max_completion_tokens=None),
    )
    (request,) = seen(upstream)
    assert orjson.loads(request["body"])["max_completion_tokens"] == 4096


def test_a_name_given_twice_goes_upstream_as_it_was_read(http: httpx.Client, house: House, upstream: Server) -> None:
    purse = house.purse("50")
    for body in (
        b'{"max_tokens":100000,"model":"gpt-6-astra","messages":[{"role":"user","content":"a"}],"max_tokens":10}',
        b'{"max_\\u0074okens":100000,"model":"gpt-6-astra","messages":[{"role":"user","content":"a"}],"max_tokens":10}',
    ):
        seen(upstream)
        headers = purse.bearer | {"x-play": "openai_chat_completion.json"}
        http.post("/v1/chat/completions", headers=headers, content=body)
        (request,) = seen(upstream)
        assert request["body"].count("okens") == 1
        assert orjson.loads(request["body"])["max_tokens"] == 10


def test_when_little_is_left_a_smaller_cap_is_inserted(http: httpx.Client, house: House) -> None:
    purse = house.purse("0.0005")
    answer = http.post("/v1/chat/completions", headers=purse.bearer, json=chat())
    cap = int(answer.headers["x-tank-output-cap"])
    assert 16 <= cap < 4096
    assert answer.json()["usage"]["completion_tokens"] <= cap
    assert purse.quota().spent <= Decimal("0.0005")


# --- Models, tiers, balance ----------------------------------------------------------------------------------


def test_a_key_sees_the_models_of_its_lines_in_the_dialect_it_speaks(http: httpx.Client, house: House) -> None:
    purse = house.purse(lines={Tier.STANDARD: "5", Tier.ECONOMY: "5"})
    openai = http.get("/v1/models", headers=purse.bearer).json()
    assert [model["id"] for model in openai["data"] if model["id"] != "gpt-6-alias"] == [
        "gpt-6-astra",
        "tank-medium",
        "tank-small",
    ]
    assert openai["data"][0]["object"] == "model"
    anthropic = http.get("/v1/models", headers=purse.x_api_key).json()
    assert [model["id"] for model in anthropic["data"]] == ["claude-sonnet-5-5", "tank-medium", "tank-small"]
    assert (anthropic["first_id"], anthropic["last_id"], anthropic["has_more"]) == (
        "claude-sonnet-5-5",
        "tank-small",
        False,
    )
    assert http.get("/v1/models/tank-small", headers=purse.bearer).json()["id"] == "tank-small"
    assert http.get("/v1/models/tank-large", headers=purse.bearer).status_code == 404


def test_a_key_reads_its_balance(http: httpx.Client, house: House) -> None:
    purse = house.purse(lines={Tier.ECONOMY: "5", Tier.FRONTIER: "20"}, cap="7.5")
    told = http.get("/v1/quota", headers=purse.bearer).json()
    assert told.pop("as_of").endswith("Z")
    untouched = {"spent": "0", "held": "0"}
    assert told == {
        "object": "quota",
        "currency": "USD",
        "allocation": {
            "number": purse.allocation.number,
            "name": "Claims triage",
            "ends_on": purse.allocation.ends_on.isoformat(),
            "stop_behaviour": "stop",
        },
        "lines": [
            {"tier": "frontier", "limit": "20", "available": "20"} | untouched,
            {"tier": "economy", "limit": "5", "available": "5"} | untouched,
        ],
        "key": {"name": "agent", "limit": "7.5", "available": "7.5"} | untouched,
    }


def test_auto_is_the_dearest_model_that_can_still_be_paid(http: httpx.Client, house: House) -> None:
    purse = house.purse(lines={Tier.FRONTIER: "0.000001", Tier.ECONOMY: "5"})
    answer = http.post("/v1/messages", headers=purse.bearer, json=message("tank/auto"))
    assert answer.json()["model"] == answer.headers["x-tank-model"] == "tank-small"
    assert answer.headers["x-tank-fell-from"] == "frontier"
    assert (purse.record.model_asked, purse.record.model.name) == ("tank/auto", "tank-small")
    rich = house.purse(lines={Tier.FRONTIER: "5", Tier.ECONOMY: "5"})
    answer = http.post("/v1/messages", headers=rich.bearer, json=message("tank/auto"))
    assert (answer.headers["x-tank-model"], "x-tank-fell-from" in answer.headers) == ("tank-large", False)


def test_an_allocation_that_falls_is_served_by_the_next_cheaper_tier(http: httpx.Client, house: House) -> None:
    lines = {Tier.FRONTIER: "0.000001", Tier.STANDARD: "0.000001", Tier.ECONOMY: "5"}
    purse = house.purse(lines=lines, stop=StopBehaviour.FALL)
    answer = http.post("/v1/messages", headers=purse.bearer, json=message("tank-large"))
    assert (answer.headers["x-tank-model"], answer.headers["x-tank-fell-from"]) == ("tank-small", "frontier")
    assert purse.quota(Tier.ECONOMY).spent == purse.record.cost > 0
    stops = house.purse(lines=lines)
    assert http.post("/v1/messages", headers=stops.bearer, json=message("tank-large")).status_code == 402
