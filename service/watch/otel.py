"""Traces and figures by OpenTelemetry's SDK, to a collector; the extra `otel`.

Where and how is said by OpenTelemetry's own variables (``OTEL_EXPORTER_OTLP_ENDPOINT`` and its kind).
What is exported leaves in threads: nobody who reads waits for a collector.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace.span import TraceState
from opentelemetry.trace.status import Status, StatusCode
from prometheus_client.core import Metric

from protocol.wire.traceparent import TraceContext
from service.watch.traces import Attributes, Span

log = structlog.get_logger()
SCOPE = "fanlight"
PERIOD_MS = 60_000
LAST_S = 2.0


def resource(node: str) -> Resource:
    """Who it is that tells; ``OTEL_SERVICE_NAME`` and ``OTEL_RESOURCE_ATTRIBUTES`` win."""
    own = {"service.name": "fanlight", "service.instance.id": node}
    return Resource.create({**own, **OTELResourceDetector().detect().attributes})


def exporting(whose: Resource) -> TracerProvider:
    """A provider that exports by OTLP."""
    provider = TracerProvider(resource=whose, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=_patience_s())))
    return provider


def _patience_s() -> float | None:
    """How long an export may take; a process that leaves waits for its last one."""
    return None if "OTEL_EXPORTER_OTLP_TIMEOUT" in os.environ else LAST_S


class OtelTraces:
    """See `service.watch.traces.Traces`.

    Args:
        upstream: what is told with each call of it: its name, and where it is.
    """

    records = True

    def __init__(self, provider: TracerProvider, upstream: Attributes) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SCOPE)
        self._upstream = upstream

    def request(self, method: str, route: str, parent: TraceContext | None) -> Span:
        """See `service.watch.traces.Traces.request`."""
        told = {"http.request.method": method, "http.route": route}
        return self._begin(f"{method} {route}", SpanKind.SERVER, told, parent)

    def call(self, attributes: Attributes, parent: TraceContext | None) -> Span:
        """See `service.watch.traces.Traces.call`."""
        name = f"{attributes['gen_ai.operation.name']} {attributes.get('gen_ai.request.model', '')}".strip()
        return self._begin(name, SpanKind.CLIENT, {**self._upstream, **attributes}, parent)

    def _begin(self, name: str, kind: SpanKind, told: Attributes, parent: TraceContext | None) -> Span:
        context = set_span_in_context(NonRecordingSpan(_known(parent))) if parent is not None else None
        # Without a parent an empty context: none is taken from whatever task this happens to run in.
        return _Recorded(self._tracer.start_span(name, context or {}, kind, dict(told)))  # type: ignore[arg-type]

    def close(self) -> None:
        """Export what waits. Takes as long as the collector does: call it in a thread."""
        self._provider.shutdown()


class _Recorded:
    """See `service.watch.traces.Span`."""

    __slots__ = ("_span", "context", "is_recorded")

    def __init__(self, span: OtelSpan) -> None:
        self._span = span
        told = span.get_span_context()
        self.context: TraceContext | None = TraceContext(
            f"{told.trace_id:032x}", f"{told.span_id:016x}", int(told.trace_flags), told.trace_state.to_header()
        )
        self.is_recorded = span.is_recording()

    def end(self, fault: str = "", attributes: Attributes | None = None, links: Iterable[TraceContext] = ()) -> None:
        """See `service.watch.traces.Span.end`."""
        if not self._span.is_recording():
            return
        for link in links:
            self._span.add_link(_known(link))
        for name, value in (attributes or {}).items():
            self._span.set_attribute(name, value)
        if fault:
            self._span.set_attribute("error.type", fault)
            self._span.set_status(Status(StatusCode.ERROR, fault))
        self._span.end()


def _known(step: TraceContext) -> SpanContext:
    state = TraceState.from_header([step.state]) if step.state else None
    return SpanContext(int(step.trace_id, 16), int(step.span_id, 16), True, TraceFlags(step.flags), state)


# -- figures


@asynccontextmanager
async def exported(
    collect: Callable[[], Iterable[Metric]], whose: Resource, exporter: export.MetricExporter | None = None
) -> AsyncIterator[None]:
    """Export a process's figures by OTLP every minute (``OTEL_METRIC_EXPORT_INTERVAL``), and a last time at the end."""
    collector = exporter or OTLPMetricExporter(timeout=_patience_s())
    began = time.time_ns()

    async def export_once() -> None:
        told = as_otlp(collect(), whose, began, time.time_ns())
        await asyncio.to_thread(collector.export, told)

    async def export_on() -> None:
        while True:
            await asyncio.sleep(float(os.environ.get("OTEL_METRIC_EXPORT_INTERVAL", PERIOD_MS)) / 1000)
            try:
                await export_once()
            except Exception:  # a collector's fault is no reason to tell nothing more
                log.exception("figures_not_exported")

    task = asyncio.get_running_loop().create_task(export_on(), name="figures")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await export_once()
        await asyncio.to_thread(collector.shutdown)


def as_otlp(families: Iterable[Metric], whose: Resource, began: int, now: int) -> export.MetricsData:
    """Figures as OpenTelemetry has them; ``began`` and ``now`` are nanoseconds since the epoch."""
    metrics = [
        export.Metric(family.name, family.documentation, "", points)
        for family in families
        if (points := _points(family, began, now)) is not None
    ]
    scope = export.ScopeMetrics(InstrumentationScope(SCOPE), metrics, "")
    return export.MetricsData([export.ResourceMetrics(whose, [scope], "")])


def _points(family: Metric, began: int, now: int) -> export.DataT | None:
    if family.type == "histogram":
        return export.Histogram([_histogram(family, began, now)], export.AggregationTemporality.CUMULATIVE)
    points = [export.NumberDataPoint(dict(s.labels), began, now, s.value) for s in family.samples]
    if family.type == "gauge":
        return export.Gauge(points) if points else None
    return export.Sum(points, export.AggregationTemporality.CUMULATIVE, is_monotonic=True) if points else None


def _histogram(family: Metric, began: int, now: int) -> export.HistogramDataPoint:
    edges = {float(s.labels["le"]): s.value for s in family.samples if s.name.endswith("_bucket")}
    below = [0, *map(int, edges.values())]
    total = next(s.value for s in family.samples if s.name.endswith("_sum"))
    return export.HistogramDataPoint(
        attributes={},
        start_time_unix_nano=began,
        time_unix_nano=now,
        count=below[-1],
        sum=total,
        bucket_counts=[after - before for before, after in pairwise(below)],
        explicit_bounds=list(edges)[:-1],
        min=None,  # type: ignore[arg-type]  # neither is kept, and the protocol needs none
        max=None,  # type: ignore[arg-type]
    )
