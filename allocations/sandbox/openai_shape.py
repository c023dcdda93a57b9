"""The sandbox's answers in OpenAI's shape."""

from collections.abc import Iterator
from typing import Any

import orjson

from allocations.sandbox.answer import ANY_TOOL, Answer, Wish, wish_for

CREATED = 1_767_225_600  # a fixed moment: the sandbox's answers are the same every time
CAPS = ("max_completion_tokens", "max_tokens")


def problem(payload: dict[str, Any]) -> str:
    """Return what is wrong with a request; empty when nothing is."""
    return "" if isinstance(payload.get("messages"), list) else "`messages` must be a list."


def wish(payload: dict[str, Any]) -> Wish:
    """Return what shape of answer a request asks for."""
    form = payload.get("response_format")
    inner = form.get("json_schema") if isinstance(form, dict) else None
    functions = [tool.get("function") for tool in dicts_of(payload.get("tools"))]
    tools = [(inner.get("name"), inner.get("parameters")) for inner in functions if isinstance(inner, dict)]
    return wish_for(inner if isinstance(inner, dict) else form, chosen(payload), tools)


def chosen(payload: dict[str, Any]) -> str:
    """Return the name of the tool that a request makes the model call; empty when it may answer as it likes."""
    choice = payload.get("tool_choice")
    if choice == "required":
        return ANY_TOOL
    function = choice.get("function", choice) if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def dicts_of(value: object) -> list[dict[str, Any]]:
    """Return the objects of a list; none when it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def whole(payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None) -> dict[str, Any]:
    """Return a chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tool:
        message |= {"content": None, "tool_calls": [_call(answer, answer.text)]}
    choice = {"message": message, "logprobs": None, "finish_reason": _finish(answer)}
    choices = [{"index": index} | choice for index in range(choices_of(payload))]
    document = _head(payload, answer, "chat.completion") | {"choices": choices}
    return document | ({"usage": usage} if usage else {})


def events(payload: dict[str, Any], answer: Answer, usage: dict[str, Any] | None) -> Iterator[bytes]:
    """Yield the events of a streamed chat completion."""
    head, options = _head(payload, answer, "chat.completion.chunk"), payload.get("stream_options")
    wants_usage = isinstance(options, dict) and options.get("include_usage") is True
    rest = {"usage": None} if wants_usage else {}
    for index in range(choices_of(payload)):
        yield _chunk(head, index, {"role": "assistant", "content": None if answer.tool else ""}, None, rest)
        if answer.tool:
            yield _chunk(head, index, {"tool_calls": [{"index": 0} | _call(answer, "")]}, None, rest)
        for piece in answer.pieces:
            yield _chunk(head, index, _delta(answer, piece), None, rest)
        yield _chunk(head, index, {}, _finish(answer), rest)
    if wants_usage and usage:
        yield _event(head | {"choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def usage(payload: dict[str, Any], answer: Answer, output_tokens: int) -> dict[str, Any]:
    """Return the usage block."""
    output = output_tokens * choices_of(payload)
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": output,
        "total_tokens": answer.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def error(status: int, message: str) -> dict[str, Any]:
    """Return an error's body."""
    kinds = {429: ("requests", "rate_limit_exceeded"), 401: ("invalid_request_error", "invalid_api_key")}
    kind, code = kinds.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_event(message: str) -> bytes:
    """Return the event with which a stream fails."""
    return _event(error(500, message))


def models(names: list[str]) -> dict[str, Any]:
    """Return the list of models."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": CREATED, "owned_by": "sandbox"} for name in names],
    }


def choices_of(payload: dict[str, Any]) -> int:
    """Return how many choices a request asks for."""
    wanted = payload.get("n")
    return wanted if type(wanted) is int and 1 <= wanted <= 128 else 1


def _head(payload: dict[str, Any], answer: Answer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.serial}",
        "object": kind,
        "created": CREATED,
        "model": payload.get("model"),
        "service_tier": "default",
    }


def _chunk(head: dict[str, Any], index: int, delta: dict[str, Any], finish: str | None, rest: dict[str, Any]) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _event(head | {"choices": [choice]} | rest)


def _call(answer: Answer, arguments: str) -> dict[str, Any]:
    function = {"name": answer.tool, "arguments": arguments}
    return {"id": f"call_{answer.serial}", "type": "function", "function": function}


def _delta(answer: Answer, piece: str) -> dict[str, Any]:
    if answer.tool:
        return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
    return {"content": piece}


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"


def _finish(answer: Answer) -> str:
    return "length" if answer.is_truncated else "tool_calls" if answer.tool else "stop"
