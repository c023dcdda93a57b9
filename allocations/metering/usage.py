"""Read the usage blocks of both dialects into token counts of exclusive classes.

OpenAI counts cached tokens inside `prompt_tokens`; Anthropic counts them apart. Both count reasoning inside output.
A block that is not what its dialect promises is no usage at all: the reader returns None, and the call is charged
at its bound.
"""

from typing import Any

from allocations.metering.types import Tokens

MOST_TOKENS = 10**12
"""A count above this is not believed; it also keeps every sum inside a bigint."""


CHAT_NAMES = ("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")
RESPONSE_NAMES = ("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")


class _NotACount(ValueError):
    """A usage block holds something else than a token count."""


def openai_usage(block: object) -> Tokens | None:
    """Read the `usage` of a chat completion, an embedding or a response; None when it is none."""
    if not isinstance(block, dict):
        return None
    try:
        return _openai(block)
    except _NotACount:
        return None


def anthropic_usage(block: object) -> Tokens | None:
    """Read the `usage` of a message; None when it is none."""
    if not isinstance(block, dict):
        return None
    try:
        return _anthropic(block)
    except _NotACount:
        return None


def merged(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Return a usage block after a later, cumulative one: what that one leaves out or sets to null stays."""
    return earlier | {name: value for name, value in later.items() if value is not None}


def _openai(block: dict[str, Any]) -> Tokens:
    names = CHAT_NAMES if "prompt_tokens" in block else RESPONSE_NAMES
    prompt, output = _count(block, names[0]), _count(block, names[1], 0)
    inside, outside = _details(block, names[2]), _details(block, names[3])
    if not inside and not outside:
        return Tokens(input=prompt, output=output)
    cached = min(_count(inside, "cached_tokens", 0), prompt)
    written = min(_count(inside, "cache_write_tokens", 0), prompt - cached)
    # Only the longest-lived cache entries are priced as such; without the split none is.
    long_lived = min(_count(_details(inside, "cache_write_tokens_details"), "ttl_12h_tokens", 0), written)
    return Tokens(
        input=prompt - cached - written,
        cache_read=cached,
        cache_write_5m=written - long_lived,
        cache_write_1h=long_lived,
        output=output,
        reasoning=min(_count(outside, "reasoning_tokens", 0), output),
    )


def _anthropic(block: dict[str, Any]) -> Tokens:
    split = _details(block, "cache_creation")
    written = _count(block, "cache_creation_input_tokens", 0)
    for_an_hour = _count(split, "ephemeral_1h_input_tokens", 0)
    for_minutes = _count(split, "ephemeral_5m_input_tokens", 0)
    output = _count(block, "output_tokens")
    return Tokens(
        input=_count(block, "input_tokens"),
        cache_read=_count(block, "cache_read_input_tokens", 0),
        # Five minutes is the default: writes that the split does not name are of that kind.
        cache_write_5m=max(for_minutes, written - for_an_hour),
        cache_write_1h=for_an_hour,
        output=output,
        reasoning=min(_count(_details(block, "output_tokens_details"), "thinking_tokens", 0), output),
    )


def _details(block: dict[str, Any], name: str) -> dict[str, Any]:
    details = block.get(name)
    return details if isinstance(details, dict) else {}


def _count(block: dict[str, Any], name: str, default: int | None = None) -> int:
    value = block.get(name)
    if value is None:
        value = default
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:
        raise _NotACount(name)
    return value
