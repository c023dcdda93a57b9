"""The gateway as a plain ASGI application: `/v1/*`, in front of Django's middleware or as a process of its own.

    uvicorn allocations.gateway.app:application

It starts with the server's lifespan, or, where none reaches it, with the first request.
"""

import asyncio
import gc
import logging
from pathlib import Path
from uuid import uuid4

import orjson
import psycopg
from django.conf import settings

from allocations.gateway import balance, free, metered
from allocations.gateway.anthropic_dialect import ANTHROPIC, COUNT_TOKENS, Messages
from allocations.gateway.catalogue import Catalogue, CatalogueUnavailable, dsn_of
from allocations.gateway.denials import Denials
from allocations.gateway.dialect import Dialect, FreeSurface, Surface
from allocations.gateway.keys import authenticate
from allocations.gateway.limits import Limits
from allocations.gateway.openai_dialect import OPENAI, ChatCompletions, Embeddings, Responses
from allocations.gateway.operation import NO_TRACES, Address, Operation
from allocations.gateway.outlet import answer
from allocations.gateway.refusal import Kind, Refusal, draining, given_up, unavailable
from allocations.gateway.request import ClientGone, Receive, Request, Scope, Send
from allocations.gateway.stats import GatewayStats
from allocations.gateway.upstream import Upstream
from allocations.metering.loop import SyncLoop

logger = logging.getLogger(__name__)

PREFIX = "/v1/"
SURFACES: dict[str, Surface | FreeSurface] = {
    f"{PREFIX}{surface.path}": surface
    for surface in (ChatCompletions(), Responses(), Embeddings(), Messages(), COUNT_TOKENS)
}
MODELS, QUOTA, RESPONSES = f"{PREFIX}models", f"{PREFIX}quota", f"{PREFIX}responses/"
RETRY_SECONDS = 0.5
# Without its database the gateway starts all the same after this long, and says 503 until it is there.
PATIENCE_SECONDS = 5.0
GARBAGE_OBJECTS = 20_000
JSON = (b"content-type", b"application/json")


class Gateway:
    """One process's gateway."""

    def __init__(
        self,
        *,
        dsn: str,
        spool: Path,
        sandbox_url: str,
        pages: str,
        limits: Limits,
        metrics: Address | None = None,
        traces: str = NO_TRACES,
    ) -> None:
        self._meter, self._denials, self._stats = SyncLoop(dsn, spool), Denials(dsn), GatewayStats()
        self.operation = Operation(self._meter, self._denials, self._stats, metrics, traces)
        upstream = Upstream(limits, sandbox_url, self._stats)
        hook = metered.Hook(self._meter, Catalogue(dsn), upstream, limits, pages.rstrip("/"), self._stats)
        self._hook, self._respond = self.operation.traced(hook), self.operation.answering(self._answer, _label)
        self._starting: asyncio.Task[None] | None = None
        self._patience_ends = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] == "http":
            await self._started()
            await self._respond(Request(scope), receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    # --- Life ----------------------------------------------------------------------------------------------

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if fault := await self.operation.start(scope.setdefault("state", {})):
                    return await send({"type": "lifespan.startup.failed", "message": fault})
                await self._started()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return None

    async def _started(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._starting is None:
            # What exists by now stays: the garbage collector need not look at it again and again. And a call leaves no
            # cycles behind, so it need not look often.
            gc.freeze()
            gc.set_threshold(GARBAGE_OBJECTS, 10, 50)
            self._hook.upstream.start()
            self._hook.catalogue.start()
            self._denials.start()
            self._starting = asyncio.create_task(self._start_meter(), name="gateway-start")
            self._patience_ends = now + PATIENCE_SECONDS
        if not self._starting.done() and now < self._patience_ends:
            await asyncio.wait({self._starting}, timeout=self._patience_ends - now)

    async def _start_meter(self) -> None:
        while True:
            try:
                return await self._meter.start()
            except (psycopg.OperationalError, OSError) as error:
                logger.warning("the gateway waits for its database: %s", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _stop(self) -> None:
        if self._starting is None:
            return
        self._starting.cancel()
        await asyncio.gather(self._starting, return_exceptions=True)
        await self._meter.stop()
        await self._denials.stop()
        await self._hook.catalogue.stop()
        await self._hook.upstream.stop()
        await self.operation.stop()
        self._starting = None

    # --- Requests ------------------------------------------------------------------------------------------

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        surface = SURFACES.get(request.path)
        dialect = surface.dialect if surface else _dialect_of(request)
        try:
            if self.operation.is_draining:
                raise draining()
            await self._route(request, surface, dialect, receive, send)
        except ClientGone:
            pass
        except asyncio.CancelledError:  # the server stops, and has waited long enough
            if not request.status:
                await _refuse(send, dialect, given_up(), request)
        except Exception as error:
            if request.status:
                raise
            request.id = request.id or str(uuid4())
            refusal = _as_refusal(error, request)
            if refusal.denied is not None:
                self._denials.count(refusal.denied, model=request.model, asked=request.asked, size=request.size)
            await _refuse(send, dialect, refusal, request)
        finally:
            self._stats.answered(_label(request.path), request.status)

    async def _route(
        self, request: Request, surface: Surface | FreeSurface | None, dialect: Dialect, receive: Receive, send: Send
    ) -> None:
        path, catalogue = request.path, self._hook.catalogue
        if surface is None and path not in {MODELS, QUOTA} and not path.startswith(f"{MODELS}/"):
            raise _no_such_path(path)
        _require_method(request, "POST" if surface else "GET")
        key = await authenticate(catalogue, request.secret)
        if isinstance(surface, FreeSurface):
            await free.call(self._hook, surface, request, key, send, receive)
        elif surface is not None:
            await metered.call(self._hook, surface, request, key, send, receive)
        elif path == QUOTA:
            await _answer_json(send, request, await balance.quota(catalogue, key))
        elif path == MODELS:
            usable = await balance.usable_models(catalogue, key, dialect)
            await _answer_json(send, request, dialect.model_list(usable))
        else:
            name = path.removeprefix(f"{MODELS}/")
            usable_model = await balance.usable_model(catalogue, key, dialect, name)
            await _answer_json(send, request, dialect.model(usable_model))


def _label(path: str) -> str:
    """Return the surface's name for the counts, one of a few whatever was asked for."""
    if surface := SURFACES.get(path):
        return surface.path
    first = path.removeprefix(PREFIX).partition("/")[0]
    return first if f"{PREFIX}{first}" in {MODELS, QUOTA} else "other"


def _dialect_of(request: Request) -> Dialect:
    return ANTHROPIC if request.header(b"anthropic-version") else OPENAI


def _no_such_path(path: str) -> Refusal:
    if path.startswith(RESPONSES):
        words = "Tank keeps no responses: it cannot fetch, list, cancel or delete them. Call POST /v1/responses."
        return Refusal(Kind.NO_SUCH_PATH, words)
    return Refusal(Kind.NO_SUCH_PATH, f"There is no {path[:200]} here.")


def _require_method(request: Request, method: str) -> None:
    if request.method != method:
        message = f"{request.path} is called with {method}."
        raise Refusal(Kind.WRONG_METHOD, message, headers=((b"allow", method.encode()),))


def _as_refusal(error: Exception, request: Request) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, CatalogueUnavailable):
        return unavailable()
    logger.error("the gateway failed on request %s", request.id, exc_info=error)
    return Refusal(Kind.INTERNAL, "Tank failed on this call.")


async def _refuse(send: Send, dialect: Dialect, refusal: Refusal, request: Request) -> None:
    request_id = request.id or str(uuid4())
    request.status, headers, body = dialect.refuse(refusal, request_id)
    await answer(send, request.status, [JSON, (b"x-request-id", request_id.encode()), *headers], body)


async def _answer_json(send: Send, request: Request, document: object) -> None:
    request.status, body = 200, orjson.dumps(document)
    await answer(send, 200, [JSON, (b"x-request-id", str(uuid4()).encode())], body)


def make_application() -> Gateway:
    """Make a gateway from the settings."""
    return Gateway(
        dsn=dsn_of(settings.DATABASES["default"]),
        spool=settings.DATA_DIR / "spool",
        sandbox_url=settings.SANDBOX_URL,
        pages=settings.TANK_URL,
        limits=Limits(
            request_bytes=settings.GATEWAY_REQUEST_BYTES,
            silence_seconds=settings.GATEWAY_SILENCE_SECONDS,
            write_seconds=settings.GATEWAY_WRITE_SECONDS,
            request_seconds=settings.GATEWAY_REQUEST_SECONDS,
        ),
        metrics=settings.GATEWAY_METRICS_ADDRESS,
        traces=settings.GATEWAY_TRACES,
    )


application = make_application()
