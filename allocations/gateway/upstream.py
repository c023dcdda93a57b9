"""The way to a provider: one HTTP client per process, headers and addresses, and what can go wrong on the way."""

import io
import logging
import re
import sys
import zlib
from collections.abc import Callable, Iterable
from functools import lru_cache
from time import monotonic

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from allocations.gateway.dialect import Dialect
from allocations.gateway.entries import ProviderEntry
from allocations.gateway.limits import Limits
from allocations.gateway.refusal import Kind, Refusal
from allocations.gateway.request import Request
from allocations.gateway.stats import GatewayStats, Trouble

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

logger = logging.getLogger(__name__)

VERSIONED = re.compile(r"/v\d+[a-z0-9]*(/|$)")
SENT_WHOLE = 2**20
# Not for the client: what belongs to the upstream connection or to the provider's site, and what we say ourselves.
DROPPED = frozenset(
    b"alt-svc connection content-length date keep-alive proxy-authenticate proxy-connection server set-cookie "
    b"strict-transport-security te trailer transfer-encoding upgrade x-request-id".split()
)
INFLATED = {"gzip", "x-gzip", "deflate"}

BROKEN = (aiohttp.ClientError, OSError, TimeoutError)


class UpstreamFailed(Exception):
    """No answer came. `may_have_cost` says whether the provider may have done the work all the same."""

    def __init__(self, refusal: Refusal, *, may_have_cost: bool) -> None:
        super().__init__(refusal.message)
        self.refusal, self.may_have_cost = refusal, may_have_cost


class Upstream:
    """The client of one gateway process."""

    def __init__(self, limits: Limits, sandbox_url: str, stats: GatewayStats) -> None:
        self._sandbox_url, self._stats = sandbox_url, stats
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=limits.connect_seconds, sock_read=limits.silence_seconds
        )
        self._session: aiohttp.ClientSession

    def start(self) -> None:
        """Open the client; needs a running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=self._timeout,
            max_line_size=16 * 1024,
            max_field_size=64 * 1024,
        )

    async def stop(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def post(
        self, provider: ProviderEntry, path: str, request: Request, credential: dict[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a call and return the answer once its headers are there. Raises UpstreamFailed."""
        headers = CIMultiDict(request.upstream)  # a new one: one provider's credential is not for the next one
        headers["Accept-Encoding"] = "identity"
        headers.setdefault("Content-Type", "application/json")
        headers.update(credential)
        if provider.dialect == "sandbox":
            headers.update(request.sandbox)
        url = address(provider.base_url or self._sandbox_url, path, request.query)
        data = body if len(body) < SENT_WHOLE else io.BytesIO(body)
        began = monotonic()
        try:
            response = await self._session.post(url, data=data, headers=headers, allow_redirects=False)
        except aiohttp.SocketTimeoutError:
            self._stats.upstream_failed(provider.name, Trouble.SILENT)
            message = f"Provider {provider.name} did not answer in time."
            raise UpstreamFailed(Refusal(Kind.UPSTREAM_SLOW, message), may_have_cost=True) from None
        except BROKEN as error:
            self._stats.upstream_failed(provider.name, Trouble.UNREACHABLE)
            why = type(error).__name__
            logger.warning("provider %s cannot be reached: %s (request %s)", provider.name, why, request.id)
            kind = Kind.UPSTREAM_SLOW if isinstance(error, TimeoutError) else Kind.UPSTREAM_BROKEN
            message = f"Provider {provider.name} cannot be reached. Nothing was charged."
            raise UpstreamFailed(Refusal(kind, message), may_have_cost=False) from None
        self._stats.upstream_answered(provider.name, response.status, monotonic() - began)
        return response


@lru_cache(maxsize=1024)
def address(base_url: str, path: str, query: bytes) -> URL:
    """Return where a surface of a provider is; its base URL may or may not end in a version such as /v1."""
    base = base_url.rstrip("/")
    versioned = base if VERSIONED.search(URL(base).path) else f"{base}/v1"
    return URL(f"{versioned}/{path}{'?' if query else ''}{query.decode('latin-1')}", encoded=True)


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of an upstream's answer that a client may see."""
    kept: list[tuple[bytes, bytes]] = []
    named: set[bytes] = set()
    for name, value in headers:
        lowered = name.lower()
        if lowered == b"connection":
            named |= {token.strip().lower() for token in value.split(b",")}
        elif lowered not in DROPPED:
            kept.append((lowered, value))
    return [header for header in kept if header[0] not in named] if named else kept


def authentication(provider: ProviderEntry, dialect: Dialect) -> dict[str, str]:
    """Return the headers that authenticate at a provider; none where it needs none. Raises Refusal."""
    if provider.credential is None:
        raise Refusal(Kind.UPSTREAM_BROKEN, f"The credential of provider {provider.name} cannot be read.")
    return dialect.credential(provider.credential) if provider.credential else {}


class Undecodable(Exception):
    """What came is not in the encoding that the provider named."""


class Decoder:
    """Undo the content encoding of an upstream that compresses although it was asked not to."""

    __slots__ = ("_decode",)

    def __init__(self, encoding: str) -> None:
        self._decode: Callable[[bytes], bytes] | None = None
        if encoding in INFLATED:
            self._decode = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress
        elif encoding == "zstd":
            self._decode = zstd.ZstdDecompressor().decompress

    @property
    def is_needed(self) -> bool:
        """Say whether there is something to undo."""
        return self._decode is not None

    def __call__(self, chunk: bytes) -> bytes:
        """Return a chunk decoded; raises Undecodable."""
        if self._decode is None:
            return chunk
        try:
            return self._decode(chunk)
        except (zlib.error, zstd.ZstdError, EOFError):
            raise Undecodable from None
