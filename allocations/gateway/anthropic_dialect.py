"""The Anthropic dialect: messages, and counting their tokens."""

from collections.abc import Iterable
from typing import Any

import orjson

from allocations.gateway.dialect import (
    Ask,
    Dialect,
    FreeSurface,
    Headers,
    Reading,
    StreamWatch,
    Surface,
    Verdict,
    as_object,
    named_model,
    required_messages,
    stream_flag,
    text_size,
)
from allocations.gateway.entries import ModelEntry
from allocations.gateway.refusal import Kind, Refusal
from allocations.metering.anthropic_bounds import anthropic_messages_demand
from allocations.metering.usage import anthropic_usage, merged

# kind: status, type
SHAPES: dict[Kind, tuple[int, str]] = {
    Kind.BAD_KEY: (401, "authentication_error"),
    Kind.BAD_REQUEST: (400, "invalid_request_error"),
    Kind.FORBIDDEN: (403, "permission_error"),
    Kind.NO_SUCH_PATH: (404, "not_found_error"),
    Kind.WRONG_METHOD: (405, "invalid_request_error"),
    Kind.NO_SUCH_MODEL: (404, "not_found_error"),
    Kind.SLOW_REQUEST: (408, "timeout_error"),
    Kind.TOO_LARGE: (413, "request_too_large"),
    Kind.BUDGET: (402, "billing_error"),
    Kind.TOO_FAST: (429, "rate_limit_error"),
    Kind.UNAVAILABLE: (503, "api_error"),
    Kind.UPSTREAM_BROKEN: (502, "api_error"),
    Kind.UPSTREAM_SLOW: (504, "timeout_error"),
    Kind.INTERNAL: (500, "api_error"),
}
NOT_AGAIN: Headers = ((b"x-should-retry", b"false"),)
# What a delta may hold of the answer's own text.
WRITTEN = ("text", "thinking", "partial_json")


class Anthropic(Dialect):
    """Errors, lists and credentials as Anthropic shapes them."""

    name = "anthropic"

    def credential(self, secret: str) -> dict[str, str]:
        """Return the API key's header."""
        return {"x-api-key": secret}

    def refuse(self, refusal: Refusal, request_id: str) -> tuple[int, Headers, bytes]:
        """Return status, headers and body of an error answer."""
        headers = (*refusal.headers, (b"request-id", request_id.encode()))
        if refusal.kind is Kind.BUDGET:
            headers += NOT_AGAIN
        return SHAPES[refusal.kind][0], headers, orjson.dumps(_error(refusal, request_id))

    def error_event(self, refusal: Refusal, request_id: str) -> bytes:
        """Return the event at which the SDK raises."""
        return b"event: error\ndata: " + orjson.dumps(_error(refusal, request_id)) + b"\n\n"

    def model(self, model: ModelEntry) -> dict[str, Any]:
        """Return a model as Anthropic describes it; it was created when it got its first rate."""
        created = f"{model.rates[0].valid_from:%Y-%m-%dT%H:%M:%SZ}"
        return {"type": "model", "id": model.name, "display_name": model.name, "created_at": created}

    def model_list(self, models: Iterable[ModelEntry]) -> dict[str, Any]:
        """Return the models as Anthropic lists them, on one page."""
        data = [self.model(model) for model in models]
        first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        return {"data": data, "first_id": first, "last_id": last, "has_more": False}


def _error(refusal: Refusal, request_id: str) -> dict[str, Any]:
    error: dict[str, Any] = {"type": SHAPES[refusal.kind][1], "message": refusal.message}
    if refusal.details:
        error["details"] = refusal.details
    return {"type": "error", "error": error, "request_id": request_id}


ANTHROPIC = Anthropic()


class Messages(Surface):
    """`POST /v1/messages`."""

    dialect = ANTHROPIC
    path = "messages"
    cap_name = "max_tokens"
    conversation = "messages"

    def ask(self, payload: dict[str, Any], body: bytes) -> Ask:
        """Read a messages request; raises Refusal and `bounds.Unbounded`."""
        model, is_stream = named_model(payload), stream_flag(payload)
        required_messages(payload)
        return Ask(model=model, is_stream=is_stream, demand=anthropic_messages_demand(payload, body))

    def read(self, answer: dict[str, Any]) -> Reading:
        """Read a message."""
        usage = answer.get("usage")
        tier = usage.get("service_tier") if isinstance(usage, dict) else None
        return Reading(tokens=anthropic_usage(usage), model=_text(answer.get("model")), service_tier=_text(tier))

    def watch(self, ask: Ask) -> "MessageWatch":
        """Watch the events of a streamed message."""
        return MessageWatch()


COUNT_TOKENS = FreeSurface(ANTHROPIC, "messages/count_tokens")


class MessageWatch(StreamWatch):
    """Watches `message_start`, deltas and `message_stop`. The usage of deltas is cumulative."""

    __slots__ = ("_usage",)

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}

    def is_telling(self, chunk: bytes) -> bool:
        """Say whether more than content may be in a chunk."""
        return b"message_" in chunk or b"error" in chunk

    def judge(self, data: bytes) -> Verdict:
        """Take note of one event."""
        event = as_object(data) or {}
        match event.get("type"):
            case "content_block_delta":
                self._note_text(event.get("delta"))
            case "message_start":
                self._note_start(event.get("message"))
            case "message_delta":
                self._note_end(event)
            case "message_stop":
                return Verdict.LAST
            case "error":
                self.is_error = True
                return Verdict.LAST
        return Verdict.PASS

    def _note_text(self, delta: object) -> None:
        if isinstance(delta, dict):
            self.written += sum(text_size(delta[name]) for name in WRITTEN if delta.get(name) is not None)

    def _note_start(self, message: object) -> None:
        if isinstance(message, dict):
            self._note_usage(message.get("usage"))
            self.noted.model = _text(message.get("model"))

    def _note_end(self, event: dict[str, Any]) -> None:
        self._note_usage(event.get("usage"))
        delta = event.get("delta")
        self.is_final = isinstance(delta, dict) and delta.get("stop_reason") is not None

    def _note_usage(self, block: object) -> None:
        if isinstance(block, dict):
            self._usage = merged(self._usage, block)
            self.noted.tokens = anthropic_usage(self._usage)
            self.noted.service_tier = _text(self._usage.get("service_tier"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
