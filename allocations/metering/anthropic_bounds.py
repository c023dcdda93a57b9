"""Worst cases of Anthropic's messages."""

from dataclasses import dataclass
from typing import Any

from allocations.metering.bounds import MOST_OUTPUT, Demand, Unbounded
from allocations.metering.measure import LONG_BODY, dicts, escapes_in, require_priced_tier, text_bound, texts_of, whole
from allocations.metering.pixels import Size, size_of

# What Anthropic adds, in tokens, on the safe side of what it documents.
BASE_OVERHEAD = 64
MESSAGE_OVERHEAD = 8
TOOL_OVERHEAD = 32
TOOLS_OVERHEAD = 1_000
CLIENT_TOOL_OVERHEAD = 2_000

# The dearest image of any model at hand, whatever its size: 4,784 tokens (high resolution).
ANTHROPIC_IMAGE = 5_000
PIXELS_PER_TOKEN, PATCH, IMAGE_OVERHEAD = 750, 28, 8

CLIENT_TOOLS = ("bash_", "computer_", "memory_", "text_editor_")
# Anthropic charges for these by the call or by the hour.
FEES = ("web_search_", "code_execution_")
# The loop of tools that Anthropic runs stops after ten turns.
MOST_TURNS = 10


def anthropic_messages_demand(payload: dict[str, Any], body: bytes) -> Demand:
    """Measure a messages request; raises Unbounded."""
    _refuse_unpriced(payload)
    messages, tools = dicts(payload.get("messages")), dicts(payload.get("tools"))
    content = _AnthropicContent()
    for message in messages:
        content.add_all(message.get("content"))
    added = _tools_overhead(tools)
    runs_tools = added is None or bool(payload.get("mcp_servers"))
    fixed = BASE_OVERHEAD + MESSAGE_OVERHEAD * len(messages) + content.picture_tokens
    text = text_bound(payload, body) - content.image_bytes
    if len(body) >= LONG_BODY:
        text -= sum(map(escapes_in, texts_of(messages, payload.get("system"))))
    return Demand(
        input_tokens=None if content.unbounded or runs_tools else text + fixed + (added or 0),
        output_cap=whole(payload, "max_tokens", MOST_OUTPUT),
        input_classes=_input_classes(body),
        readings=MOST_TURNS + 1 if runs_tools else 1,
        images=content.images,
    )


def _refuse_unpriced(payload: dict[str, Any]) -> None:
    require_priced_tier(payload, ("auto", "standard_only"))
    if payload.get("speed") not in (None, "standard"):
        raise Unbounded("Tank has no price for this speed.", "speed")
    if payload.get("inference_geo") not in (None, "global"):
        raise Unbounded("Tank has no price for inference in one region.", "inference_geo")
    if payload.get("container") is not None:
        raise Unbounded("Tank has no price for containers, which Anthropic charges by the hour.", "container")
    management = payload.get("context_management")
    for edit in dicts(management.get("edits") if isinstance(management, dict) else None):
        if str(edit.get("type")).startswith("compact"):
            raise Unbounded("Tank has no bound for what compaction at the provider costs.", "context_management")


def _tools_overhead(tools: list[dict[str, Any]]) -> int | None:
    """Return the tokens that tools add beyond their bytes; None when the provider runs one of them."""
    added, is_bounded = TOOLS_OVERHEAD if tools else 0, True
    for tool in tools:
        kind = tool.get("type") or "custom"
        if kind == "custom":
            added += TOOL_OVERHEAD
        elif isinstance(kind, str) and kind.startswith(CLIENT_TOOLS):
            added += CLIENT_TOOL_OVERHEAD
        elif isinstance(kind, str) and kind.startswith(FEES):
            raise Unbounded(f"Tank has no price for the tool `{kind[:60]}`, which Anthropic charges extra.", "tools")
        else:
            is_bounded = False
    return added if is_bounded else None


def _input_classes(body: bytes) -> tuple[str, ...]:
    # Nothing is cached unless the request asks for it; an escape could hide the asking.
    if b"cache_control" not in body and b"\\u" not in body:
        return ("input",)
    if b'"1h"' not in body and b"\\u" not in body:
        return ("input", "cache_read", "cache_write_5m")
    return ("input", "cache_read", "cache_write_5m", "cache_write_1h")


def picture_tokens(size: Size | None) -> int:
    """Return the most tokens of a picture; the most of any when its size is not known.

    Anthropic documents width x height / 750 ("Vision", docs.claude.com), and for newer models a token for each patch of
    28 x 28 pixels; either after scaling a large picture down. Scaling up is not done: the larger of both is the most.
    """
    if size is None:
        return ANTHROPIC_IMAGE
    by_area = -(-size.width * size.height // PIXELS_PER_TOKEN)
    by_patches = -(-size.width // PATCH) * -(-size.height // PATCH)
    return min(ANTHROPIC_IMAGE, max(by_area, by_patches) + IMAGE_OVERHEAD)


@dataclass(slots=True)
class _AnthropicContent:
    """What content blocks hold besides text."""

    images: int = 0
    image_bytes: int = 0
    picture_tokens: int = 0
    unbounded: bool = False

    def add_all(self, content: object) -> None:
        if not isinstance(content, str):
            for block in dicts(content):
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
            self.picture_tokens += picture_tokens(size_of(data))
        else:
            self.unbounded = True

    def _add_document(self, source: object) -> None:
        kind = source.get("type") if isinstance(source, dict) else None
        if isinstance(source, dict) and kind == "content":
            self.add_all(source.get("content"))
        elif kind != "text":
            self.unbounded = True  # a PDF is text and pictures, compressed
