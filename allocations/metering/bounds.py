"""Worst cases: what a call can cost at most, known before it is sent.

A token stands for at least one byte of text, whichever tokenizer is used, so the bytes of a request bound its input:
the larger of its UTF-8 bytes and those after NFKC, which some tokenizers apply first, plus what a provider adds
around messages and tools. The JSON around the text is counted too; it is small, and counting it costs nothing. What
the bytes say nothing about (images by URL, files by id, tools that the provider runs) reserves the model's whole
context window. Input is priced in the dearest class in which the provider may count it.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson

from allocations.metering.types import Tokens
from ledger.rating import MILLION, Prices, cost

MOST_OUTPUT = 10**7
MOST_CHOICES = 128

# What a provider adds, in tokens, on the safe side of what they document.
BASE_OVERHEAD = 64
MESSAGE_OVERHEAD = 8
TOOL_OVERHEAD = 32
ANTHROPIC_TOOLS_OVERHEAD = 1_000
ANTHROPIC_CLIENT_TOOL_OVERHEAD = 2_000

# The dearest image of any model at hand: 2833 + 8 x 5667 tokens (tiles) and 4,784 (high resolution).
OPENAI_IMAGE = 48_200
ANTHROPIC_IMAGE = 5_000

ANTHROPIC_CLIENT_TOOLS = ("bash_", "computer_", "memory_", "text_editor_")


class Unbounded(Exception):
    """A request has no worst case that Tank could price; the message says why, for the caller."""

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.message, self.parameter = message, parameter


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request can use at most."""

    input_tokens: int | None
    """None when only the model's context window bounds it."""
    output_cap: int | None
    """Per choice, as the request names it; None when it names none."""
    choices: int = 1
    extra_output: int = 0
    """Output tokens that may be billed beyond the cap."""
    input_classes: tuple[str, ...] = ("input",)
    """In which classes the provider may count the input; names of `Tokens` and `Prices` alike."""


def worst_tokens(demand: Demand, rate: Prices, *, context_window: int, output_cap: int) -> Tokens:
    """Return the dearest token counts that a provider could honestly report for a demand."""
    input_tokens = context_window if demand.input_tokens is None else min(demand.input_tokens, context_window)
    dearest = max(demand.input_classes, key=lambda name: getattr(rate, name))
    return Tokens(**{dearest: input_tokens}, output=output_cap * demand.choices + demand.extra_output)


def output_cap_within(demand: Demand, rate: Prices, *, context_window: int, granted: Decimal) -> int:
    """Return the largest output cap per choice whose worst case costs no more than `granted`."""
    rest = granted - cost(rate, worst_tokens(demand, rate, context_window=context_window, output_cap=0))
    per_token = rate.output * demand.choices
    return int(rest * MILLION // per_token) if per_token else MOST_OUTPUT


# --- OpenAI: chat completions ----------------------------------------------------------------------------------


def openai_chat_demand(payload: dict[str, Any], body: bytes) -> Demand:
    """Measure a chat completion request; raises Unbounded."""
    _refuse_unpriced_openai(payload)
    messages, tools = _dicts(payload.get("messages")), _dicts(payload.get("tools"))
    content = _OpenAiContent.of(messages)
    server_side = payload.get("web_search_options") is not None or any(
        tool.get("type") not in ("function", "custom") for tool in tools
    )
    fixed = BASE_OVERHEAD + MESSAGE_OVERHEAD * len(messages) + TOOL_OVERHEAD * len(tools)
    text = text_bound(payload, body) - content.image_bytes
    prediction = payload.get("prediction")
    return Demand(
        input_tokens=None if content.unbounded or server_side else text + fixed + OPENAI_IMAGE * content.images,
        output_cap=_openai_cap(payload),
        choices=_whole(payload, "n", MOST_CHOICES) or 1,
        # Rejected parts of a predicted output are billed as output.
        extra_output=len(orjson.dumps(prediction)) if prediction is not None else 0,
        # Caching is the provider's choice: any input may be a cache read or write.
        input_classes=("input", "cache_read", "cache_write_5m", "cache_write_1h"),
    )


def _openai_cap(payload: dict[str, Any]) -> int | None:
    caps = [_whole(payload, name, MOST_OUTPUT) for name in ("max_completion_tokens", "max_tokens")]
    return max((cap for cap in caps if cap is not None), default=None)


def _refuse_unpriced_openai(payload: dict[str, Any]) -> None:
    _refuse_service_tier(payload, ("auto", "default", "flex"))
    modalities = payload.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        raise Unbounded("Tank has no price for audio output.", "modalities")


@dataclass(slots=True)
class _OpenAiContent:
    """What messages hold besides text."""

    images: int = 0
    image_bytes: int = 0
    unbounded: bool = False

    @classmethod
    def of(cls, messages: list[dict[str, Any]]) -> "_OpenAiContent":
        content = cls()
        for message in messages:
            if message.get("audio") is not None:
                content.unbounded = True
            if not isinstance(message.get("content"), str):
                for part in _dicts(message.get("content")):
                    content.add(part)
        return content

    def add(self, part: dict[str, Any]) -> None:
        match part.get("type"):
            case "text" | "refusal":
                pass
            case "image_url":
                self._add_image(part.get("image_url"))
            case "input_audio":
                raise Unbounded("Tank has no price for audio input.", "messages")
            case _:
                self.unbounded = True

    def _add_image(self, image: object) -> None:
        url = image.get("url") if isinstance(image, dict) else image
        if isinstance(url, str) and url.startswith("data:"):
            self.images += 1
            self.image_bytes += len(url)
        else:
            self.unbounded = True


# --- Anthropic: messages ---------------------------------------------------------------------------------------


def anthropic_messages_demand(payload: dict[str, Any], body: bytes) -> Demand:
    """Measure a messages request; raises Unbounded."""
    _refuse_service_tier(payload, ("auto", "standard_only"))
    if payload.get("speed") not in (None, "standard"):
        raise Unbounded("Tank has no price for this speed.", "speed")
    messages, tools = _dicts(payload.get("messages")), _dicts(payload.get("tools"))
    content = _AnthropicContent()
    for message in messages:
        content.add_all(message.get("content"))
    added = _anthropic_tools(tools)
    bounded = not content.unbounded and added is not None and not payload.keys() & {"mcp_servers", "container"}
    fixed = BASE_OVERHEAD + MESSAGE_OVERHEAD * len(messages) + ANTHROPIC_IMAGE * content.images
    text = text_bound(payload, body) - content.image_bytes
    return Demand(
        input_tokens=text + fixed + (added or 0) if bounded else None,
        output_cap=_whole(payload, "max_tokens", MOST_OUTPUT),
        input_classes=_anthropic_input_classes(body),
    )


def _anthropic_tools(tools: list[dict[str, Any]]) -> int | None:
    """Return the tokens that tools add beyond their bytes; None when the provider runs one of them."""
    added = ANTHROPIC_TOOLS_OVERHEAD if tools else 0
    for tool in tools:
        kind = tool.get("type") or "custom"
        if kind == "custom":
            added += TOOL_OVERHEAD
        elif isinstance(kind, str) and kind.startswith(ANTHROPIC_CLIENT_TOOLS):
            added += ANTHROPIC_CLIENT_TOOL_OVERHEAD
        else:
            return None
    return added


def _anthropic_input_classes(body: bytes) -> tuple[str, ...]:
    # Nothing is cached unless the request asks for it; an escape could hide the asking.
    if b"cache_control" not in body and b"\\u" not in body:
        return ("input",)
    if b'"1h"' not in body and b"\\u" not in body:
        return ("input", "cache_read", "cache_write_5m")
    return ("input", "cache_read", "cache_write_5m", "cache_write_1h")


@dataclass(slots=True)
class _AnthropicContent:
    """What content blocks hold besides text."""

    images: int = 0
    image_bytes: int = 0
    unbounded: bool = False

    def add_all(self, content: object) -> None:
        if not isinstance(content, str):
            for block in _dicts(content):
                self._add(block)

    def _add(self, block: dict[str, Any]) -> None:
        match block.get("type"):
            case "text" | "thinking" | "redacted_thinking" | "tool_use" | "search_result":
                pass
            case "tool_result":
                self.add_all(block.get("content"))
            case "image":
                self._add_image(block.get("source"))
            case "document":
                self._add_document(block.get("source"))
            case _:
                self.unbounded = True

    def _add_image(self, source: object) -> None:
        data = source.get("data") if isinstance(source, dict) and source.get("type") == "base64" else None
        if isinstance(data, str):
            self.images += 1
            self.image_bytes += len(data)
        else:
            self.unbounded = True

    def _add_document(self, source: object) -> None:
        kind = source.get("type") if isinstance(source, dict) else None
        if isinstance(source, dict) and kind == "content":
            self.add_all(source.get("content"))
        elif kind != "text":
            self.unbounded = True  # a PDF is text and pictures, compressed


# --- Both ------------------------------------------------------------------------------------------------------


def text_bound(payload: dict[str, Any], body: bytes) -> int:
    """Return a bound on the tokens of all text in a JSON body, in bytes."""
    if body.isascii() and b"\\u" not in body:
        return len(body)
    return len(body) + sum(map(_nfkc_growth, _strings(payload)))


def _nfkc_growth(text: str) -> int:
    if text.isascii():
        return 0
    return max(0, len(unicodedata.normalize("NFKC", text).encode()) - len(text.encode()))


def _strings(value: object) -> Iterator[str]:
    # By a list of what is still to be looked at: nesting in a request may be deeper than Python's stack.
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            yield from item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)


def _dicts(value: object) -> list[dict[str, Any]]:
    items: Iterable[object] = value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict)]


def _whole(payload: dict[str, Any], name: str, most: int) -> int | None:
    """Return a positive whole number of the request; None when it names none. Raises Unbounded for anything else."""
    value = payload.get(name)
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= most:
        raise Unbounded(f"`{name}` must be a whole number from 1 to {most}.", name)
    return value


def _refuse_service_tier(payload: dict[str, Any], priced: tuple[str, ...]) -> None:
    tier = payload.get("service_tier")
    if tier is not None and tier not in priced:
        raise Unbounded("Tank has no price for this service tier.", "service_tier")
