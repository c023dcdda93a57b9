"""How one gateway process is, for those who operate it: whether it takes calls, what it counts and traces."""

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from allocations.gateway.denials import Denials
from allocations.gateway.request import Receive, Request, Send
from allocations.gateway.stats import GatewayStats
from allocations.metering.loop import SyncLoop

if TYPE_CHECKING:
    from allocations.gateway.metered import Hook
    from allocations.gateway.metrics import MetricsServer
    from allocations.gateway.tracing import Tracing

logger = logging.getLogger(__name__)

Answering = Callable[[Request, Receive, Send], Awaitable[None]]
Address = tuple[str, int]
"""A host and a port."""
NO_TRACES = "none"
# What a server calls before it shuts down: it finds that under this name in its lifespan's state.
DRAIN = "drain"


class Operation:
    """The life of one process beside its calls."""

    def __init__(
        self, meter: SyncLoop, denials: Denials, stats: GatewayStats, metrics: Address | None, traces: str
    ) -> None:
        self._meter, self._denials, self._stats, self._address = meter, denials, stats, metrics
        self._tracing = _tracing_of(traces)
        self._metrics: MetricsServer | None = None
        self.is_draining = False

    def traced(self, hook: "Hook") -> "Hook":
        """Return a hook that draws spans where traces are wanted."""
        return hook if self._tracing is None else self._tracing.hook(hook)

    def answering(self, answer: Answering, surface_of: Callable[[str], str]) -> Answering:
        """Return what answers requests, inside a span each where traces are wanted."""
        return answer if self._tracing is None else self._tracing.answering(answer, surface_of)

    async def start(self, state: MutableMapping[str, Any]) -> str:
        """Begin; return why the process cannot start, or nothing."""
        state[DRAIN] = self.drain
        if self._address is None:
            return ""
        from allocations.gateway.metrics import GatewayCollector, MeterCollector, MetricsServer

        gateway = GatewayCollector(self._stats, self._denials, lambda: self.is_draining)
        self._metrics = MetricsServer(*self._address, self._meter.spool, MeterCollector(self._meter), gateway)
        try:
            await self._metrics.start()
        except OSError as error:
            return f"Tank cannot start: metrics cannot be served: {error.strerror}."
        return ""

    async def stop(self) -> None:
        """End what `start` began."""
        if self._metrics is not None:
            await self._metrics.stop()
        if self._tracing is not None:
            await self._tracing.stop()

    def drain(self) -> None:
        """Take no more calls; those in flight go on."""
        self.is_draining = True

    def fault(self) -> str:
        """Say why no call would be let through now, or nothing."""
        if self.is_draining:
            return "draining"
        if not self._meter.is_available:
            return "calls cannot be metered: the database cannot be reached"
        return "calls cannot be metered: the database does not answer" if self._meter.stats.is_stale else ""


def _tracing_of(wanted: str) -> "Tracing | None":
    if wanted == NO_TRACES:
        return None
    try:
        from allocations.gateway.tracing import tracing_of

        return tracing_of(wanted)
    except ImportError as missing:
        logger.warning(
            "no traces: OTEL_TRACES_EXPORTER=%s needs the packages of the extra `tracing` (%s)", wanted, missing
        )
        return None
