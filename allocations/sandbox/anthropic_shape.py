"""The sandbox's answers in Anthropic's shape."""

from collections.abc import Iterator
from typing import Any

import orjson

from allocations.sandbox import openai_shape
from allocations.sandbox.answer import ANY_TOOL, Answer, Wish, wish_for
from allocations.sandbox.openai_shape import dicts_of

CAPS = ("max_tokens",)
# Both dialects want a list of messages.
problem = openai_shape.problem
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def wish(payload: dict[str, Any]) -> Wish:
    """Return what shape of answer a request asks for."""
    config, choice = payload.get("output_config"), payload.get("tool_choice")
    tools = [(tool.get("name"), tool.get("input_schema")) for tool in dicts_of(payload.get("tools"))]
    named = ""
    if isinstance(choice, dict):
        named = ANY_TOOL if choice.get("type") == "any" else str(choice.get("name") or "")
    return wish_for(config.get("format") if isinstance(config, dict) else None, named, tools)


def whole(payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None) -> dict[str, Any]:
    """Return a message."""
    content: list[dict[str, Any]] = [{"type": "text", "text": answer.text}]
    if answer.tool:
        content = [_tool_use(answer) | {"input": {} if answer.is_truncated else orjson.loads(answer.text)}]
    document = _head(payload, answer) | {"content": content, "stop_reason": _stop(answer), "stop_sequence": None}
    return document | ({"usage": usage} if usage else {})


def events(payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None) -> Iterator[bytes]:
    """Yield the events of a streamed message."""
    start = _head(payload, answer) | {"content": [], "stop_reason": None, "stop_sequence": None}
    yield _event("message_start", message=start | ({"usage": usage | {"output_tokens": 1}} if usage else {}))
    block = _tool_use(answer) | {"input": {}} if answer.tool else {"type": "text", "text": ""}
    yield _event("content_block_start", index=0, content_block=block)
    yield _event("ping")
    for piece in answer.pieces:
        delta = {"type": "input_json_delta", "partial_json": piece}
        yield _event(
            "content_block_delta", index=0, delta=delta if answer.tool else {"type": "text_delta", "text": piece}
        )
    yield _event("content_block_stop", index=0)
    end = {"delta": {"stop_reason": _stop(answer), "stop_sequence": None}}
    yield _event("message_delta", **end, **({"usage": {"output_tokens": usage["output_tokens"]}} if usage else {}))
    yield _event("message_stop")


def usage(payload: dict[str, Any], answer: Answer, output_tokens: int) -> dict[str, Any]:
    """Return the usage block."""
    return {
        "input_tokens": answer.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def error(status: int, message: str) -> dict[str, Any]:
    """Return an error's body."""
    kind = KINDS.get(status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sandbox"}


def error_event(message: str) -> bytes:
    """Return the event with which a stream fails."""
    return b"event: error\ndata: " + orjson.dumps(error(529, message)) + b"\n\n"


def models(names: list[str]) -> dict[str, Any]:
    """Return the list of models."""
    data = [{"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in names]
    return {"data": data, "first_id": names[0], "last_id": names[-1], "has_more": False}


def _head(payload: dict[str, Any], answer: Answer) -> dict[str, Any]:
    return {"id": f"msg_{answer.serial}", "type": "message", "role": "assistant", "model": payload.get("model")}


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps({"type": kind} | fields))


def _stop(answer: Answer) -> str:
    return "max_tokens" if answer.is_truncated else "tool_use" if answer.tool else "end_turn"


def _tool_use(answer: Answer) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{answer.serial}", "name": answer.tool}
