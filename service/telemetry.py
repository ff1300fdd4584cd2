"""Whether traces and figures go to a collector: where OpenTelemetry's variables name one and its extra is installed.

Nothing of it is imported otherwise.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import find_spec

import structlog
from prometheus_client.core import Metric

from service.watch.traces import Attributes, NoTraces, Traces

log = structlog.get_logger()
MODULES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def is_wanted(what: str) -> bool:
    """Whether there is a collector for ``TRACES`` or ``METRICS``."""
    told = os.environ
    if told.get("OTEL_SDK_DISABLED", "").lower() == "true" or told.get(f"OTEL_{what}_EXPORTER", "") == "none":
        return False
    return bool(told.get(f"OTEL_EXPORTER_OTLP_{what}_ENDPOINT") or told.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def _is_installed() -> bool:
    try:
        return all(find_spec(name) is not None for name in MODULES)
    except ModuleNotFoundError:
        return False


@asynccontextmanager
async def traces_of(node: str, upstream: Attributes) -> AsyncIterator[Traces]:
    """Whoever records the traces of a process, and is told the last of them at its end."""
    if not is_wanted("TRACES"):
        yield NoTraces()
        return
    if not _is_installed():
        log.warning("otel_missing", note="OTEL_ variables name a collector: `pip install fanlight[otel]`")
        yield NoTraces()
        return
    from service.watch import otel

    traces = otel.OtelTraces(otel.exporting(otel.resource(node)), upstream)
    try:
        yield traces
    finally:
        await asyncio.to_thread(traces.close)


@asynccontextmanager
async def figures_told(node: str, collect: Callable[[], Iterable[Metric]]) -> AsyncIterator[None]:
    """Export the figures of a process as long as the context lasts, where somebody wants them."""
    async with AsyncExitStack() as stack:
        if is_wanted("METRICS") and _is_installed():
            from service.watch import otel

            await stack.enter_async_context(otel.exported(collect, otel.resource(node)))
        yield
