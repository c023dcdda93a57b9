"""Usage blocks of both dialects become token counts of exclusive classes."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from allocations.metering.types import Tokens
from allocations.metering.usage import anthropic_usage, merged, openai_usage

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "inline"


def sample(name: str) -> Any:
    return orjson.loads((SAMPLES / name).read_bytes())


def test_openai_counts_cached_tokens_inside_the_prompt() -> None:
    assert openai_usage(sample("openai_chat_completion.json")["usage"]) == Tokens(
        input=412, cache_read=1850, cache_write_5m=96, output=612, reasoning=448
    )


def test_the_responses_api_names_the_same_counts_otherwise() -> None:
    assert openai_usage(sample("openai_responses_usage.json")) == Tokens(
        input=412, cache_read=1850, cache_write_5m=96, output=612, reasoning=448
    )


def test_openai_cache_entries_that_live_for_hours_are_a_class_of_their_own() -> None:
    usage = sample("openai_responses_usage.json")
    usage["input_tokens_details"]["cache_write_tokens_details"] = {"ttl_30m_tokens": 36, "ttl_12h_tokens": 60}
    tokens = openai_usage(usage)
    assert tokens is not None
    assert (tokens.cache_write_5m, tokens.cache_write_1h) == (36, 60)


def test_embeddings_have_no_output() -> None:
    assert openai_usage(sample("openai_embeddings.json")["usage"]) == Tokens(input=8)


def test_anthropic_counts_cached_tokens_apart() -> None:
    assert anthropic_usage(sample("anthropic_message.json")["usage"]) == Tokens(
        input=412, cache_read=18500, cache_write_5m=1000, cache_write_1h=96, output=612, reasoning=448
    )


def test_anthropic_cache_writes_without_a_split_live_five_minutes() -> None:
    usage = sample("anthropic_message.json")["usage"] | {"cache_creation": None}
    tokens = anthropic_usage(usage)
    assert tokens is not None
    assert (tokens.cache_write_5m, tokens.cache_write_1h) == (1096, 0)


def test_a_cumulative_delta_replaces_what_it_names_and_keeps_the_rest() -> None:
    start = {"input_tokens": 5, "output_tokens": 1, "service_tier": "standard"}
    assert merged(start, {"input_tokens": None, "output_tokens": 9}) == start | {"output_tokens": 9}


@pytest.mark.parametrize(
    "block",
    [
        None,
        [],
        "12",
        {},
        {"prompt_tokens": None},
        {"prompt_tokens": "5", "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": -1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 5.0, "completion_tokens": 1},
        {"prompt_tokens": 10**13, "completion_tokens": 1},
        {"input_tokens": "5", "output_tokens": 1},
        {"input_tokens": 5, "output_tokens": 10**30},
    ],
)
def test_what_is_not_a_usage_block_is_no_usage(block: object) -> None:
    assert openai_usage(block) is None
    assert anthropic_usage(block) is None


def test_more_cached_tokens_than_prompt_tokens_never_make_a_negative_count() -> None:
    block = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}}
    assert openai_usage(block) == Tokens(cache_read=5, output=2)
