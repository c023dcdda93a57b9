"""The OpenAI dialect: chat completions, responses, embeddings."""

from collections.abc import Iterable
from typing import Any

import orjson

from allocations.gateway.dialect import (
    Ask,
    Dialect,
    Headers,
    Reading,
    StreamWatch,
    Surface,
    Verdict,
    as_object,
    named_model,
    required_messages,
    stream_flag,
    text_of,
    text_size,
)
from allocations.gateway.entries import ModelEntry
from allocations.gateway.refusal import Kind, Refusal, bad_request
from allocations.gateway.routing import AUTO
from allocations.metering.openai_bounds import openai_chat_demand, openai_embedding_demand, openai_response_demand
from allocations.metering.usage import openai_usage

# kind: status, type, code
SHAPES: dict[Kind, tuple[int, str, str | None]] = {
    Kind.BAD_KEY: (401, "invalid_request_error", "invalid_api_key"),
    Kind.BAD_REQUEST: (400, "invalid_request_error", None),
    Kind.FORBIDDEN: (403, "invalid_request_error", "permission_denied"),
    Kind.NO_SUCH_PATH: (404, "invalid_request_error", "unknown_url"),
    Kind.WRONG_METHOD: (405, "invalid_request_error", "method_not_supported"),
    Kind.NO_SUCH_MODEL: (404, "invalid_request_error", "model_not_found"),
    Kind.SLOW_REQUEST: (408, "invalid_request_error", "request_timeout"),
    Kind.TOO_LARGE: (413, "invalid_request_error", "request_too_large"),
    Kind.BUDGET: (429, "insufficient_quota", "insufficient_quota"),
    Kind.TOO_FAST: (429, "rate_limit_error", "rate_limit_exceeded"),
    Kind.UNAVAILABLE: (503, "server_error", "meter_unavailable"),
    Kind.UPSTREAM_BROKEN: (502, "server_error", "upstream_error"),
    Kind.UPSTREAM_SLOW: (504, "server_error", "upstream_timeout"),
    Kind.INTERNAL: (500, "server_error", "internal_error"),
}
# The SDK retries every 429 unless it is told not to.
NOT_AGAIN: Headers = ((b"x-should-retry", b"false"),)
DONE = b"[DONE]"
RESPONSE_SIGNS = (b"response.created", b"response.completed", b"response.incomplete", b"response.failed", b"error")


class OpenAi(Dialect):
    """Errors, lists and credentials as OpenAI shapes them."""

    name = "openai"

    def credential(self, secret: str) -> dict[str, str]:
        """Return the bearer token's header."""
        return {"Authorization": f"Bearer {secret}"}

    def refuse(self, refusal: Refusal, request_id: str) -> tuple[int, Headers, bytes]:
        """Return status, headers and body of an error answer."""
        status, _, _ = SHAPES[refusal.kind]
        headers = refusal.headers + (NOT_AGAIN if refusal.kind is Kind.BUDGET else ())
        return status, headers, orjson.dumps(_error(refusal))

    def error_event(self, refusal: Refusal, request_id: str) -> bytes:
        """Return the event at which the SDK raises."""
        return b"data: " + orjson.dumps(_error(refusal)) + b"\n\n"

    def model(self, model: ModelEntry) -> dict[str, Any]:
        """Return a model as OpenAI describes it; it was created when it got its first rate."""
        created = int(model.rates[0].valid_from.timestamp())
        return {"id": model.name, "object": "model", "created": created, "owned_by": model.provider.name}

    def model_list(self, models: Iterable[ModelEntry]) -> dict[str, Any]:
        """Return the models as OpenAI lists them."""
        return {"object": "list", "data": [self.model(model) for model in models]}


def _error(refusal: Refusal) -> dict[str, Any]:
    _, kind, code = SHAPES[refusal.kind]
    error = {"message": refusal.message, "type": kind, "param": refusal.parameter, "code": refusal.code or code}
    return {"error": error | ({"details": refusal.details} if refusal.details else {})}


OPENAI = OpenAi()


class ChatCompletions(Surface):
    """`POST /v1/chat/completions`."""

    dialect = OPENAI
    path = "chat/completions"
    cap_name = "max_completion_tokens"
    conversation = "messages"

    def ask(self, payload: dict[str, Any], body: bytes) -> Ask:
        """Read a chat completion request; raises Refusal and `bounds.Unbounded`."""
        model, is_stream = named_model(payload), stream_flag(payload)
        required_messages(payload)
        changes = _usage_order(payload) if is_stream else {}
        return Ask(
            model=model,
            is_stream=is_stream,
            demand=openai_chat_demand(payload, body),
            changes=changes,
            drops_usage=bool(changes),
        )

    def read(self, answer: dict[str, Any]) -> Reading:
        """Read a chat completion."""
        return Reading(
            tokens=openai_usage(answer.get("usage")),
            model=text_of(answer, "model"),
            service_tier=text_of(answer, "service_tier"),
        )

    def watch(self, ask: Ask) -> "ChatWatch":
        """Watch the chunks of a streamed completion."""
        return ChatWatch(ask.drops_usage)


USAGE: dict[str, Any] = {"include_usage": True}
USAGE_ORDER = {"stream_options": USAGE}


def _usage_order(payload: dict[str, Any]) -> dict[str, Any]:
    """Return what to set so that the stream ends with its usage; nothing when the client ordered that itself."""
    options = payload.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise bad_request("`stream_options` must be an object.", "stream_options")
    if options and options.get("include_usage") is True:
        return {}
    return {"stream_options": options | USAGE} if options else USAGE_ORDER


class ChatWatch(StreamWatch):
    """Watches `chat.completion.chunk` events."""

    __slots__ = ("_drops_usage",)

    def __init__(self, drops_usage: bool) -> None:
        super().__init__()
        self._drops_usage = drops_usage

    def is_telling(self, chunk: bytes) -> bool:
        """Say whether usage, an error or the end may be in a chunk."""
        return DONE in chunk or b'"usage":{' in chunk or b'"usage": {' in chunk or b'"error"' in chunk

    def judge(self, data: bytes) -> Verdict:
        """Take note of one chunk."""
        if data == DONE:
            return Verdict.LAST
        chunk = as_object(data)
        if chunk is None:
            return Verdict.PASS
        if chunk.get("error") is not None and not chunk.get("choices"):
            self.is_error = True
            return Verdict.LAST
        return self._judge_chunk(chunk)

    def _judge_chunk(self, chunk: dict[str, Any]) -> Verdict:
        reading, choices = self.noted, chunk.get("choices")
        if not reading.model:
            reading.model = text_of(chunk, "model")
        if isinstance(choices, list):
            for choice in choices:
                self.written += _delta_size(choice)
        if chunk.get("usage") is None:
            return Verdict.PASS
        return self._judge_usage(chunk, is_last=not choices)

    def _judge_usage(self, chunk: dict[str, Any], *, is_last: bool) -> Verdict:
        tokens = openai_usage(chunk["usage"])
        if tokens is None:
            return Verdict.PASS
        self.noted.tokens = tokens
        self.noted.service_tier = text_of(chunk, "service_tier")
        self.is_final = is_last
        return Verdict.DROP if is_last and self._drops_usage else Verdict.PASS


def _delta_size(choice: object) -> int:
    delta = choice.get("delta") if isinstance(choice, dict) else None
    if not isinstance(delta, dict) or not delta:
        return 0
    content = delta.get("content")
    return text_size(content) if isinstance(content, str) and len(delta) <= 2 else text_size(delta)


class Responses(Surface):
    """`POST /v1/responses`."""

    dialect = OPENAI
    path = "responses"
    cap_name = "max_output_tokens"
    conversation = "input"

    def ask(self, payload: dict[str, Any], body: bytes) -> Ask:
        """Read a request for a response; raises Refusal and `bounds.Unbounded`."""
        model, is_stream = named_model(payload), stream_flag(payload)
        given = payload.get("input")
        if not isinstance(given, str | list) and given is not None:
            raise bad_request("`input` must be a text or a list of items.", "input")
        return Ask(model=model, is_stream=is_stream, demand=openai_response_demand(payload, body))

    def read(self, answer: dict[str, Any]) -> Reading:
        """Read a response."""
        return Reading(
            tokens=openai_usage(answer.get("usage")),
            model=text_of(answer, "model"),
            service_tier=text_of(answer, "service_tier"),
        )

    def error_event(self, refusal: Refusal, request_id: str) -> bytes:
        """Return the event as this API has it, with the part at which the SDK raises."""
        error = _error(refusal)
        event = {name: error["error"][name] for name in ("code", "message", "param")}
        return b"event: error\ndata: " + orjson.dumps({"type": "error"} | event | error) + b"\n\n"

    def watch(self, ask: Ask) -> "ResponseWatch":
        """Watch the events of a streamed response."""
        return ResponseWatch()


class ResponseWatch(StreamWatch):
    """Watches `response.*` events: the last one carries the whole response with its usage."""

    __slots__ = ()

    def is_telling(self, chunk: bytes) -> bool:
        """Say whether more than a delta may be in a chunk."""
        return any(sign in chunk for sign in RESPONSE_SIGNS)

    def judge(self, data: bytes) -> Verdict:
        """Take note of one event."""
        event = as_object(data) or {}
        match event.get("type"):
            case "response.created":
                self._note(event.get("response"))
            case "response.completed" | "response.incomplete":
                self._note(event.get("response"))
                return Verdict.LAST
            case "response.failed":
                self._note(event.get("response"))
                self.is_error = True
                self.is_final = self.noted.tokens is not None
                return Verdict.LAST
            case "error":
                self.is_error = True
                return Verdict.LAST
            case str(kind) if kind.endswith(".delta") and event.get("delta") is not None:
                self.written += text_size(event["delta"])
        return Verdict.PASS

    def _note(self, response: object) -> None:
        if isinstance(response, dict):
            self.noted.tokens = openai_usage(response.get("usage"))
            self.noted.model = text_of(response, "model") or self.noted.model
            self.noted.service_tier = text_of(response, "service_tier")


class Embeddings(Surface):
    """`POST /v1/embeddings`."""

    dialect = OPENAI
    path = "embeddings"
    cap_name = ""
    may_fall = False  # vectors of two models cannot be compared

    def ask(self, payload: dict[str, Any], body: bytes) -> Ask:
        """Read an embeddings request; raises Refusal."""
        model = named_model(payload)
        if model == AUTO:
            raise bad_request("Embeddings need the name of one model: vectors of two cannot be compared.", "model")
        if not isinstance(payload.get("input"), str | list):
            raise bad_request("`input` must be a text, a list of texts, or lists of token numbers.", "input")
        return Ask(model=model, is_stream=False, demand=openai_embedding_demand(payload, body))

    def read(self, answer: dict[str, Any]) -> Reading:
        """Read embeddings."""
        return Reading(tokens=openai_usage(answer.get("usage")), model=text_of(answer, "model"))

    def watch(self, ask: Ask) -> ChatWatch:
        """Watch a stream, which no provider of embeddings sends."""
        return ChatWatch(drops_usage=False)
