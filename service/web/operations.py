"""``/livez``, ``/readyz`` and ``/metrics``: for the operator."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from service.web.admin import add_private_routes
from service.web.errors import json_response
from service.web.keys import ENGINE, FIGURES, HUB, KEYRING, READY, SIBLINGS
from service.web.unix import figures_at


async def livez(request: web.Request) -> web.Response:
    """The process answers."""
    return json_response({"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """Whether calls can be served; waits for the embedded engine, and asks nothing of the cloud."""
    hub = request.app[HUB]
    engine = request.app[READY].ready()
    kept = hub.journal.up and request.app[KEYRING].was_read
    ok = engine and not hub.draining and kept
    state = "draining" if hub.draining else "starting" if not engine else "ok" if kept else "store"
    body = {
        "status": state,
        "upstream": {"kind": request.app[READY].kind, "ready": engine, "breaker": hub.breaker.state},
        "running": hub.running,
    }
    return json_response(body, 200 if ok else 503)


async def metrics(request: web.Request) -> web.Response:
    """Figures for Prometheus; no tenant is named.

    They are those of all workers where there are several, and of the engine's row to a model where there is one. In
    the OpenMetrics format, where that is asked for: there traces stand beside the figures.
    """
    families: Iterable[Metric] = request.app[FIGURES].collect()
    if SIBLINGS in request.app:
        families = await request.app[SIBLINGS].together(families)
    if ENGINE in request.app:
        # One engine serves all workers: whoever is asked asks it, and the others' answers hold nothing of it.
        families = [*families, *(await figures_at(request.app[ENGINE]) or ())]
    registry = CollectorRegistry()
    registry.register(_Told(families))
    if "application/openmetrics-text" in request.headers.get("Accept", ""):
        body, kind = openmetrics.generate_latest(registry), openmetrics.CONTENT_TYPE_LATEST
    else:
        body, kind = generate_latest(registry), "text/plain; version=0.0.4"
    return web.Response(body=body, headers={"Content-Type": kind})


@asynccontextmanager
async def private_door(app: web.Application, path: Path) -> AsyncIterator[None]:
    """Answer a worker's parent and siblings on a Unix socket, about this process alone."""
    private = web.Application()
    private[HUB], private[READY], private[KEYRING], private[FIGURES] = app[HUB], app[READY], app[KEYRING], app[FIGURES]
    private.router.add_get("/readyz", readyz)
    private.router.add_get("/metrics", metrics)
    add_private_routes(private, app)
    runner = web.AppRunner(private, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.UnixSite(runner, path).start()
        yield
    finally:
        await runner.cleanup()


class _Told(Collector):
    """Figures that were gathered before they were asked for."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
