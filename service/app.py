"""Composition: the one place that names concrete parts, opened in order and closed in reverse."""

import asyncio
import gc
import os
import random
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from config.settings import CLOUD, EMBEDDED, Settings, is_loopback
from service import logs
from service.access.cabinets import FileCabinet, StoreCabinet
from service.access.keyring import Keyring
from service.access.limiter import Bounds, Limiter
from service.access.tickets import SigningKey, signing_keys
from service.hub.clocks import ClockLimits
from service.hub.hub import Hub, HubLimits
from service.hub.pump import PumpLimits
from service.hub.retention import RetentionLimits
from service.hub.streams import Limits
from service.place import WorkerPlace
from service.reload import Reload, ReloadFault
from service.store.contract import Store
from service.store.memory import MemoryStore
from service.store.shared import SharedStore
from service.store.sqlite import SqliteStore
from service.telemetry import figures_told, traces_of
from service.upstream.address import Address, parse_address
from service.upstream.embedded import EmbeddedEngine, SharedEngine
from service.upstream.http import HttpUpstream
from service.watch.audit import AuditLog
from service.watch.traces import Traces
from service.web import keys
from service.web.connection import Connections, LateHeads, first_requests
from service.web.expiry import Expiry
from service.web.figures import Figures
from service.web.gate import gate
from service.web.guard import Guard
from service.web.memory import MemoryWatch, available_bytes
from service.web.operations import private_door
from service.web.routes import add_routes
from service.web.server import Runner
from service.web.trail import Watching
from service.web.usage import Usage, bill

log = structlog.get_logger()
# Has a parent and its workers drain: a signal to end that comes behind it is the first one.
DRAIN = signal.SIGUSR1
# Readers that are sent away come back over the length of the grace, not all at once.
EARLIEST_RETURN_MS = 100
BACKLOG = 1024
# How long a worker that leaves waits for the first requests of those who have just connected.
FIRST_REQUESTS_S = 1.0
# What a process may take beyond the grace of its drain, to close what is open.
GOODBYE_S = 5.0
# Objects made and not freed between two looks of the garbage collector.
COLLECT_AT = 10_000


def hub_limits(settings: Settings) -> HubLimits:
    """The hub's bounds, out of the settings."""
    return HubLimits(
        stream=Limits(settings.max_text_bytes, settings.rollup_ms / 1000),
        pump=PumpLimits(
            ClockLimits(settings.first_event_timeout_s, settings.idle_timeout_s, settings.total_timeout_s),
            settings.max_line_bytes,
            settings.max_events_per_s,
        ),
        kept=RetentionLimits(settings.max_kept_bytes, settings.max_kept_bytes_per_tenant),
        max_stored_bytes=settings.store_keeps_bytes,
        store_window_s=settings.store_window_ms / 1000,
        max_streams=settings.max_streams,
        max_streams_per_tenant=settings.max_streams_per_tenant,
    )


def keyring_of(settings: Settings, store: Store) -> Keyring:
    """The keys, out of the settings and the book."""
    path = settings.keys_path
    cabinet = StoreCabinet(store) if path is None else FileCabinet(path)
    return Keyring(cabinet, settings.api_keys, ticket_keys_of(settings), required=settings.needs_keys)


def ticket_keys_of(settings: Settings) -> tuple[SigningKey, ...]:
    """What the settings say that tickets are signed with."""
    return signing_keys(settings.ticket_keys.get_secret_value()) if settings.ticket_keys is not None else ()


def bounds_of(settings: Settings) -> Bounds:
    """What each tenant may do, out of the settings."""
    return Bounds(
        starts_per_minute=settings.starts_per_minute,
        attaches_per_minute=settings.attaches_per_minute,
        max_readers_per_tenant=settings.max_readers_per_tenant,
        max_readers_per_stream=settings.max_readers_per_stream,
        upstream_seconds_per_day=settings.upstream_seconds_per_day,
        output_tokens_per_day=settings.output_tokens_per_day,
        messages_per_minute=settings.messages_per_minute,
    )


def connections_of(settings: Settings) -> Connections:
    """Those that are taken over; time is kept from now on."""
    connections = Connections(settings.high_water_bytes, settings.send_deadline_s)
    connections.max_age_s = settings.max_connection_age_s
    connections.start()
    return connections


async def limiter_of(stack: AsyncExitStack, settings: Settings, store: Store, node: str, usage: Usage) -> Limiter:
    """Counts what each tenant and key does; is left when the hub has been, for what ends with that is counted, too."""
    limiter = Limiter(store, bounds_of(settings), usage, node=node, nodes=usage.nodes)
    return await stack.enter_async_context(limiter)


def tell_usage(usage: Usage, limiter: Limiter, hub: Hub) -> None:
    """What the hub runs is counted, and what it ran is billed."""
    usage.running, hub.on_ended = hub.streams_here, partial(bill, limiter)
    if hub.peers is not None:
        usage.others = hub.peers.others


def guard_of(settings: Settings, keyring: Keyring, salt: Callable[[], bytes]) -> Guard:
    """The door, out of the settings; ``salt`` names the tenants of callers with their own keys."""
    hosts = {host.lower() for host in settings.hosts}
    if settings.host not in ("0.0.0.0", "::", ""):  # noqa: S104
        hosts.add(settings.host.lower())
    if settings.public_url:
        hosts.add((urlsplit(settings.public_url).hostname or "").lower())
    origins = set(settings.origins)
    if settings.public_url:
        parts = urlsplit(settings.public_url)
        origins.add(f"{parts.scheme}://{parts.netloc}")
    return Guard(frozenset(hosts), frozenset(origins), keyring, settings.forward_keys, salt)


def embedded_engine(settings: Settings) -> EmbeddedEngine:
    """The embedded engine, out of the settings."""
    arguments = ["--workers", str(settings.engine_workers), "--log-level", settings.log_level]
    arguments += ["--max-bytes", str(settings.engine_max_bytes), "--threads", str(settings.engine_recognisers)]
    if settings.engine_private_urls:
        arguments.append("--allow-private-urls")
    if settings.speech is not None:
        arguments += ["--whisper", str(settings.speech)]
    if settings.things is not None:
        arguments += ["--things", str(settings.things)]
    if settings.weights:
        arguments += ["--meaning", str(settings.weights)]
    arguments += model_arguments(settings)
    secret = settings.vlm_key.get_secret_value() if settings.vlm_url and settings.vlm_key else None
    return EmbeddedEngine(settings.data_dir, arguments, secret=secret)


def model_arguments(settings: Settings) -> list[str]:
    """What the engine is told of the model that answers in its place; nothing where there is none."""
    if settings.vlm_url is None:
        return []
    arguments = ["--vlm-url", settings.vlm_url, "--vlm-model", settings.vlm_model or ""]
    arguments += ["--vlm-frames", str(settings.vlm_frames), "--vlm-video", settings.vlm_video]
    arguments += ["--vlm-parallel", str(settings.vlm_parallel), "--vlm-part-s", str(settings.vlm_part_s)]
    arguments += ["--vlm-fallback", settings.vlm_fallback]
    return [*arguments, *(["--vlm-key-piped"] if settings.vlm_key else [])]


def engine_for(settings: Settings, place: WorkerPlace | None) -> EmbeddedEngine | SharedEngine:
    """The engine of this process; a worker has its parent's."""
    return embedded_engine(settings) if place is None or place.engine is None else SharedEngine(place.engine)


def node_name(settings: Settings, place: WorkerPlace | None) -> str:
    """How this process is called. A name that was given is made one worker's own."""
    if settings.node is None:
        return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    return settings.node if place is None else f"{settings.node}-{place.name}"


def store_of(settings: Settings, node: str) -> Store:
    """Where streams are kept."""
    if settings.store_is_shared:
        # Its library takes as long to load as a tenth of the start: only those wait who use it.
        from service.store.redis import RedisStore

        return RedisStore(settings.store, node)
    if settings.store_path is None:
        return MemoryStore()
    return SqliteStore(settings.store_path, synchronous=settings.store_synchronous)


async def told_store(store: Store, settings: Settings) -> str:
    """How streams are kept, in words; warns where a restart of an engine loses them."""
    if not store.shared:
        return settings.store
    words, warning = await cast(SharedStore, store).in_words()
    if warning:
        log.warning("store_may_lose", note=warning)
    return f"redis, {words}"


def own_key_of(settings: Settings) -> str | None:
    """What is sent to the upstream in place of callers' keys, where they do not bring their own."""
    return None if settings.upstream_key is None else settings.upstream_key.get_secret_value()


def memory_of(settings: Settings) -> int:
    """What a process may take: as was said, or its part of what there is."""
    return settings.memory_bytes or available_bytes() // settings.workers


@contextmanager
def audit_of(settings: Settings) -> Iterator[AuditLog | None]:
    """The audit log, where there is to be one.

    Raises:
        AuditRefused: it cannot be written.
    """
    if settings.audit_log is None:
        yield None
        return
    with closing(AuditLog(settings.audit_log)) as audit:
        yield audit


def upstream_in_traces(kind: str, address: Address) -> dict[str, str | int]:
    """What traces tell of the upstream: who it is, and where."""
    provider = {"embedded": "fanlight", "cloud": "twelvelabs"}.get(kind, "_OTHER")
    where = urlsplit(address.base)
    port = {"server.port": where.port} if where.port and address.socket is None else {}
    return {"gen_ai.provider.name": provider, "server.address": where.hostname or "", **port}


def put_settings(app: web.Application, settings: Settings) -> None:
    """What handlers are told of the settings."""
    app[keys.TELL_TENANT] = settings.upstream == EMBEDDED
    app[keys.FORWARD_KEYS] = settings.forward_keys
    app[keys.MAX_BODY_BYTES] = settings.max_body_bytes
    app[keys.BODY_TIMEOUT_S] = settings.body_timeout_s
    if settings.public_url:
        parts = urlsplit(settings.public_url)
        app[keys.PUBLIC] = keys.PublicAddress(parts.scheme, parts.netloc)
    app[keys.PROMPT_CHARS] = settings.prompt_chars
    app[keys.CHAT_BODY_BYTES] = settings.chat_body_bytes
    app[keys.CHAT_RESUME_S] = settings.chat_resume_s


def watch(app: web.Application) -> None:
    """What the parts tell those who run the service."""
    app[keys.FIGURES] = Figures(
        app[keys.HUB],
        app[keys.CONNECTIONS],
        app[keys.LIMITER],
        app[keys.MEMORY],
        app[keys.KEYRING],
        app[keys.WATCHING],
    )


@asynccontextmanager
async def application(
    settings: Settings,
    place: WorkerPlace | None = None,
    *,
    read: Callable[[], Settings] = Settings,
    drain_now: Callable[[], None] = lambda: None,
    traces: Traces | None = None,
) -> AsyncIterator[web.Application]:
    """Open every part, and give the application that serves them.

    Args:
        read: reads the settings anew.
        drain_now: begins the end.
        traces: whoever records them; unset: as OpenTelemetry's variables say.
    """
    async with AsyncExitStack() as stack:
        if settings.upstream == EMBEDDED:
            engine = engine_for(settings, place)
            await stack.enter_async_context(engine)
            address = Address("http://localhost/v1.3", engine.socket)
            ready = keys.Readiness(lambda: engine.ready, "embedded")
        else:
            address = parse_address(settings.upstream)
            ready = keys.Readiness(lambda: True, "cloud" if settings.upstream == CLOUD else "other")
        upstream = await stack.enter_async_context(
            HttpUpstream(
                address,
                api_key=None if settings.forward_keys else own_key_of(settings),
                connect_timeout_s=settings.connect_timeout_s,
                silence_timeout_s=settings.total_timeout_s,
            )
        )
        connections = connections_of(settings)
        stack.push_async_callback(connections.close)
        node = node_name(settings, place)
        if traces is None:
            traces = await stack.enter_async_context(traces_of(node, upstream_in_traces(ready.kind, address)))
        store = store_of(settings, node)
        stack.push_async_callback(store.close)
        await store.open()
        keyring = await stack.enter_async_context(keyring_of(settings, store))
        if keyring.is_open and not is_loopback(settings.host):
            log.warning("open_to_all", note="anybody who reaches this address may use it")
        stack.callback(Expiry(connections, keyring).close)
        usage = Usage(connections)
        limiter = await limiter_of(stack, settings, store, node, usage)
        hub = await stack.enter_async_context(
            Hub(upstream, hub_limits(settings), store=store, node=node, upstream_ready=ready.ready, traces=traces)
        )
        app = web.Application(
            middlewares=[gate(guard_of(settings, keyring, lambda: store.salt))], client_max_size=settings.max_body_bytes
        )
        app[keys.WATCHING] = Watching(traces, stack.enter_context(audit_of(settings)))
        app[keys.HUB] = hub
        app[keys.KEYRING] = keyring
        tell_usage(usage, limiter, hub)
        app[keys.MEMORY] = MemoryWatch(hub, connections, memory_of(settings))
        stack.callback(app[keys.MEMORY].close)
        app[keys.LIMITER] = limiter
        app[keys.STORE] = await told_store(store, settings)
        app[keys.UPSTREAM] = upstream
        app[keys.CONNECTIONS] = connections
        app[keys.READY] = ready
        app[keys.SWITCH] = switch_of(drain_now, Reload(settings, read, partial(take, app)), place)
        put_settings(app, settings)
        if settings.upstream == EMBEDDED and settings.vlm_url is not None:
            app[keys.ENGINE] = Path(engine.socket)
        if place is not None:
            app[keys.SIBLINGS] = place.siblings
        app[keys.FORMS] = {}
        watch(app)
        await stack.enter_async_context(figures_told(node, app[keys.FIGURES].collect))
        add_routes(app)
        yield app


def sites_of(runner: Runner, settings: Settings, place: WorkerPlace | None) -> list[web.BaseSite]:
    """Where this process listens; a worker on the sockets that its parent opened."""
    if place is None:
        return [web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)]
    return [web.SockSite(runner, socket.socket(fileno=number), backlog=BACKLOG) for number in place.listeners]


@asynccontextmanager
async def served(
    settings: Settings,
    place: WorkerPlace | None = None,
    *,
    read: Callable[[], Settings] = Settings,
    drain_now: Callable[[], None] = lambda: None,
    traces: Traces | None = None,
) -> AsyncIterator[tuple[web.Application, str]]:
    """Serve until the context is left; gives the application and its own address.

    Args:
        read, drain_now, traces: see `application`.
    """
    opened = application(settings, place, read=read, drain_now=drain_now, traces=traces)
    async with opened as app, AsyncExitStack() as stack:
        runner = app[keys.RUNNER] = Runner(
            app,
            handle_signals=False,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=settings.keep_alive_s,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None
        stack.callback(LateHeads(runner.server, settings.header_timeout_s).close)
        for site in sites_of(runner, settings, place):
            await site.start()
        if place is not None:
            log.info("worker_serving", index=place.index, pid=os.getpid())
            # Last: whoever is answered here may rely on the rest.
            await stack.enter_async_context(private_door(app, place.socket))
        yield app, address_of(*runner.addresses[0][:2])


def address_of(host: str, port: int) -> str:
    """The address of a socket, as a URL."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def tell_serving(settings: Settings, address: str, store: str) -> None:
    """Say where the service is and where streams are kept."""
    log.info("serving", address=settings.public_url or address, upstream=settings.upstream_in_words, store=store)


async def serve(
    settings: Settings, place: WorkerPlace | None = None, *, read: Callable[[], Settings] = Settings
) -> None:
    """Serve until SIGTERM or SIGINT, then drain and return; a second signal ends at once. SIGHUP reads settings anew.

    A worker also ends with its parent; that one replaces it on SIGHUP.

    Args:
        read: reads the settings.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    now = asyncio.Event()
    orphaned = asyncio.Event()
    signalled = asyncio.Event()

    def asked_to_stop() -> None:
        now.set() if signalled.is_set() else signalled.set()
        stop.set()

    def parent_gone() -> None:
        orphaned.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop)
    if place is not None:
        await place.watch_parent(parent_gone, settings.drain_s + GOODBYE_S)
    # A terminal that closes ends nothing.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    async with served(settings, place, read=read, drain_now=stop.set) as (app, address):
        spare_the_collector()
        if place is None:
            loop.add_signal_handler(signal.SIGHUP, hung_up, app)
        if place is None:
            tell_serving(settings, address, app[keys.STORE])
        await stop.wait()
        if place is not None:
            await leave_port(app[keys.RUNNER])
        await drain(app, settings.drain_s, now)
    if place is not None and orphaned.is_set():
        place.clear()
    log.info("stopped")


def spare_the_collector() -> None:
    """Let the collector leave alone what stays for good, and look less often at the rest.

    A start makes a few hundred objects that stay as long as its stream: with Python's own numbers a fifth
    of its cost was looking through them again and again, and the longest waits of others came from there.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AT)


def hung_up(app: web.Application) -> None:
    """SIGHUP: read the settings anew; a fault is logged, and changes nothing."""
    with suppress(ReloadFault):
        app[keys.SWITCH].reload()


async def leave_port(runner: Runner) -> None:
    """Take no connection any more: the other workers do. Who has one and waits for nothing is sent to them."""
    for site in runner.sites:
        await site.stop()
    assert runner.server is not None
    await first_requests(runner.server, FIRST_REQUESTS_S)
    runner.server.pre_shutdown()


def take(app: web.Application, settings: Settings) -> None:
    """Let those settings count that may change while the service runs (`service.reload.LIVE`).

    Raises:
        ValueError: one of them is wrong, and none counts.
    """
    app[keys.KEYRING].configure(settings.api_keys, ticket_keys_of(settings))
    app[keys.LIMITER].bounds = bounds_of(settings)
    app[keys.HUB].change_limits(hub_limits(settings))
    app[keys.CONNECTIONS].max_age_s = settings.max_connection_age_s
    app[keys.MEMORY].most_bytes = memory_of(settings)
    app[keys.UPSTREAM].api_key = None if app[keys.FORWARD_KEYS] else own_key_of(settings)
    logs.configure(settings.log_level)


def switch_of(
    drain_now: Callable[[], None], reload: Callable[[], dict[str, Any]], place: WorkerPlace | None
) -> keys.Switch:
    """What an operator may do; with several workers their parent does it."""
    if place is None:
        return keys.Switch(drain_now, reload)

    def renewed() -> dict[str, Any]:
        os.kill(os.getppid(), signal.SIGHUP)
        return {"workers": "replaced one after the other"}

    return keys.Switch(partial(os.kill, os.getppid(), DRAIN), renewed)


async def drain(app: web.Application, drain_s: float, now: asyncio.Event) -> None:
    """Start nothing new, let what runs end within the grace, then say goodbye to those that are left."""
    hub, connections = app[keys.HUB], app[keys.CONNECTIONS]
    hub.drain()
    log.info("draining", running=hub.running, readers=len(connections))
    latest_ms = max(EARLIEST_RETURN_MS, round(drain_s * 1000))
    for connection in connections.open():
        connection.announce_drain(random.randint(EARLIEST_RETURN_MS, latest_ms))  # noqa: S311
    # A tenth of the grace is kept for the goodbyes.
    try:
        async with asyncio.timeout(drain_s * 0.8):
            await hub.quiet(now)
    except TimeoutError:
        await hub.hand_over()
        log.warning("drain_cut", running=hub.running)
    for connection in connections.open():
        if not connection.is_leaving:
            connection.drain()
    await connections.gone(min(1.0, drain_s * 0.1))
