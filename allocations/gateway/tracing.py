"""OpenTelemetry traces, where somebody asks for them: a span for a call, and inside it one each for admit, upstream
and settle. Spans say which call it was and how it went, never what was asked or answered.

The gateway's own code knows nothing of spans: where traces are wanted it gets a meter and a way to providers that
draw them. Where they are not, this module is not even imported.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from threading import Thread

import aiohttp
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from allocations.gateway.entries import ProviderEntry
from allocations.gateway.metered import Hook
from allocations.gateway.operation import Answering
from allocations.gateway.request import Receive, Request, Send
from allocations.gateway.upstream import Upstream, UpstreamFailed
from allocations.metering.types import CallFacts, Charge, Hold, Meter, MeterUnavailable, QuotaExhausted, Wish

STOP_SECONDS = 3.0


@dataclass(slots=True)
class _Call:
    """A call under way, and its span at a provider, which ends when the call is settled."""

    upstream: Span | None = None

    def leave_upstream(self) -> None:
        if self.upstream is not None:
            self.upstream.end()
            self.upstream = None


_call: ContextVar[_Call] = ContextVar("call")


class Tracing:
    """The spans of one process."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("tank.gateway")

    async def stop(self) -> None:
        """Export what is left, unless the collector keeps us waiting."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def export() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # nobody waits any more
                loop.call_soon_threadsafe(done.set)

        Thread(target=export, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await done.wait()

    def hook(self, hook: Hook) -> Hook:
        """Return a hook that draws spans."""
        return replace(hook, meter=TracedMeter(self, hook.meter), upstream=TracedUpstream(self, hook.upstream))

    def answering(self, answer: Answering, surface_of: Callable[[str], str]) -> Answering:
        """Return what answers a request inside a span, which continues the caller's trace where it names one."""

        async def traced(request: Request, receive: Receive, send: Send) -> None:
            surface = surface_of(request.path)
            with self.span(f"{request.method} {surface}", SpanKind.SERVER, parent=request) as span:
                call = _Call()
                _call.set(call)
                try:
                    await answer(request, receive, send)
                finally:
                    call.leave_upstream()
                    _describe(span, request)

        return traced

    @contextmanager
    def span(self, name: str, kind: SpanKind = SpanKind.INTERNAL, *, parent: Request | None = None) -> Iterator[Span]:
        """Draw a span over a block; an exception that leaves the block is none of its business."""
        context = None if parent is None else extract(dict(parent.upstream))
        with self._tracer.start_as_current_span(
            name, context, kind, record_exception=False, set_status_on_exception=False
        ) as span:
            yield span

    def begin(self, name: str) -> Span:
        """Begin a span that outlasts the block it begins in."""
        return self._tracer.start_span(name, kind=SpanKind.CLIENT)


class TracedMeter:
    """A meter whose admits and settles are spans."""

    def __init__(self, tracing: Tracing, meter: Meter) -> None:
        self._tracing, self._meter = tracing, meter

    async def admit(self, wish: Wish) -> Hold:
        """Reserve, as the meter does."""
        with self._tracing.span("admit") as span:
            try:
                hold = await self._meter.admit(wish)
            except QuotaExhausted as stopped:
                span.set_attribute("tank.stop", stopped.stop.value)
                raise
            except MeterUnavailable:
                span.set_status(Status(StatusCode.ERROR, "the database cannot be reached"))
                raise
            span.set_attribute("tank.request_id", str(hold.request_id))
            return hold

    async def settle(self, hold: Hold, facts: CallFacts) -> Charge:
        """Charge, as the meter does."""
        _call.get().leave_upstream()
        with self._tracing.span("settle") as span:
            span.set_attribute("tank.settle_kind", facts.settle_kind)
            span.set_attribute("gen_ai.usage.input_tokens", facts.tokens.total - facts.tokens.output)
            span.set_attribute("gen_ai.usage.output_tokens", facts.tokens.output)
            return await self._meter.settle(hold, facts)

    async def void(self, hold: Hold) -> None:
        """Release, as the meter does."""
        _call.get().leave_upstream()
        with self._tracing.span("settle") as span:
            span.set_attribute("tank.settle_kind", "void")
            await self._meter.void(hold)


class TracedUpstream(Upstream):
    """A way to providers whose calls are spans: from the call to its settle, with a mark at the first byte."""

    def __init__(self, tracing: Tracing, upstream: Upstream) -> None:
        self._tracing, self._upstream = tracing, upstream

    def start(self) -> None:
        """Open the client."""
        self._upstream.start()

    async def stop(self) -> None:
        """Close all connections."""
        await self._upstream.stop()

    async def post(
        self, provider: ProviderEntry, path: str, request: Request, credential: dict[str, str], body: bytes
    ) -> aiohttp.ClientResponse:
        """Send a call and return the answer once its headers are there. Raises UpstreamFailed."""
        call = _call.get()
        call.leave_upstream()
        span = call.upstream = self._tracing.begin("upstream")
        span.set_attribute("tank.provider", provider.name)
        try:
            response = await self._upstream.post(provider, path, request, credential, body)
        except UpstreamFailed as failure:
            span.set_status(Status(StatusCode.ERROR, failure.refusal.kind.name))
            raise
        span.add_event("first byte")
        span.set_attribute("http.response.status_code", response.status)
        return response


def tracing_of(wanted: str) -> Tracing:
    """Return what exports spans as `otlp` or to the `console`; OTEL_EXPORTER_OTLP_… say where and how."""
    os.environ.setdefault("OTEL_SERVICE_NAME", "tank-gateway")
    if wanted == "console":
        return Tracing(ConsoleSpanExporter())
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return Tracing(OTLPSpanExporter())


def _describe(span: Span, request: Request) -> None:
    """Say how a call went; its model by the name that Tank has for it, never by what was sent as one."""
    span.set_attribute("http.request.method", request.method)
    if request.status:
        span.set_attribute("http.response.status_code", request.status)
    if request.id:
        span.set_attribute("tank.request_id", request.id)
    if request.model:
        span.set_attribute("gen_ai.request.model", request.model)
    if request.status >= 500:
        span.set_status(Status(StatusCode.ERROR))
