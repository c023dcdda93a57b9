"""The sandbox's answers in the shape of OpenAI's Responses API."""

from collections.abc import Iterator
from typing import Any

import orjson

from allocations.sandbox import openai_shape
from allocations.sandbox.answer import Answer, Wish, wish_for
from allocations.sandbox.openai_shape import CREATED, chosen, dicts_of

CAPS = ("max_output_tokens",)
# Shared with the other surfaces of the dialect.
error, models = openai_shape.error, openai_shape.models
# What a response repeats of its request, and what it says where the request says nothing.
REPEATED: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "model": None,
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}


def problem(payload: dict[str, Any]) -> str:
    """Return what is wrong with a request; empty when nothing is."""
    return "" if isinstance(payload.get("input"), str | list) else "`input` must be a text or a list."


def wish(payload: dict[str, Any]) -> Wish:
    """Return what shape of answer a request asks for."""
    text = payload.get("text")
    tools = [(tool.get("name"), tool.get("parameters")) for tool in dicts_of(payload.get("tools"))]
    return wish_for(text.get("format") if isinstance(text, dict) else None, chosen(payload), tools)


def whole(payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None) -> dict[str, Any]:
    """Return a response."""
    status = "incomplete" if answer.is_truncated else "completed"
    return _response(payload, answer, status, [_item(answer, answer.text, status)], usage)


def events(payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None) -> Iterator[bytes]:
    """Yield the events of a streamed response."""
    for number, (kind, fields) in enumerate(_steps(payload, answer, usage)):
        document = {"type": kind, "sequence_number": number} | fields
        yield b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(document))


def _steps(
    payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    started = _response(payload, answer, "in_progress", [], None)
    yield "response.created", {"response": started}
    yield "response.in_progress", {"response": started}
    item = _item(answer, "", "in_progress") | ({} if answer.tool else {"content": []})
    yield "response.output_item.added", {"output_index": 0, "item": item}
    yield from _tool_steps(answer, item["id"]) if answer.tool else _text_steps(answer, item["id"])
    end = whole(payload, answer, usage)
    yield "response.output_item.done", {"output_index": 0, "item": end["output"][0]}
    yield f"response.{end['status']}", {"response": end}


def _text_steps(answer: Answer, item_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    place = {"item_id": item_id, "output_index": 0, "content_index": 0}
    yield "response.content_part.added", place | {"part": _text("")}
    for piece in answer.pieces:
        yield "response.output_text.delta", place | {"delta": piece, "logprobs": []}
    yield "response.output_text.done", place | {"text": answer.text, "logprobs": []}
    yield "response.content_part.done", place | {"part": _text(answer.text)}


def _tool_steps(answer: Answer, item_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    place = {"item_id": item_id, "output_index": 0}
    for piece in answer.pieces:
        yield "response.function_call_arguments.delta", place | {"delta": piece}
    done = {"name": answer.tool, "arguments": answer.text}
    yield "response.function_call_arguments.done", place | done


def usage(payload: dict[str, Any], answer: Answer, output_tokens: int) -> dict[str, Any]:
    """Return the usage block."""
    return {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.input_tokens + output_tokens,
    }


def error_event(message: str) -> bytes:
    """Return the event with which a stream fails."""
    failed = {"type": "error", "sequence_number": 0, "code": "server_error", "message": message, "param": None}
    return b"event: error\ndata: %b\n\n" % orjson.dumps(failed)


def _response(
    payload: dict[str, Any], answer: Answer, status: str, output: list[dict[str, Any]], usage: dict[str, Any] | None
) -> dict[str, Any]:
    repeated = {name: default if payload.get(name) is None else payload[name] for name, default in REPEATED.items()}
    reason = {"reason": "max_output_tokens"} if status == "incomplete" else None
    head = {"id": f"resp_{answer.serial}", "object": "response", "created_at": CREATED, "status": status, "error": None}
    rest = {"incomplete_details": reason, "output": output, "service_tier": "default", "usage": usage}
    return head | repeated | rest


def _item(answer: Answer, text: str, status: str) -> dict[str, Any]:
    if answer.tool:
        call = {"id": f"fc_{answer.serial}", "call_id": f"call_{answer.serial}"}
        return {"type": "function_call", "status": status, "name": answer.tool, "arguments": text} | call
    message = {"type": "message", "id": f"msg_{answer.serial}", "status": status, "role": "assistant"}
    return message | {"content": [_text(text)]}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
