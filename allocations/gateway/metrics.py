"""`/metrics` for Prometheus: what one gateway process counts, on a port of its own that nobody outside reaches."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from allocations.gateway.denials import Denials
from allocations.gateway.stats import GatewayStats, Trouble
from allocations.metering.loop import SyncLoop
from allocations.metering.spool import Spool
from allocations.metering.stats import LOST, REFUSED, VOID, Histogram
from allocations.metering.types import Stop
from allocations.models import DenialReason
from ledger.models import SettleKind

SETTLE_KINDS = (SettleKind.EXACT.value, SettleKind.BOUND.value, SettleKind.ESTIMATED.value, VOID)
Values = Iterable[tuple[tuple[str, ...], float]]
"""Each with the values of its labels."""


class MeterCollector(Collector):
    """What a sync loop counts."""

    def __init__(self, meter: SyncLoop) -> None:
        self._meter, self._stats = meter, meter.stats

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they stand now."""
        yield from self._counts()
        yield from self._times()
        yield from self._state()

    def _counts(self) -> Iterator[Metric]:
        stats = self._stats
        yield _counter("tank_admits", "Calls that got their hold.", _one(stats.admitted))
        text = "Holds that a quota stopped; a call that falls to a cheaper tier is stopped once and admitted once."
        yield _counter("tank_stops", text, _each(stats.stops, Stop), "stop")
        text = "Calls settled, by what was known of their usage; a void cost nothing."
        yield _counter("tank_settles", text, _each(stats.settles, SETTLE_KINDS), "kind")
        text = "Transactions that did not commit: the database was lost, or refused them."
        yield _counter("tank_commit_failures", text, _each(stats.failures, (LOST, REFUSED)), "kind")
        text = "Settles that went to disk because the database stayed away."
        yield _counter("tank_spooled_settles", text, _one(stats.spooled))

    def _times(self) -> Iterator[Metric]:
        stats = self._stats
        yield _histogram("tank_hold_seconds", "From asking for a hold to its commit.", stats.hold_seconds)
        yield _histogram("tank_settle_seconds", "From a call's end to the commit of its settle.", stats.settle_seconds)
        yield _histogram("tank_commit_seconds", "Transactions with calls in them.", stats.commit_seconds)
        yield _histogram("tank_batch_admits", "Calls that one transaction held or stopped.", stats.batch_admits)
        yield _histogram("tank_batch_settles", "Calls that one transaction settled.", stats.batch_settles)

    def _state(self) -> Iterator[Metric]:
        meter, age = self._meter, monotonic() - self._stats.last_commit
        admits, settles = meter.calls_waiting
        yield _gauge("tank_database_up", "Whether calls can be admitted.", int(meter.is_available))
        yield _gauge("tank_commit_age_seconds", "Since the last transaction; an idle loop commits each second.", age)
        yield _gauge("tank_calls_in_flight", "Calls whose hold is open.", meter.calls_in_flight)
        yield _gauge("tank_admits_waiting", "Calls that wait for their hold.", admits)
        yield _gauge("tank_settles_waiting", "Calls that wait for the commit of their settle.", settles)


class GatewayCollector(Collector):
    """What a process counts of its answers and of its providers."""

    def __init__(self, stats: GatewayStats, denials: Denials, is_draining: Callable[[], bool]) -> None:
        self._stats, self._denials, self._is_draining = stats, denials, is_draining

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they stand now."""
        stats = self._stats
        text = "Calls refused because of a quota or a key, by reason."
        yield _counter("tank_denials", text, _each(self._denials.totals, DenialReason.values), "reason")
        text = "Answers by surface and status; 499 when the client went away before there was one."
        yield _counter("tank_answers", text, _pairs(stats.answers), "surface", "status")
        yield _gauge("tank_draining", "Whether the process is about to stop and takes no calls.", self._is_draining())
        text = "Providers' answers by status."
        yield _counter("tank_upstream_answers", text, _pairs(stats.upstream_answers), "provider", "status")
        text = "Calls that a provider did not answer, or not to the end."
        yield _counter("tank_upstream_errors", text, _pairs(stats.upstream_troubles), "provider", "kind")
        text = "From a call's way to a provider to the head of its answer."
        family = HistogramMetricFamily("tank_upstream_first_byte_seconds", text, labels=("provider",))
        for provider, histogram in stats.first_byte_seconds.items():
            family.add_metric((provider,), _buckets(histogram), histogram.total)
        yield family


class SpoolCollector(Collector):
    """What waits on disk: as it was when somebody looked, because looking takes time."""

    def __init__(self, settles: int, refused_files: int) -> None:
        self._settles, self._refused_files = settles, refused_files

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        text = "Settles on this machine's disk that wait for the database; every process here says the same."
        yield _gauge("tank_spool_settles", text, self._settles)
        text = "Spools that the database refused, kept for a person to look at; every process here says the same."
        yield _gauge("tank_spool_refused_files", text, self._refused_files)


class MetricsServer:
    """Answers `GET /metrics` on a host and a port."""

    def __init__(self, host: str, port: int, spool: Spool, *collectors: Collector) -> None:
        self._host, self._port, self._spool = host, port, spool
        self._collectors = (*collectors, ProcessCollector(registry=None))
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raises OSError when the port cannot be used."""
        application = web.Application()
        application.router.add_get("/metrics", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        spool = self._spool
        waiting = await asyncio.to_thread(lambda: SpoolCollector(spool.depth, spool.refused_files))
        registry = CollectorRegistry()
        for collector in (*self._collectors, waiting):
            registry.register(collector)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return web.Response(body=encode(registry), headers={"content-type": content_type})


def _counter(name: str, text: str, values: Values, *labels: str) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(name, text, buckets=_buckets(histogram), sum_value=histogram.total)


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return how many values are at most as large as each bound, as Prometheus counts."""
    buckets, below = [], 0
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), histogram.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    return buckets


def _one(value: float) -> Values:
    return [((), value)]


def _each(values: Mapping[str, int], names: Iterable[str]) -> Values:
    """Return every name's value, also of what has not happened: a rate needs a beginning."""
    return [((str(name),), values.get(name, 0)) for name in names]


def _pairs(values: Mapping[tuple[str, int], int] | Mapping[tuple[str, Trouble], int]) -> Values:
    return [((first, str(second)), value) for (first, second), value in values.items()]
