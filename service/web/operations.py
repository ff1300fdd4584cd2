"""``/livez``, ``/readyz`` and ``/metrics``: for the operator."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from service.hub.hub import Hub
from service.hub.peers import Peers
from service.web.admin import add_private_routes
from service.web.connection import Connections
from service.web.errors import json_response
from service.web.keys import CONNECTIONS, HUB, KEYRING, READY, SIBLINGS


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
    """Figures in the text format of Prometheus, of all workers where there are several; no tenant is named."""
    families: Iterable[Metric] = _Figures(request.app[HUB], request.app[CONNECTIONS]).collect()
    if SIBLINGS in request.app:
        families = await request.app[SIBLINGS].together(families)
    registry = CollectorRegistry()
    registry.register(_Told(families))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})


@asynccontextmanager
async def private_door(app: web.Application, path: Path) -> AsyncIterator[None]:
    """Answer a worker's parent and siblings on a Unix socket, about this process alone."""
    private = web.Application()
    private[HUB], private[CONNECTIONS], private[READY] = app[HUB], app[CONNECTIONS], app[READY]
    private[KEYRING] = app[KEYRING]
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


def _among_nodes(peers: Peers | None) -> Iterator[Metric]:
    """What a node has to do with the others on its store; zeros where there are none."""
    mirrors, behind = (peers.mirrors, peers.behind_bytes) if peers else (0, 0)
    repairs, taken = (peers.repairs, peers.leases_taken) if peers else (0, 0)
    yield GaugeMetricFamily("fanlight_store_mirrors", "Streams of other nodes that are followed.", mirrors)
    yield GaugeMetricFamily("fanlight_store_mirror_behind_bytes", "What they had missed when last compared.", behind)
    yield CounterMetricFamily("fanlight_store_mirror_repairs", "How often they had missed something.", repairs)
    yield CounterMetricFamily("fanlight_store_leases_taken", "Streams that were taken over from other nodes.", taken)


class _Told(Collector):
    """Figures that were gathered before they were asked for."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _Figures(Collector):
    """What the hub and the connections are doing now."""

    def __init__(self, hub: Hub, connections: Connections) -> None:
        self._hub = hub
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        hub, tally = self._hub, self._hub.tally
        yield GaugeMetricFamily("fanlight_streams_running", "Streams without an ending.", hub.running)
        yield GaugeMetricFamily("fanlight_streams_kept", "Ended streams that are kept.", len(hub.kept))
        yield GaugeMetricFamily("fanlight_kept_bytes", "Bytes of ended streams that are kept.", hub.kept.bytes)
        yield GaugeMetricFamily("fanlight_store_up", "Whether what is shown can be kept.", int(hub.journal.up))
        journal = hub.journal
        yield CounterMetricFamily("fanlight_store_commits", "Commits of the store.", journal.commits)
        yield SummaryMetricFamily(
            "fanlight_store_commit_seconds", "What they took.", count_value=journal.commits, sum_value=journal.commit_s
        )
        yield GaugeMetricFamily("fanlight_store_backlog_bytes", "Text that waits for a commit.", journal.backlog_bytes)
        yield CounterMetricFamily("fanlight_store_changes", "What was written in them.", journal.changes)
        yield from _among_nodes(hub.peers)
        yield GaugeMetricFamily("fanlight_readers", "Connections that read streams.", len(self._connections))
        yield CounterMetricFamily("fanlight_events", "Upstream events of ended streams.", tally.events)
        yield CounterMetricFamily("fanlight_text_bytes", "Bytes of text of ended streams.", tally.text_bytes)
        yield CounterMetricFamily("fanlight_upstream_retries", "Further attempts at upstream calls.", tally.retries)
        starts = CounterMetricFamily("fanlight_starts", "Starts, by how they came to a stream.", labels=["join"])
        for join, count in tally.joins.items():
            starts.add_metric([join], count)
        yield starts
        endings = CounterMetricFamily("fanlight_endings", "Endings.", labels=["status", "code"])
        for (status, code), count in tally.endings.items():
            endings.add_metric([status, code], count)
        yield endings
