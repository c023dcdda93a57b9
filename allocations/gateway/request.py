"""One HTTP request as it came: its headers sorted by what becomes of them, and its body within limits."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum, auto
from functools import lru_cache
from typing import Any

from allocations.gateway.refusal import Kind, Refusal, bad_request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Not for upstream: what belongs to this connection, who the caller is to us, how it came here, and what would
# choose another account than the one whose credential the gateway uses.
CONSUMED = frozenset(
    b"accept-encoding authorization connection content-length cookie expect forwarded host keep-alive "
    b"openai-organization openai-project origin proxy-authenticate proxy-authorization proxy-connection referer te "
    b"trailer transfer-encoding upgrade via x-api-key x-forwarded-for x-forwarded-host x-forwarded-port "
    b"x-forwarded-proto x-forwarded-server x-real-ip".split()
)
KEPT_HERE = frozenset(b"authorization x-api-key content-length content-encoding anthropic-version x-tank-tags".split())
OURS = b"x-tank-"
SANDBOX = b"x-sandbox-"

MOST_TAGS = 16
TAG = re.compile(r"([A-Za-z0-9_.-]{1,40})=([ -~]{1,120})")
LONGEST_TAGS = 2048


class Way(Enum):
    """Where a header goes."""

    UPSTREAM = auto()
    SANDBOX = auto()
    NOWHERE = auto()


UPSTREAM = Way.UPSTREAM


@lru_cache(maxsize=2048)
def way_of(name: bytes) -> tuple[Way, str, bool]:
    """Return where a header goes, its name there, and whether it is one that is read here."""
    is_kept = name in KEPT_HERE
    if name in CONSUMED or name.startswith(OURS):
        return Way.NOWHERE, "", is_kept
    return Way.SANDBOX if name.startswith(SANDBOX) else UPSTREAM, name.decode("latin-1"), is_kept


class Request:
    """A request's headers, read once."""

    __slots__ = (
        "_kept",
        "asked",
        "id",
        "method",
        "model",
        "path",
        "query",
        "sandbox",
        "size",
        "status",
        "upstream",
    )

    def __init__(self, scope: Scope) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.id = ""
        """The hold's request id, once there is one."""
        self.status = 0
        """Of its answer, once that has begun and no error can be sent any more."""
        self.asked = ""
        """The model that its body names, once it is read."""
        self.model = ""
        """The same, when Tank has such a model."""
        self.size: int | None = None
        """How many bytes its body has, once it is read."""
        self.upstream: list[tuple[str, str]] = []
        """What goes to the provider."""
        self.sandbox: dict[str, str] = {}
        """What goes to the sandbox only."""
        self._kept: dict[bytes, bytes] = {}
        upstream, kept = self.upstream, self._kept
        for name, value in scope["headers"]:
            way, text, is_kept = way_of(name)
            if is_kept:
                kept.setdefault(name, value)
            if way is UPSTREAM:
                upstream.append((text, value.decode("latin-1")))
            elif way is Way.SANDBOX:
                self.sandbox[text] = value.decode("latin-1")

    def forget(self) -> None:
        """Free the memory of what went to the provider, which has answered."""
        self.upstream, self.sandbox = [], {}

    def header(self, name: bytes) -> str:
        """Return one of the headers in `KEPT_HERE`, empty when it is missing."""
        return self._kept.get(name, b"").decode("latin-1")

    @property
    def secret(self) -> str:
        """Return the key's secret, from `Authorization: Bearer` or `x-api-key`; empty when there is none."""
        scheme, _, bearer = self.header(b"authorization").partition(" ")
        return bearer.strip() if scheme.lower() == "bearer" and bearer else self.header(b"x-api-key").strip()

    def tags(self) -> dict[str, str]:
        """Return the tags of `x-tank-tags: workflow=triage,step=2`. Raises Refusal."""
        text = self.header(b"x-tank-tags")
        if not text:
            return {}
        pairs = [TAG.fullmatch(pair.strip()) for pair in text.split(",")]
        if len(text) > LONGEST_TAGS or len(pairs) > MOST_TAGS or None in pairs:
            raise bad_request(
                f"`x-tank-tags` holds up to {MOST_TAGS} tags such as `workflow=triage,step=2`: names of up to 40 "
                "letters, digits, dots, dashes and underscores, values of up to 120 ASCII characters.",
                "x-tank-tags",
            )
        return {match[1]: match[2] for match in pairs if match}


async def read_body(request: Request, receive: Receive, *, most_bytes: int, most_seconds: float) -> bytes:
    """Return the request's body. Raises Refusal when it is too large, too slow, compressed or cut short."""
    if request.header(b"content-encoding") not in {"", "identity"}:
        raise bad_request("Compressed request bodies are not supported.", "content-encoding")
    length = request.header(b"content-length")
    if length.isdigit() and int(length) > most_bytes:
        raise _too_large(most_bytes)
    message = await _next(receive, most_seconds)
    body: bytes = message.get("body", b"")
    if len(body) > most_bytes:
        raise _too_large(most_bytes)
    return await _rest(body, receive, most_bytes, most_seconds) if message.get("more_body") else body


async def _rest(body: bytes, receive: Receive, most_bytes: int, most_seconds: float) -> bytes:
    parts, size, more = [body], len(body), True
    deadline = asyncio.get_running_loop().time() + most_seconds
    while more:
        message = await _next(receive, deadline - asyncio.get_running_loop().time())
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > most_bytes:
            raise _too_large(most_bytes)
    return b"".join(parts)


async def _next(receive: Receive, seconds: float) -> MutableMapping[str, Any]:
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
    except TimeoutError:
        raise Refusal(Kind.SLOW_REQUEST, "The request's body did not arrive in time.") from None
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


def _too_large(most_bytes: int) -> Refusal:
    return Refusal(Kind.TOO_LARGE, f"The request's body is larger than {most_bytes} bytes.")
