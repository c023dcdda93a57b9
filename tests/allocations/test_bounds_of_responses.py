"""No honest usage of the Responses API or of embeddings costs more than the bound, and what has none is refused."""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocations.metering.bounds import Demand, Unbounded, worst_tokens
from allocations.metering.openai_bounds import (
    CLIENT_TOOL_OVERHEAD,
    OPENAI_IMAGE,
    openai_embedding_demand,
    openai_response_demand,
)
from allocations.metering.types import Tokens
from ledger.rating import cost
from tests.allocations.test_bounds import CLASSES, PRICES, SOME_PRICES, TEXT, WINDOW, Prices, escaped, tokens_of

DATA_URL = "data:image/png;base64," + "A" * 400
HELLO = {"model": "m", "input": "hello"}


def ask(payload: dict[str, Any], dump: Callable[[object], bytes] = orjson.dumps) -> Demand:
    return openai_response_demand(payload, dump(payload))


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "input": [{"role": "user", "content": list(parts)}]}


def item(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "input": [fields]}


# --- Properties ----------------------------------------------------------------------------------------------

ITEMS: list[Callable[[str], dict[str, Any]]] = [
    lambda text: {"role": "user", "content": text},
    lambda text: {"type": "message", "content": [{"type": "input_text", "text": text}]},
    lambda text: {"role": "assistant", "content": [{"type": "output_text", "text": text}]},
    lambda text: {"type": "function_call", "call_id": "c", "name": "f", "arguments": text},
    lambda text: {"type": "function_call_output", "call_id": "c", "output": text},
    lambda text: {"type": "reasoning", "summary": [], "encrypted_content": text},
]
PICTURE = {"type": "input_image", "image_url": DATA_URL, "detail": "high"}
NUMBERS = st.lists(st.integers(0, 200_000), min_size=1, max_size=30)


@given(
    items=st.lists(st.tuples(st.sampled_from(ITEMS), TEXT), max_size=6),
    instructions=TEXT,
    tools=st.lists(TEXT, max_size=3),
    images=st.integers(0, 2),
    cap=st.integers(1, 5000),
    input_class=st.sampled_from(CLASSES),
    prices=SOME_PRICES,
    dump=st.sampled_from([orjson.dumps, escaped]),
)
def test_no_honest_response_costs_more_than_its_bound(
    items: list[tuple[Callable[[str], dict[str, Any]], str]],
    instructions: str,
    tools: list[str],
    images: int,
    cap: int,
    input_class: str,
    prices: Prices,
    dump: Callable[[object], bytes],
) -> None:
    payload = {
        "model": "m",
        "instructions": instructions,
        "input": [*(item(text) for item, text in items), {"role": "user", "content": [PICTURE] * images}],
        "tools": [{"type": "function", "name": "f", "description": text} for text in tools],
        "max_output_tokens": cap,
    }
    texts = tokens_of(instructions, *tools, *(text for _, text in items))
    honest_input = texts + 4 * (len(items) + 2) + 12 * len(tools) + 3 + images * OPENAI_IMAGE
    honest = Tokens(**{input_class: min(honest_input, WINDOW)}, output=cap)
    worst = worst_tokens(ask(payload, dump), prices, context_window=WINDOW, output_cap=cap)
    assert cost(prices, honest) <= cost(prices, worst)


@given(text=TEXT, cap=st.integers(1, 5000), prices=SOME_PRICES)
def test_a_text_alone_is_input_too(text: str, cap: int, prices: Prices) -> None:
    demand = ask({"model": "m", "input": text, "max_output_tokens": cap})
    worst = worst_tokens(demand, prices, context_window=WINDOW, output_cap=cap)
    assert cost(prices, Tokens(input=tokens_of(text) + 7, output=cap)) <= cost(prices, worst)


def embedded(value: Any) -> int:
    """Return the most tokens of a text, of token numbers, or of a list of either."""
    if isinstance(value, str):
        return tokens_of(value)
    return sum(1 if isinstance(inner, int) else embedded(inner) for inner in value)


@given(
    inputs=TEXT | st.lists(TEXT, max_size=5) | NUMBERS | st.lists(NUMBERS, max_size=4),
    input_class=st.sampled_from(CLASSES),
    prices=SOME_PRICES,
    dump=st.sampled_from([orjson.dumps, escaped]),
)
def test_no_honest_embedding_costs_more_than_its_bound(
    inputs: Any, input_class: str, prices: Prices, dump: Callable[[object], bytes]
) -> None:
    payload = {"model": "m", "input": inputs}
    demand = openai_embedding_demand(payload, dump(payload))
    worst = worst_tokens(demand, prices, context_window=WINDOW, output_cap=0)
    assert cost(prices, Tokens(**{input_class: embedded(inputs)})) <= cost(prices, worst)
    assert worst.output == 0


# --- Embeddings ----------------------------------------------------------------------------------------------


def test_a_token_number_is_one_token_and_a_text_is_its_bytes() -> None:
    def tokens(given_input: object) -> int | None:
        payload = {"model": "m", "input": given_input}
        return openai_embedding_demand(payload, orjson.dumps(payload)).input_tokens

    assert tokens("hello") == 5 + 2
    assert tokens([100_000, 100_001, 100_002]) == 3 + 2
    assert tokens(["hello", "ﷺ"]) == 5 + 33 + 4
    assert tokens([[1, 2], [3]]) == 3 + 4


def test_every_text_of_a_batch_may_fill_the_context_window() -> None:
    payload = {"model": "m", "input": ["x" * 500] * 3}
    demand = openai_embedding_demand(payload, orjson.dumps(payload))
    assert worst_tokens(demand, PRICES, context_window=100, output_cap=0) == Tokens(cache_write_1h=300)


# --- What bytes do not bound ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        HELLO | {"previous_response_id": "resp_1"},
        HELLO | {"conversation": "conv_1"},
        said({"type": "input_image", "image_url": "https://example.com/a.png"}),
        said({"type": "input_image", "file_id": "file-1"}),
        said({"type": "input_file", "file_id": "file-1"}),
        said({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}),
        said({"type": "something_new"}),
        item(type="item_reference", id="msg_1"),
        item(type="reasoning", id="rs_1", summary=[]),
        item(type="web_search_call", id="ws_1"),
        item(type="computer_call_output", output={"type": "computer_screenshot", "file_id": "file-1"}),
        item(type="function_call_output", output=[{"type": "input_file", "file_url": "https://example.com"}]),
        item(type=["message"]),
    ],
)
def test_what_the_bytes_say_nothing_about_takes_the_whole_window(payload: dict[str, Any]) -> None:
    demand = ask(payload)
    assert (demand.input_tokens, demand.readings) == (None, 1)


@pytest.mark.parametrize("kind", ["mcp", "tool_search", "something_new"])
def test_a_tool_that_openai_runs_may_fill_the_window_again_after_every_call(kind: str) -> None:
    payload = HELLO | {"tools": [{"type": "function", "name": "f"}, {"type": kind}]}
    with pytest.raises(Unbounded, match="max_tool_calls") as refused:
        ask(payload)
    assert refused.value.parameter == "max_tool_calls"
    demand = ask(payload | {"max_tool_calls": 3, "max_output_tokens": 50})
    worst = worst_tokens(demand, PRICES, context_window=WINDOW, output_cap=50)
    assert worst == Tokens(cache_write_1h=4 * WINDOW, output=50)


@pytest.mark.parametrize(
    ("more", "parameter"),
    [
        ({"background": True}, "background"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"service_tier": "ultrafast"}, "service_tier"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"tools": [{"type": "mcp"}], "max_tool_calls": -1}, "max_tool_calls"),
        ({"input": [{"type": "compaction_trigger"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, "tools"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools"),
        ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools"),
        ({"tools": [{"type": "image_generation"}]}, "tools"),
        ({"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]}, "tools"),
        ({"tools": [{"type": "shell"}]}, "tools"),
    ],
)
def test_what_has_no_bound_or_no_price_is_refused_by_name(more: dict[str, Any], parameter: str) -> None:
    with pytest.raises(Unbounded) as refused:
        ask(HELLO | more)
    assert refused.value.parameter == parameter


def test_what_the_caller_runs_is_text() -> None:
    plain = ask(HELLO).input_tokens
    assert plain is not None
    tools = [
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "apply_patch"},
    ]
    with_tools = ask(HELLO | {"tools": tools, "background": False, "truncation": "auto"}).input_tokens
    assert with_tools is not None
    assert with_tools > plain + 2 * CLIENT_TOOL_OVERHEAD + len(json.dumps(tools)) - 20


def test_a_screenshot_is_an_image_and_not_its_bytes() -> None:
    output = {"type": "computer_screenshot", "image_url": "data:image/png;base64," + "A" * 1_000_000}
    demand = ask(item(type="computer_call_output", output=output))
    assert demand.input_tokens is not None
    assert OPENAI_IMAGE < demand.input_tokens < OPENAI_IMAGE + 1_000
