"""Worst cases of OpenAI's requests: chat completions, responses, embeddings."""

from dataclasses import dataclass
from typing import Any

from allocations.metering.bounds import MOST_OUTPUT, Demand, Unbounded
from allocations.metering.measure import (
    LONG_BODY,
    dicts,
    escapes_in,
    json_size,
    require_priced_tier,
    text_bound,
    text_tokens,
    texts_of,
    whole,
)
from allocations.metering.openai_models import dearest_picture, spared_in, tiles_of
from allocations.metering.pixels import size_of

MOST_CHOICES = 128
MOST_TOOL_CALLS = 1_000

# What OpenAI adds, in tokens, on the safe side of what it documents.
BASE_OVERHEAD = 64
MESSAGE_OVERHEAD = 8
TOOL_OVERHEAD = 32
CLIENT_TOOL_OVERHEAD = 2_000
TEXT_OVERHEAD = 2

# The dearest image of any model at hand, whatever its size: 2833 + 8 x 5667 tokens (tiles).
OPENAI_IMAGE = 48_200

# Caching is the provider's choice: any input may be a cache read or write.
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h")
PRICED_TIERS = ("auto", "default", "flex")
MOST_MEDIA_TYPE = 100
NO_AUDIO = "Tank has no price for audio input."

# Tools of the Responses API: the caller runs these, so they are text and nothing else.
CALLERS_TOOLS = {"function", "custom", "namespace"}
CALLERS_TOOLS_WITH_TEXT = {"apply_patch", "local_shell", "computer", "computer_use_preview"}
# OpenAI charges for these by the call, by the container, or by another model's tokens.
FEES = ("web_search", "file_search", "code_interpreter", "image_generation", "shell")

# Items of the Responses API that are text, and where their further parts are.
TEXT_ITEMS = {
    "apply_patch_call",
    "apply_patch_call_output",
    "computer_call",
    "custom_tool_call",
    "function_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "shell_call",
    "shell_call_output",
}
TEXT_PARTS = {"text", "refusal", "input_text", "output_text", "summary_text", "reasoning_text"}


def openai_chat_demand(payload: dict[str, Any], body: bytes) -> Demand:
    """Measure a chat completion request; raises Unbounded."""
    require_priced_tier(payload, PRICED_TIERS)
    _refuse_in_chat(payload)
    messages, tools = dicts(payload.get("messages")), dicts(payload.get("tools"))
    content = _Content()
    for message in messages:
        content.add_message(message)
    content.unbounded |= any(tool.get("type") not in ("function", "custom") for tool in tools)
    prediction = payload.get("prediction")
    tool_count = len(tools) + len(dicts(payload.get("functions")))
    text, spared = text_bound(payload, body), 0
    if len(body) >= LONG_BODY:
        escapes, spared = _looked_into(texts_of(messages))
        text -= escapes
    return Demand(
        input_tokens=content.tokens(text, len(messages), TOOL_OVERHEAD * tool_count),
        output_cap=_chat_cap(payload),
        choices=whole(payload, "n", MOST_CHOICES) or 1,
        # Rejected parts of a predicted output are billed as output.
        extra_output=json_size(prediction, len(body)) if prediction is not None else 0,
        input_classes=CLASSES,
        images=content.images,
        picture_tokens=content.picture_tokens,
        tiles=content.tiles,
        spared=spared,
    )


def openai_response_demand(payload: dict[str, Any], body: bytes) -> Demand:
    """Measure a request of the Responses API; raises Unbounded."""
    require_priced_tier(payload, PRICED_TIERS)
    _refuse_in_responses(payload)
    content, tools = _Content(), _ResponseTools.of(dicts(payload.get("tools")))
    items = dicts(payload.get("input"))
    for item in items:
        content.add_item(item)
    content.unbounded |= tools.run_by_provider
    content.unbounded |= any(payload.get(name) is not None for name in ("previous_response_id", "conversation"))
    text, spared = text_bound(payload, body), 0
    if len(body) >= LONG_BODY:
        escapes, spared = _looked_into(texts_of(payload.get("input"), payload.get("instructions")))
        text -= escapes
    return Demand(
        input_tokens=content.tokens(text, len(items) + 2, tools.overhead),
        output_cap=whole(payload, "max_output_tokens", MOST_OUTPUT),
        input_classes=CLASSES,
        readings=_readings(payload) if tools.run_by_provider else 1,
        images=content.images,
        picture_tokens=content.picture_tokens,
        tiles=content.tiles,
        spared=spared,
    )


def openai_embedding_demand(payload: dict[str, Any], body: bytes) -> Demand:
    """Measure an embeddings request: a text, token numbers, or a list of either; there is no output."""
    given = payload.get("input")
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    tokens = sum(_embedded(text, len(body)) + TEXT_OVERHEAD for text in texts)
    return Demand(input_tokens=tokens, output_cap=0, input_classes=CLASSES, readings=len(texts))


def _looked_into(texts: list[str]) -> tuple[int, int]:
    """Return the bytes of JSON that are no bytes of the texts, and the tokens spared where that is published."""
    return sum(map(escapes_in, texts)), sum(map(spared_in, texts))


def _embedded(text: object, most: int) -> int:
    if isinstance(text, str):
        return text_tokens(text)
    if isinstance(text, list) and all(type(number) is int for number in text):
        return len(text)
    return json_size(text, most)


def _chat_cap(payload: dict[str, Any]) -> int | None:
    caps = [whole(payload, name, MOST_OUTPUT) for name in ("max_completion_tokens", "max_tokens")]
    return max((cap for cap in caps if cap is not None), default=None)


# --- What has no price or no bound -----------------------------------------------------------------------------


def _refuse_in_chat(payload: dict[str, Any]) -> None:
    modalities = payload.get("modalities")
    if isinstance(modalities, list) and "audio" in modalities:
        raise Unbounded("Tank has no price for audio output.", "modalities")
    if payload.get("web_search_options") is not None:
        raise Unbounded("Tank has no price for web searches, which OpenAI charges by the call.", "web_search_options")


def _refuse_in_responses(payload: dict[str, Any]) -> None:
    if payload.get("background"):
        words = "A response in the background could not be metered: leave `background` out, and use `stream` instead."
        raise Unbounded(words, "background")
    if payload.get("prompt") is not None:
        words = "Tank cannot see what a stored prompt holds, such as tools that cost extra: send its text instead."
        raise Unbounded(words, "prompt")
    if payload.get("context_management"):
        raise Unbounded("Tank has no bound for what compaction at the provider costs.", "context_management")


def _readings(payload: dict[str, Any]) -> int:
    """Return how often OpenAI may read the context: once, and once after each call of a tool that it runs."""
    calls = whole(payload, "max_tool_calls", MOST_TOOL_CALLS, 0)
    if calls is None:
        words = "Tools that OpenAI runs read the context again after every call: say with `max_tool_calls` how often."
        raise Unbounded(words, "max_tool_calls")
    return calls + 1


@dataclass(slots=True)
class _ResponseTools:
    """What the tools of a response add to the bytes that describe them."""

    overhead: int = 0
    run_by_provider: bool = False

    @classmethod
    def of(cls, tools: list[dict[str, Any]]) -> "_ResponseTools":
        found = cls()
        for tool in tools:
            found._add(tool)
        return found

    def _add(self, tool: dict[str, Any]) -> None:
        kind = tool.get("type")
        kind = kind if isinstance(kind, str) else ""
        if kind in CALLERS_TOOLS:
            self.overhead += TOOL_OVERHEAD * (1 + len(dicts(tool.get("tools"))))
        elif kind in CALLERS_TOOLS_WITH_TEXT or (kind == "shell" and _is_local(tool)):
            self.overhead += CLIENT_TOOL_OVERHEAD
        elif kind.startswith(FEES):
            raise Unbounded(f"Tank has no price for the tool `{kind[:60]}`, which OpenAI charges extra.", "tools")
        else:
            self.run_by_provider = True


def _is_local(tool: dict[str, Any]) -> bool:
    environment = tool.get("environment")
    return isinstance(environment, dict) and environment.get("type") == "local"


# --- Content ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Content:
    """What messages and items hold besides text."""

    images: int = 0
    image_bytes: int = 0
    picture_tokens: int = 0
    tiles: int = 0
    unbounded: bool = False

    def tokens(self, text: int, pieces: int, tools: int) -> int | None:
        """Return a bound on all input; None when bytes do not bound it."""
        if self.unbounded:
            return None
        return text - self.image_bytes + BASE_OVERHEAD + MESSAGE_OVERHEAD * pieces + tools + self.picture_tokens

    def add_message(self, message: dict[str, Any]) -> None:
        """Take a message of a chat."""
        if message.get("audio") is not None:
            raise Unbounded(NO_AUDIO, "messages")
        self._add_parts(message.get("content"), "messages")

    def add_item(self, item: dict[str, Any]) -> None:
        """Take an input item of a response."""
        kind = item.get("type")
        if kind is None or kind == "message":
            self._add_parts(item.get("content"), "input")
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._add_parts(item.get("output"), "input")
        elif kind == "computer_call_output":
            output = item.get("output")
            self._add_image(output.get("image_url") if isinstance(output, dict) else None)
        elif kind == "reasoning":
            # Without its content OpenAI takes what it has kept under the item's id.
            self.unbounded |= not isinstance(item.get("encrypted_content"), str)
        elif kind == "compaction_trigger":
            raise Unbounded("Tank has no bound for what compaction at the provider costs.", "input")
        elif not isinstance(kind, str) or kind not in TEXT_ITEMS:
            self.unbounded = True

    def _add_parts(self, content: object, parameter: str) -> None:
        if not isinstance(content, str):
            for part in dicts(content):
                self._add_part(part, parameter)

    def _add_part(self, part: dict[str, Any], parameter: str) -> None:
        kind = part.get("type")
        if kind == "image_url":
            image = part.get("image_url")
            detail = image.get("detail") if isinstance(image, dict) else None
            self._add_image(image.get("url") if isinstance(image, dict) else image, detail)
        elif kind == "input_image":
            self._add_image(part.get("image_url"), part.get("detail"))
        elif kind == "input_audio":
            raise Unbounded(NO_AUDIO, parameter)
        elif not isinstance(kind, str) or kind not in TEXT_PARTS:
            self.unbounded = True

    def _add_image(self, url: object, detail: object = None) -> None:
        if not isinstance(url, str) or not url.startswith("data:"):
            self.unbounded = True
            return
        # Whatever media type it claims: what decides is the picture.
        comma = url.find(";base64,", 0, MOST_MEDIA_TYPE)
        size = size_of(url, comma + len(";base64,")) if comma > 0 else None
        is_low = detail == "low"
        self.images += 1
        self.image_bytes += len(url)
        self.tiles += 0 if is_low else tiles_of(size)
        self.picture_tokens += OPENAI_IMAGE if size is None else dearest_picture(size, is_low=is_low, most=OPENAI_IMAGE)
