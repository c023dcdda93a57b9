"""Meters the calls of a LiteLLM proxy: one file, to be put beside LiteLLM's `config.yaml` as `tank_hook.py`.

    litellm_settings:
      callbacks: tank_hook.hook

It runs in LiteLLM's process, so it imports nothing but LiteLLM and the HTTP client that LiteLLM brings. `TANK_URL` says
where Tank is. The quota key is the caller's, in the header `x-tank-key`, or `TANK_KEY` for those who send none. A hold
that is not ended shows as unsettled after `TANK_EXPIRES_IN` seconds (900); Tank has `TANK_TIMEOUT` (10) to answer.

No model is called without a hold: a call that Tank refuses, cannot bound or cannot be asked about does not pass.
"""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import reduce
from typing import Any
from uuid import uuid4

import httpx
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import ProxyException

KEY_HEADER, TAGS_HEADER = "x-tank-key", "x-tank-tags"
# LiteLLM's name of a route: what Tank calls it, the output cap that LiteLLM can say to every provider, and where its
# router notes which model it chose. A client may write into the other place.
SURFACES = {
    "acompletion": ("chat/completions", "max_tokens", "metadata"),
    "aresponses": ("responses", "max_output_tokens", "litellm_metadata"),
    "anthropic_messages": ("messages", "max_tokens", "litellm_metadata"),
    "aembedding": ("embeddings", "", "metadata"),
}
# What LiteLLM reads itself and does not send on.
LITELLMS_OWN = {"metadata", "litellm_metadata", "model", "fallbacks", "num_retries", "cache", "guardrails", "headers"}
BEHIND_TANK = {"extra_body", "additional_drop_params", "drop_params", "modify_params"}
CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning")
# How the clients that LiteLLM uses call it when a provider was not reached, and when it did not answer.
NEVER_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ClientConnectorError", "ConnectionTimeoutError"}
MAYBE_SENT = {"APIConnectionError", "APITimeoutError", "TransportError", "TimeoutError", "CancelledError"}
ENDS = {"message_stop", "response.completed", "response.incomplete", "response.failed"}
SOONEST, LATEST, AT_LAST = 0.2, 30.0, 3600.0
"""Seconds: between two tries to tell Tank how a call ended, at first and at most; and in all."""
UNAVAILABLE = {"code": "meter_unavailable", "message": "Tank cannot be reached, so this call cannot be metered."}
log = logging.getLogger("tank")


class Denied(ProxyException):
    """A call may not pass: what LiteLLM answers then, as Tank said it."""

    # What the router looks at when a retry or fallback is refused. It tries a 429 again, and takes the deployment out.
    status_code = 400

    def __init__(self, status: int, error: Mapping[str, Any], **headers: str) -> None:
        self.error = dict(error)
        kinds = {"insufficient_quota": "insufficient_quota", "rate_limit_exceeded": "rate_limit_error"}
        kind = "server_error" if status >= 500 else kinds.get(error["code"], "invalid_request_error")
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(error["message"], kind, error.get("field"), status, sent, error["code"])

    def to_dict(self) -> dict[str, Any]:
        """Return the error as OpenAI shapes it, with Tank's code in place of the status."""
        kept = {name: value for name, value in self.error.items() if name in ("message", "code", "details")}
        return {"type": self.type, "param": self.param, **kept}


def unmetered(words: str, field_name: str | None = None) -> Denied:
    """Make the refusal of a call that nobody could meter."""
    return Denied(400, {"code": "unmetered", "message": words, "field": field_name}, x_should_retry="false")


class Tank:
    """Tank's metering API, as a LiteLLM process talks to it."""

    def __init__(self, url: str, timeout: float) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        self._client = httpx.AsyncClient(base_url=f"{url.rstrip('/')}/api/v1/metering", timeout=timeout, limits=limits)
        self._late: set[asyncio.Task[None]] = set()

    async def admit(self, secret: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Have a call held. Raises Denied, also when Tank does not answer."""
        try:
            answer = await self._post("admit", secret, asked, tries=2)
        except httpx.HTTPError:
            # It may have been held all the same.
            self.end_later(secret, "void", {"id": asked["id"]})
            raise Denied(503, UNAVAILABLE, retry_after="2") from None
        if answer.status_code != 200:
            raise _denied(answer)
        return dict(answer.json())

    async def end(self, secret: str, what: str, said: dict[str, Any]) -> dict[str, Any]:
        """Settle or void a call, and return what Tank says; nothing when it does not answer: then it is told later."""
        with suppress(httpx.HTTPError):
            answer = await self._post(what, secret, said)
            if _is_over(answer, what, said):
                return dict(answer.json()) if answer.status_code == 200 else {}
        self.end_later(secret, what, said)
        return {}

    def end_later(self, secret: str, what: str, said: dict[str, Any]) -> None:
        """Settle or void a call without waiting for it."""
        task = asyncio.get_running_loop().create_task(self._again(secret, what, said))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _again(self, secret: str, what: str, said: dict[str, Any]) -> None:
        pause, waited = SOONEST, 0.0
        while waited < AT_LAST:
            with suppress(httpx.HTTPError):
                answer = await self._post(what, secret, said)
                # What Tank does not know yet may be on its way: an admit that nobody waited for to its end.
                if _is_over(answer, what, said) and (answer.status_code != 404 or waited > LATEST):
                    return
            await asyncio.sleep(pause)
            pause, waited = min(2 * pause, LATEST), waited + pause
        log.error("Tank was not told how call %s ended: it stays held and will show as unsettled.", said["id"])

    async def _post(self, what: str, secret: str, said: dict[str, Any], tries: int = 1) -> Any:
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        content = json.dumps(said, ensure_ascii=False).encode(errors="replace")
        # A connection that was kept may have been closed meanwhile; the same id makes a second try safe.
        for _ in range(tries - 1):
            with suppress(httpx.NetworkError, httpx.RemoteProtocolError):
                return await self._client.post(f"/{what}", content=content, headers=headers)
        return await self._client.post(f"/{what}", content=content, headers=headers)


def _is_over(answer: Any, what: str, said: dict[str, Any]) -> bool:
    """Say whether an answer to a settle or void leaves nothing to try again."""
    if answer.status_code == 429 or answer.status_code >= 500:
        return False
    if answer.status_code != 200 and (what, answer.status_code) != ("void", 404):
        log.error("Tank refused to %s call %s: %s", what, said["id"], answer.text)
    return True


def _denied(answer: Any) -> Denied:
    error: dict[str, Any] = {}
    with suppress(ValueError, TypeError, KeyError):
        error = {"code": "", "message": "", **answer.json()["error"]}
    if not error or answer.status_code >= 500:
        return Denied(503, UNAVAILABLE, retry_after="2")
    kept = {name: value for name, value in answer.headers.items() if name in ("retry-after", "x-tank-remaining")}
    return Denied(answer.status_code, error, **({} if "retry-after" in kept else {"x-should-retry": "false"}), **kept)


def tokens_of(usage: object) -> dict[str, int] | None:
    """Return the token counts of LiteLLM's or OpenAI's usage in exclusive classes; None when there are none.

    What is read from a cache or written to one is inside the prompt's tokens there, also when Anthropic counted.
    """
    block = _plain(usage)
    names = ("prompt", "completion") if "prompt_tokens" in block else ("input", "output")
    prompt, output = (_count(block, f"{name}_tokens") for name in names)
    inside, outside = (_plain(block.get(f"{name}_tokens_details")) for name in names)
    if not prompt and not output:
        return None
    read = min(_count(inside, "cached_tokens") or _count(block, "cache_read_input_tokens"), prompt)
    written = _count(inside, "cache_write_tokens") or _count(inside, "cache_creation_tokens")
    written = min(written or _count(block, "cache_creation_input_tokens"), prompt - read)
    long_lived = _count(_plain(inside.get("cache_creation_token_details")), "ephemeral_1h_input_tokens")
    long_lived = min(long_lived or _count(_plain(inside.get("cache_write_tokens_details")), "ttl_12h_tokens"), written)
    reasoning = min(_count(outside, "reasoning_tokens"), output)
    counts = (prompt - read - written, read, written - long_lived, long_lived, output, reasoning)
    return dict(zip(CLASSES, counts, strict=True))


def _plain(thing: object) -> dict[str, Any]:
    """Return an object of LiteLLM's, whatever class it has, as a dict; empty for what is none."""
    if isinstance(thing, Mapping):
        return dict(thing)
    dump = getattr(thing, "model_dump", None)
    return dict(dump()) if callable(dump) else {}


def _count(block: dict[str, Any], name: str) -> int:
    return value if type(value := block.get(name)) is int and value > 0 else 0


@dataclass
class Told:
    """What an answer told of itself so far."""

    source: object = None  # the stream that it comes from, as LiteLLM's own class
    usage: dict[str, Any] = field(default_factory=dict)
    is_over: bool = False  # its last event was seen; streamed chat completions have none
    is_whole: bool = False  # it came to its end, although more may be told of it
    rest: str = ""  # of the text that was seen: the beginning of its last line
    model: str = ""
    upstream_id: str = ""
    service_tier: str = ""
    output_bytes: int = 0

    def see(self, thing: object) -> None:
        """Look at an answer, a chunk or an event of one."""
        for event in self._events(thing):
            self._look(event)
            for inner in ("message", "response"):  # where streams of messages and responses say who answers
                self._look(_plain(event.get(inner)))
            self.is_over |= event.get("type") in ENDS
            self.is_whole |= self.is_over or any(_text(one, "finish_reason") for one in _choices(event))

    def _events(self, thing: object) -> Iterator[dict[str, Any]]:
        if not isinstance(thing, bytes | str):
            yield _plain(thing)
            return
        # Server-sent events as a provider wrote them.
        text = thing.decode(errors="replace") if isinstance(thing, bytes) else thing
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            with suppress(ValueError):
                yield _plain(json.loads(line.removeprefix("data:"))) if line.startswith("data:") else {}

    def _look(self, event: dict[str, Any]) -> None:
        self.model = _text(event, "model") or self.model
        self.upstream_id = self.upstream_id or _text(event, "id")
        self.service_tier = _text(event, "service_tier") or self.service_tier
        self.usage = _merged(self.usage, event.get("usage"))
        self.output_bytes += _size(event)

    def said(self, *, is_left: bool = False) -> dict[str, Any]:
        """Return what a settle says of it: its counts, or its bound; an estimate of what broke off or was left."""
        names = {"model_returned": self.model, "upstream_id": self.upstream_id, "service_tier": self.service_tier}
        counts = self._counts()
        if not self.is_whole or (is_left and not counts):
            return {"settle_kind": "estimated", "output_bytes": self.output_bytes, **names}
        return {**names, **counts}

    def _counts(self) -> dict[str, Any]:
        # LiteLLM guesses at the end of a streamed completion, unless one of its chunks has the provider's count.
        chunks, usage = getattr(self.source, "chunks", None), self.usage
        if isinstance(chunks, list):
            usage = reduce(_merged, (getattr(chunk, "usage", None) for chunk in chunks), {})
        if "input_tokens" in usage and "input_tokens_details" not in usage:
            return {"usage": usage, "dialect": "anthropic"}
        tokens = tokens_of(usage)
        return {"tokens": tokens} if tokens else {}


def _merged(earlier: dict[str, Any], later: object) -> dict[str, Any]:
    """Return a usage block after a later, cumulative one; what that one does not count stays."""
    counts = {name: _plain(value) or value for name, value in _plain(later).items()}
    return earlier | {name: value for name, value in counts.items() if value or name not in earlier}


def _text(event: dict[str, Any], name: str) -> str:
    return value if isinstance(value := event.get(name), str) else ""


def _choices(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [_plain(choice) for choice in event.get("choices") or ()]


def _size(event: dict[str, Any]) -> int:
    """Return the bytes of output in an event of a stream."""
    parts = (*(choice.get("delta") for choice in _choices(event)), event.get("delta"), event.get("content_block"))
    return sum(map(_bytes, parts))


def _bytes(said: object) -> int:
    """Return the bytes of all text in something, wherever it is, but for what says its kind."""
    if isinstance(said, str):
        return len(said.encode(errors="replace"))
    if isinstance(said, list | tuple):
        return sum(map(_bytes, said))
    return sum(_bytes(value) for name, value in _plain(said).items() if name not in ("role", "type", "id"))


@dataclass
class Call:
    """A request that LiteLLM's proxy got, from its hold to its end; LiteLLM may try it more than once."""

    tank: Tank
    secret: str
    route: tuple[str, str, str]
    asked: dict[str, Any]
    """What is said at its admit, but for the id and the model."""
    # Not LiteLLM's own id: a client may choose that one, and would call for free with one that was settled.
    name: str = field(default_factory=lambda: uuid4().hex)
    holds: int = 0
    held: dict[str, Any] = field(default_factory=dict)
    """What Tank said of the hold that is open; empty when there is none."""
    serving: str = ""
    is_flying: bool = False
    """A provider was asked, and how that ended is not known yet."""
    stream: Told | None = None
    """What was seen of its stream, once that began."""
    headers: dict[str, str] = field(default_factory=dict)

    async def admit(self, model: str) -> "Call":
        """Get it held for a model. Raises Denied."""
        self.holds += 1
        name = self.name if self.holds == 1 else f"{self.name}.{self.holds}"
        self.held = await self.tank.admit(self.secret, {"id": name, "model": model, **self.asked})
        self.headers |= {"x-tank-model": self.held["model"], "x-tank-remaining": self.held["remaining"]}
        return self

    async def fly(self, group: str) -> dict[str, int]:
        """Let LiteLLM ask a provider, within the hold, or another one where that does not cover it. Raises Denied.

        Returns the output cap that the request has to get now, by its name, where it is another one than at first.
        """
        if self.stream is not None:  # a stream broke off, and LiteLLM asks somebody else to go on
            await self.settle(self.stream)
        if self.held and group not in ("", self.held["model"], *self.held["backups"]):
            await self.void()
        cap = {} if self.held else (await self.admit(group or self.serving)).cap
        self.serving, self.is_flying = group or self.held["model"], True
        return cap

    @property
    def cap(self) -> dict[str, int]:
        """Return the output cap that Tank put on a request that has none, by its name."""
        return {self.route[1]: self.held["output_cap"]} if self.route[1] and self.held["output_cap_inserted"] else {}

    async def settle(self, told: Told) -> None:
        """Charge what is known of an answer."""
        await self._end("settle", told.said())

    def leave(self) -> None:
        """Charge what is known of a stream that nobody reads any more, without waiting for it."""
        if self.held:
            self.tank.end_later(self.secret, "settle", self._ended((self.stream or Told()).said(is_left=True)))

    async def void(self) -> None:
        """Give the hold back that nothing was spent of."""
        await self._end("void", {})

    async def fail(self) -> None:
        """Give the hold of a call that failed back, unless a provider may have worked for it."""
        await (self.settle(self.stream or Told()) if self.is_flying else self.void())

    async def _end(self, what: str, said: dict[str, Any]) -> None:
        if self.held:
            told = await self.tank.end(self.secret, what, self._ended(said, what))
            names = {"remaining": "x-tank-remaining", "cost": "x-tank-cost"}
            self.headers |= {header: told[name] for name, header in names.items() if name in told}

    def _ended(self, said: dict[str, Any], what: str = "settle") -> dict[str, Any]:
        held, self.held, self.is_flying, self.stream = self.held, {}, False, None
        is_backup = what == "settle" and self.serving in held["backups"]
        return {"id": held["id"], **said, **({"model": self.serving} if is_backup else {})}


CALL: ContextVar[Call | None] = ContextVar("tank_call", default=None)
"""The call that a task of LiteLLM's, and the tasks that it starts, work for."""


def _taken(data: dict[str, Any], name: str) -> str:
    """Return a header of the request, and take it out, so that it is neither logged nor sent to a provider."""
    places = [data, *(data.get(place) for place in ("proxy_server_request", "metadata", "litellm_metadata"))]
    found = [place.get("headers") for place in places if isinstance(place, dict)]
    raw: Any = getattr(data.get("secret_fields"), "raw_headers", None)
    value = ""
    for headers in (raw, *found):
        for key in [key for key in headers or {} if key.lower() == name]:
            value = headers.pop(key) or value
    return value.strip()


def _tags(data: dict[str, Any]) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in _taken(data, TAGS_HEADER).split(",") if pair.strip())
    tags = {name.strip(): value.strip() for name, _, value in pairs}
    return {**tags, "litellm_call_id": str(data.get("litellm_call_id", ""))[:120]}


def _request(data: dict[str, Any]) -> dict[str, Any]:
    """Return the request as a provider will get it, as far as a client can say it."""
    for name in BEHIND_TANK & data.keys():
        raise unmetered(f"Leave `{name}` out: it changes a request after Tank has seen it.", name)
    body = _plain(_plain(data.get("proxy_server_request")).get("body"))
    names = (body.keys() | {"messages", "input", "system", "tools"}) - LITELLMS_OWN
    return {name: data[name] for name in names if data.get(name) is not None}


def _was_sent(error: BaseException) -> bool:
    """Say whether a provider may have worked for a try that failed: it was asked, and did not say that it refuses."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        if type(cause).__module__ == "litellm.exceptions":
            break  # that was an earlier try
        chain.append(cause)
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    return not names & NEVER_SENT and bool(names & MAYBE_SENT)


class TankHook(CustomLogger):
    """Holds a call before LiteLLM makes it, and settles it by what the provider says that it used."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        url = env.get("TANK_URL", "")
        if not url.startswith(("http://", "https://")):
            raise ValueError("TANK_URL has to say where Tank is, such as https://tank.example")
        self._tank = Tank(url, float(env.get("TANK_TIMEOUT") or 10))
        self._key, self._expires_in = env.get("TANK_KEY", "").strip(), int(env.get("TANK_EXPIRES_IN") or 900)

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Hold a call, once for each request of the proxy. Raises Denied."""
        CALL.set(None)
        secret = _taken(data, KEY_HEADER) or self._key
        if call_type not in SURFACES:
            raise unmetered(f"Tank meters chat completions, responses, messages and embeddings, and no {call_type}.")
        if not secret:
            words = f"Send your quota key as the header {KEY_HEADER}."
            raise Denied(401, {"code": "invalid_api_key", "message": words}, x_should_retry="false")
        route = SURFACES[call_type]
        asked = {"surface": route[0], "request": _request(data), "translates": True, "tags": _tags(data)}
        call = Call(self._tank, secret, route, {**asked, "expires_in": self._expires_in})
        CALL.set(await call.admit(str(data.get("model", ""))))
        notes = data.setdefault(route[2], {})  # LiteLLM's log keeps them, and tells by them what went past Tank
        notes["spend_logs_metadata"] = {**_plain(notes.get("spend_logs_metadata")), "tank_call": call.name}
        if call_type == "acompletion" and data.get("stream"):
            data["stream_options"] = {**_plain(data.get("stream_options")), "include_usage": True}
        return data | {"model": call.held["model"], **call.cap}

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> dict[str, Any]:
        """Let a provider be asked: the first time, again, or another one. Raises Denied."""
        call = CALL.get()
        if call is None:
            raise unmetered("This proxy calls no model without a hold of Tank's.")
        group = _text(_plain(kwargs.get(call.route[2])), "model_group")  # empty in a call that such a call makes
        return {**kwargs, **await call.fly(group)}

    async def async_post_call_failure_deployment_hook(
        self, request_data: Any, exception: Exception, call_type: Any, fallback_depth: int | None = None
    ) -> None:
        """Charge a try that a provider may have worked for; the next one needs a hold of its own."""
        call = CALL.get()
        if call is not None and call.is_flying:
            call.is_flying = _was_sent(exception)
            if call.is_flying:
                await call.fail()

    async def async_post_call_success_deployment_hook(self, request_data: Any, response: Any, call_type: Any) -> None:
        """Settle a call that was answered at once, before the client hears the answer."""
        call = CALL.get()
        if call is not None and call.is_flying:
            told = Told(is_whole=True)
            told.see(response)
            await call.settle(told)

    async def async_post_call_success_hook(self, data: Any, user_api_key_dict: Any, response: Any) -> None:
        """Give the hold of a call back that LiteLLM answered from its own cache."""
        call = CALL.get()
        if call is not None:
            await call.void()

    async def async_post_call_failure_hook(
        self, request_data: Any, original_exception: Exception, user_api_key_dict: Any, traceback_str: str | None = None
    ) -> None:
        """End a call that got no answer: given back, unless a provider may have worked for it."""
        call = CALL.get()
        if call is not None:
            await call.fail()

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncIterator[Any]:
        """Watch a stream, and settle it before its last event goes on."""
        call = CALL.get()
        if call is None:
            raise unmetered("This proxy streams nothing without a hold of Tank's.")
        asked = _plain(call.asked["request"].get("stream_options")).get("include_usage") is True
        try:
            async for chunk in response:
                call.stream = call.stream or Told(response)
                call.stream.see(chunk)
                if call.stream.is_over:
                    await call.settle(call.stream)
                for kept in _kept(chunk, asked=asked):
                    yield kept
            await call.settle(call.stream or Told(response))
        finally:
            call.leave()  # the client went away, or the stream broke off; settled already, it does nothing

    async def async_post_call_response_headers_hook(self, *args: Any, **kwargs: Any) -> dict[str, str] | None:
        """Say what the gateway says of a call."""
        call = CALL.get()
        return dict(call.headers) if call is not None else None


def _kept(chunk: Any, *, asked: bool) -> Iterator[Any]:
    """Keep the usage of a streamed chat completion from a client that did not ask for it."""
    choices = getattr(chunk, "choices", None) or []
    is_usage = hasattr(chunk, "choices") and getattr(chunk, "usage", None) is not None
    if asked or not is_usage or any(one.finish_reason for one in choices) or _size({"choices": choices}):
        yield chunk


hook = TankHook()
