"""No usage that a provider could honestly report costs more than the bound.

The property tests make requests, and for each the dearest usage that its text and parts allow: every text as many
tokens as it has bytes (plain or after NFKC), all of it in the dearest class that the dialect can put it in, the
output at its cap.
"""

import base64
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocations.metering.anthropic_bounds import ANTHROPIC_IMAGE, anthropic_messages_demand
from allocations.metering.bounds import MOST_OUTPUT, Demand, Unbounded, output_cap_within, worst_tokens
from allocations.metering.measure import text_bound
from allocations.metering.openai_bounds import OPENAI_IMAGE, openai_chat_demand
from allocations.metering.types import Tokens
from ledger.rating import cost

WINDOW = 200_000
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h")


@dataclass(frozen=True)
class Prices:
    input: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    output: Decimal


PRICES = Prices(Decimal(3), Decimal("0.3"), Decimal("3.75"), Decimal(6), Decimal(15))
SOME_PRICE = st.decimals(0, 1000, places=6)
SOME_PRICES = st.builds(Prices, SOME_PRICE, SOME_PRICE, SOME_PRICE, SOME_PRICE, SOME_PRICE)
# Ligatures that NFKC makes eleven times longer, combining marks, emoji, escapes and plain text.
TEXT = st.text(st.sampled_from('a b\n"\\é😀ﷺ㎯̣̄r中') | st.characters(exclude_categories=["Cs"]), max_size=40)


def tokens_of(*texts: str) -> int:
    return sum(max(len(text.encode()), len(unicodedata.normalize("NFKC", text).encode())) for text in texts)


def ask_openai(payload: dict[str, Any]) -> Demand:
    return openai_chat_demand(payload, orjson.dumps(payload))


def ask_anthropic(payload: dict[str, Any]) -> Demand:
    return anthropic_messages_demand(payload, orjson.dumps(payload))


def escaped(value: object) -> bytes:
    return json.dumps(value).encode()


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": list(parts)}]}


# --- Properties ----------------------------------------------------------------------------------------------


@given(
    texts=st.lists(TEXT, min_size=1, max_size=5),
    tools=st.lists(TEXT, max_size=3),
    images=st.integers(0, 2),
    choices=st.integers(1, 4),
    cap=st.integers(1, 5000),
    input_class=st.sampled_from(CLASSES),
    prices=SOME_PRICES,
    dump=st.sampled_from([orjson.dumps, escaped]),
)
def test_no_honest_chat_completion_costs_more_than_its_bound(
    texts: list[str],
    tools: list[str],
    images: int,
    choices: int,
    cap: int,
    input_class: str,
    prices: Prices,
    dump: Callable[[object], bytes],
) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400}}
    messages: list[dict[str, Any]] = [{"role": "user", "content": text} for text in texts]
    messages.append({"role": "user", "content": [{"type": "text", "text": "x"}, *([image] * images)]})
    payload = {
        "model": "m",
        "messages": messages,
        "n": choices,
        "max_tokens": cap,
        "tools": [{"type": "function", "function": {"name": "f", "description": text}} for text in tools],
    }
    demand = openai_chat_demand(payload, dump(payload))
    honest_input = tokens_of(*texts, *tools, "x") + 4 * len(messages) + 12 * len(tools) + 3 + images * OPENAI_IMAGE
    honest = Tokens(**{input_class: min(honest_input, WINDOW)}, output=cap * choices)
    worst = worst_tokens(demand, prices, context_window=WINDOW, output_cap=demand.output_cap or 0)
    assert cost(prices, honest) <= cost(prices, worst)


@given(
    texts=st.lists(TEXT, min_size=1, max_size=5),
    tools=st.lists(TEXT, max_size=3),
    images=st.integers(0, 2),
    cap=st.integers(1, 5000),
    ttl=st.sampled_from([None, "5m", "1h"]),
    prices=SOME_PRICES,
)
def test_no_honest_message_costs_more_than_its_bound(
    texts: list[str], tools: list[str], images: int, cap: int, ttl: str | None, prices: Prices
) -> None:
    picture = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"p" * 300).decode()}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text} for text in texts]
    if ttl:
        blocks[-1]["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    payload = {
        "model": "m",
        "system": "be brief",
        "messages": [{"role": "user", "content": [*blocks, *[{"type": "image", "source": picture}] * images]}],
        "max_tokens": cap,
        "tools": [{"name": "t", "description": text, "input_schema": {"type": "object"}} for text in tools],
    }
    honest_input = tokens_of(*texts, *tools, "be brief") + 4 + images * ANTHROPIC_IMAGE + (530 if tools else 0)
    may_be = {None: ("input",), "5m": CLASSES[:3], "1h": CLASSES}[ttl]
    demand = ask_anthropic(payload)
    worst = worst_tokens(demand, prices, context_window=WINDOW, output_cap=cap)
    for input_class in may_be:
        honest = Tokens(**{input_class: min(honest_input, WINDOW)}, output=cap)
        assert cost(prices, honest) <= cost(prices, worst)


@given(
    demand=st.builds(lambda tokens, choices: Demand(tokens, None, choices), st.integers(0, 10**6), st.integers(1, 8)),
    prices=SOME_PRICES,
    cap=st.integers(0, 10**5),
)
def test_the_cap_that_fits_what_is_granted_is_the_largest_one(demand: Demand, prices: Prices, cap: int) -> None:
    def bound(output_cap: int) -> Decimal:
        return cost(prices, worst_tokens(demand, prices, context_window=WINDOW, output_cap=output_cap))

    granted = bound(cap)
    fits = output_cap_within(demand, prices, context_window=WINDOW, granted=granted)
    assert fits == (cap if prices.output else MOST_OUTPUT)
    if prices.output:
        assert bound(fits) <= granted < bound(fits + 1)


@given(TEXT)
def test_text_counts_as_many_tokens_as_the_longer_of_its_two_forms(text: str) -> None:
    payload = {"messages": [{"content": text}]}
    assert text_bound(payload, orjson.dumps(payload)) >= tokens_of(text)


# --- What bytes do not bound ---------------------------------------------------------------------------------

IMAGE_URL = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TEXT_PART = {"type": "text", "text": "hi"}


@pytest.mark.parametrize(
    "payload",
    [
        user(TEXT_PART, IMAGE_URL),
        user({"type": "file", "file": {"file_id": "file-1"}}),
        user({"type": "something_new"}),
        user(TEXT_PART) | {"tools": [{"type": "something_new"}]},
    ],
)
def test_what_the_bytes_of_a_chat_say_nothing_about_takes_the_whole_window(payload: dict[str, Any]) -> None:
    assert ask_openai(payload).input_tokens is None


@pytest.mark.parametrize(
    "payload",
    [
        user({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}),
        user({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}}),
        user({"type": "tool_result", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}),
        user({"type": "container_upload", "file_id": "f"}),
    ],
)
def test_what_the_bytes_of_a_message_say_nothing_about_takes_the_whole_window(payload: dict[str, Any]) -> None:
    assert ask_anthropic(payload).input_tokens is None


@pytest.mark.parametrize(
    "more",
    [
        {"mcp_servers": [{"type": "url", "url": "https://example.com"}]},
        {"tools": [{"type": "web_fetch_20260318", "name": "web_fetch"}]},
        {"tools": [{"name": "mine"}, {"type": "something_new", "name": "x"}]},
    ],
)
def test_tools_that_anthropic_runs_may_fill_the_window_at_every_turn(more: dict[str, Any]) -> None:
    demand = ask_anthropic(user(TEXT_PART) | more)
    assert (demand.input_tokens, demand.readings) == (None, 11)
    worst = worst_tokens(demand, PRICES, context_window=WINDOW, output_cap=10)
    assert worst == Tokens(input=11 * WINDOW, output=10)


def test_the_whole_window_is_reserved_and_never_more() -> None:
    for input_tokens in (None, WINDOW + 1):
        worst = worst_tokens(Demand(input_tokens, 10), PRICES, context_window=WINDOW, output_cap=10)
        assert worst == Tokens(input=WINDOW, output=10)


def test_a_megabyte_of_picture_is_not_a_million_tokens() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    demand = ask_openai(user(TEXT_PART, image))
    assert demand.input_tokens is not None
    assert OPENAI_IMAGE < demand.input_tokens < OPENAI_IMAGE + 1_000


def test_client_tools_of_anthropic_are_bounded() -> None:
    demand = ask_anthropic(user(TEXT_PART) | {"tools": [{"type": "bash_20250124", "name": "bash"}]})
    assert demand.input_tokens is not None
    assert demand.input_tokens > 3_000


# --- Caps, choices, classes ----------------------------------------------------------------------------------


def test_the_cap_is_the_larger_one_named() -> None:
    assert ask_openai(user(TEXT_PART)).output_cap is None
    assert ask_openai(user(TEXT_PART) | {"max_tokens": None}).output_cap is None
    assert ask_openai(user(TEXT_PART) | {"max_tokens": 7}).output_cap == 7
    assert ask_openai(user(TEXT_PART) | {"max_tokens": 7, "max_completion_tokens": 9}).output_cap == 9


def test_rejected_predictions_are_output_too() -> None:
    prediction = {"type": "content", "content": "a" * 100}
    demand = ask_openai(user(TEXT_PART) | {"prediction": prediction, "max_tokens": 7})
    worst = worst_tokens(demand, PRICES, context_window=WINDOW, output_cap=7)
    assert worst.output == 7 + len(orjson.dumps(prediction))


def test_anthropic_input_is_dearer_only_where_the_request_asks_for_caching() -> None:
    plain = user(TEXT_PART)
    assert ask_anthropic(plain).input_classes == ("input",)
    cached = user(TEXT_PART | {"cache_control": {"type": "ephemeral"}})
    assert ask_anthropic(cached).input_classes == CLASSES[:3]
    for_an_hour = user(TEXT_PART | {"cache_control": {"type": "ephemeral", "ttl": "1h"}})
    assert ask_anthropic(for_an_hour).input_classes == CLASSES


def test_an_escape_cannot_hide_a_wish_for_caching() -> None:
    body = b'{"messages":[{"content":[{"type":"text","text":"a","cache_\\u0063ontrol":{"ttl":"1\\u0068"}}]}]}'
    assert anthropic_messages_demand(orjson.loads(body), body).input_classes == CLASSES


@pytest.mark.parametrize(
    ("ask", "parameter", "value"),
    [
        (ask_openai, "max_tokens", 0),
        (ask_openai, "max_tokens", -1),
        (ask_openai, "max_tokens", 1.5),
        (ask_openai, "max_tokens", True),
        (ask_openai, "max_completion_tokens", "100"),
        (ask_openai, "max_completion_tokens", 10**9),
        (ask_openai, "n", 0),
        (ask_openai, "n", 1000),
        (ask_openai, "service_tier", "priority"),
        (ask_openai, "modalities", ["text", "audio"]),
        (ask_openai, "web_search_options", {}),
        (ask_anthropic, "max_tokens", "100"),
        (ask_anthropic, "service_tier", "priority"),
        (ask_anthropic, "speed", "fast"),
        (ask_anthropic, "inference_geo", "us"),
        (ask_anthropic, "container", {"skills": []}),
        (ask_anthropic, "context_management", {"edits": [{"type": "compact_20260112"}]}),
        (ask_anthropic, "tools", [{"type": "web_search_20250305", "name": "web_search"}]),
        (ask_anthropic, "tools", [{"type": "web_fetch_20260318"}, {"type": "code_execution_20260521"}]),
    ],
)
def test_what_has_no_bound_or_no_price_is_refused_by_name(
    ask: Callable[[dict[str, Any]], Demand], parameter: str, value: object
) -> None:
    with pytest.raises(Unbounded) as refused:
        ask(user(TEXT_PART) | {parameter: value})
    assert refused.value.parameter == parameter


def test_audio_input_has_no_price() -> None:
    with pytest.raises(Unbounded, match="audio"):
        ask_openai(user({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}))
    with pytest.raises(Unbounded, match="audio"):
        ask_openai({"model": "m", "messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]})


def test_thinking_is_inside_the_cap_and_clearing_context_only_makes_less_of_it() -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 4000}, "max_tokens": 5000}
    clearing = {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}
    demand = ask_anthropic(user(TEXT_PART) | thinking | clearing)
    assert (demand.output_cap, demand.extra_output, demand.readings) == (5000, 0, 1)


def test_a_part_that_is_nested_too_deeply_to_be_written_counts_as_the_whole_body() -> None:
    body = b'{"messages":[{"content":"a"}],"prediction":' + b"[" * 500 + b"]" * 500 + b"}"
    assert openai_chat_demand(orjson.loads(body), body).extra_output == len(body)


def test_nesting_deeper_than_the_stack_is_measured() -> None:
    body = b'{"messages":[{"content":"' + "é".encode() + b'"}],"x":' + b"[" * 1000 + b"]" * 1000 + b"}"
    assert text_bound(orjson.loads(body), body) == len(body)
