"""The hub: every stream there is, its tenant, and the one task that pumps each.

Admission, single-flight and idempotency are decided in plain functions without an
await between check and set; then the pump does the I/O.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, cast

import structlog

from protocol.errors import Refusal
from protocol.upstream.textlog import TextLog
from protocol.wire.cursors import Cursor
from protocol.wire.endings import Status
from protocol.wire.options import Options
from service.hub.admission import Admission
from service.hub.breaker import Breaker
from service.hub.channels import Channel, Listener
from service.hub.keeping import Keeping
from service.hub.peers import Peers
from service.hub.pump import Pump, PumpLimits
from service.hub.replay import replay, shadow_of
from service.hub.requests import Asked, may_run_again
from service.hub.retention import Retention, RetentionLimits
from service.hub.shelf import ID, UNENDED, Shelf, call_from, call_of, meta_of
from service.hub.streams import Limits, Started, Stream, Terms, new_id
from service.hub.tally import Tally
from service.store.contract import Begun, Change, Kept, Keyed, Noted, Store, StoreFailed
from service.store.journal import Journal
from service.store.memory import MemoryStore
from service.store.shared import SharedStore
from service.upstream.contract import Upstream
from service.watch.traces import NoTraces, Traces

log = structlog.get_logger()
Result = TypeVar("Result")

TICK_S = 1.0
PRUNE_TICKS = 10  # between looks for what has expired in the store
SILENCE_S = 15.0  # then readers over HTTP are told that the stream lives
# What was left by a process that died is called again when the upstream answers, or after this long.
UPSTREAM_READY_S = 60.0
# What ended so short ago may have been lost with an engine that came back.
RECENT_S = 60.0
TOLD_AFTER_S = 0.01  # how long the log line of an ending waits, and for others
FIRST_READER_GRACE_S = 30.0  # a start without a reader waits this long for its first


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a way of starting means where its starter says nothing."""

    on_abandon: str
    grace_s: float

    def terms(self, options: Options) -> Terms:
        """The starter's terms."""
        grace_s = self.grace_s if options.grace_s is None else options.grace_s
        return Terms(options.on_abandon or self.on_abandon, grace_s, options.ttl_s)


NATIVE = Dialect("finish", 10.0)
UPSTREAM = Dialect("cancel", 0.0)


class Payer(Protocol):
    """Whoever a stream's cost is told under.

    Attributes:
        name: of the key; empty without one.
    """

    name: str

    async def pay(self) -> None:
        """One more stream is led.

        Raises:
            Refusal: it may not.
        """


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Bounds of the whole hub; streams are counted while they run."""

    stream: Limits
    pump: PumpLimits
    kept: RetentionLimits = field(default_factory=RetentionLimits)
    max_streams: int = 2000
    max_stored_bytes: int = 8 << 30
    store_window_s: float = 0.0
    max_streams_per_tenant: int = 1000


@dataclass(slots=True)
class _Record:
    """What the hub knows of a stream besides the stream."""

    identity: bytes
    keeping: Keeping
    call: bytes | None = None  # as it is kept, to be made again
    pump: Pump | None = None  # none for a stream that was loaded with its ending
    task: asyncio.Task[None] | None = None
    idle_timer: asyncio.TimerHandle | None = None
    keys: tuple[str, ...] = ()  # idempotency keys that lead here


@dataclass(slots=True)
class _Tenant:
    streams: dict[str, Stream] = field(default_factory=dict)  # oldest first
    joinable: dict[bytes, Stream] = field(default_factory=dict)  # running, by identity
    kept: dict[bytes, Stream] = field(default_factory=dict)  # completed, by identity
    keys: OrderedDict[str, tuple[bytes, Stream]] = field(default_factory=OrderedDict)  # idempotency
    channels: dict[str, Channel] = field(default_factory=dict)  # while somebody listens


class Hub:
    """Own every stream, and one pump task each; nobody else starts, cancels or awaits them.

    An async context manager: on leaving, running streams end as ``interrupted``.
    """

    def __init__(
        self,
        upstream: Upstream,
        limits: HubLimits,
        *,
        store: Store | None = None,
        node: str = "",
        upstream_ready: Callable[[], bool] = lambda: True,
        wall: Callable[[], float] = time.time,
        traces: Traces | None = None,
    ) -> None:
        self._upstream = upstream
        self._traces = traces or NoTraces()
        self.node = node
        self._upstream_ready = upstream_ready
        self._limits = limits
        self.wall = self._wall = wall
        self._loop = asyncio.get_running_loop()
        self.tally = Tally()
        self._tenants: dict[str, _Tenant] = {}
        self._running: dict[Stream, _Record] = {}
        self._ended: dict[Stream, _Record] = {}
        self._admission = Admission(limits.max_streams, limits.max_streams_per_tenant)
        self.kept = Retention(limits.kept, self._loop, self._forget)
        self.journal = Journal(store or MemoryStore(), window_s=limits.store_window_s, anew=self._anew, lost=self._lost)
        self._shelf = Shelf(self.journal.store, limits.stream, self._loop, self._idle, self.tally)
        # What there is to do with other nodes, where the store is theirs, too.
        self.peers = Peers(self, cast(SharedStore, store)) if self.journal.store.shared else None
        self._recovered = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ticker: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._tick_due = 0.0  # on the tally's clock
        self._replays: set[asyncio.Task[None]] = set()
        self._untold: list[tuple[Context, Stream, int, float]] = []  # those that have ended, and are to be logged
        self.breaker = Breaker(self._loop.time)
        # Told of each stream that this process runs no more.
        self.on_ended: Callable[[Stream], None] = lambda _stream: None

    async def __aenter__(self) -> Self:
        self._tick_later()
        store = self.journal.store
        # Asked before anything is begun here: what runs now is what another process left behind.
        left = await store.running() if store.durable and self.peers is None else []
        await self.journal.__aenter__()
        self._own(self._recover(left))
        if self.peers is not None:
            await self.peers.begin()
        return self

    def _own(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin something that ends with the hub at the latest."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drain()
        if self._ticker is not None:
            self._ticker.cancel()
        tasks = [*(record.task for record in self._running.values() if record.task), *self._replays, *self._tasks]
        for task in tasks:
            task.cancel()
        # Cancelling only asks; a pump writes its stream's ending on the way out.
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.journal.__aexit__(None, None, None)
        if self.peers is not None:
            await self.peers.end()
        self._tell_ended()  # last: where no line can be written all else is done

    def drain(self) -> None:
        """Begin nothing new."""
        self._admission.draining = True

    @property
    def draining(self) -> bool:
        """Whether nothing new is begun."""
        return self._admission.draining

    def change_limits(self, limits: HubLimits) -> None:
        """Let other numbers of running streams count from now on; the rest stays."""
        most, each = limits.max_streams, limits.max_streams_per_tenant
        self._limits = replace(self._limits, max_streams=most, max_streams_per_tenant=each)
        self._admission.change(most, each)

    @property
    def short_of_memory(self) -> bool:
        """Whether nothing new is begun until there is more of it."""
        return self._admission.short_of_memory

    @short_of_memory.setter
    def short_of_memory(self, short: bool) -> None:
        self._admission.short_of_memory = short

    # -- starting

    async def begin(
        self,
        tenant: str,
        asked: Asked,
        dialect: Dialect,
        *,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        payer: Payer | None = None,
    ) -> Started:
        """`start`, also where only the store or another node has what it leads to.

        Args:
            payer: is asked before a stream is led, and not for one that is joined.
        """
        if self.peers is not None:
            terms = dialect.terms(asked.options)
            started = await self.peers.start(tenant, asked, terms, headers or {}, idempotency_key, payer)
            self.tally.joins[started.join] += 1
            return started
        await self.recall(tenant, asked, idempotency_key)
        if payer is not None and not self._leads_somewhere(tenant, asked, idempotency_key):
            await payer.pay()
        name = payer.name if payer is not None else ""
        return self.start(tenant, asked, dialect, headers=headers, idempotency_key=idempotency_key, payer=name)

    def _leads_somewhere(self, tenant: str, asked: Asked, idempotency_key: str | None) -> bool:
        """Whether a start comes to a stream that is at hand."""
        space = self._tenants.get(tenant)
        return space is not None and (idempotency_key in space.keys or self._joinable(space, asked) is not None)

    def start(
        self,
        tenant: str,
        asked: Asked,
        dialect: Dialect,
        *,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        payer: str = "",
    ) -> Started:
        """Start a stream, or come to one that is already there in memory.

        Args:
            headers: sent upstream besides the upstream's own.

        Raises:
            Refusal: ``draining``, ``overloaded``, ``limit_reached``, ``idempotency_conflict``.
        """
        space = self._tenants.get(tenant) or _Tenant()
        if idempotency_key is not None and (found := self._by_key(space, idempotency_key, asked)) is not None:
            return Started(found, "joined" if found.run.ending is None else "replayed")
        terms = dialect.terms(asked.options)
        joined = self._join(space, asked, terms)
        if joined is None:
            joined = Started(self.lead(tenant, asked, terms, headers or {}, payer=payer), "leader")
            space = self._tenants[tenant]
        if idempotency_key is not None:
            space.keys[idempotency_key] = (asked.identity, joined.stream)
            self._record(joined.stream).keys += (idempotency_key,)
            self.journal.add(Keyed(joined.stream.id, tenant, idempotency_key, asked.identity))
        self._announce(space, asked.options.channel, joined)
        self.tally.joins[joined.join] += 1
        return joined

    def _record(self, stream: Stream) -> _Record:
        return self._running.get(stream) or self._ended[stream]

    def lead_keyed(self, stream: Stream, key: str) -> None:
        """An idempotency key leads to a stream that was begun here."""
        record = self._record(stream)
        record.keys += (key,)
        self.journal.add(Keyed(stream.id, stream.tenant, key, record.identity))

    def _by_key(self, space: _Tenant, key: str, asked: Asked) -> Stream | None:
        found = space.keys.get(key)
        if found is None:
            return None
        identity, stream = found
        if identity != asked.identity:
            raise Refusal("idempotency_conflict", "this Idempotency-Key was used with another request")
        return stream

    def _join(self, space: _Tenant, asked: Asked, terms: Terms) -> Started | None:
        stream = self._joinable(space, asked)
        if stream is None:
            return None
        if stream.run.ending is not None:
            return Started(stream, "replayed")
        stream.terms.join(terms)
        self._note(stream)
        return Started(stream, "joined")

    @staticmethod
    def _joinable(space: _Tenant, asked: Asked) -> Stream | None:
        """The stream that a start comes to; None where it leads."""
        join = asked.options.join
        if join == "never":
            return None
        stream = space.joinable.get(asked.identity)
        if stream is not None and stream.run.ending is None:
            return stream
        if join != "replay":
            return None
        # Its ending is written before its upstream call is wound up.
        kept = stream if stream is not None else space.kept.get(asked.identity)
        return kept if kept is not None and kept.run.status is Status.COMPLETED else None

    def lead(
        self,
        tenant: str,
        asked: Asked,
        terms: Terms,
        headers: Mapping[str, str],
        stream_id: str | None = None,
        *,
        payer: str = "",
    ) -> Stream:
        """Begin a stream, whatever else there is.

        Raises:
            Refusal: ``draining``, ``overloaded``, ``limit_reached``.
        """
        if not self.journal.up:
            raise Refusal("overloaded", "what is shown cannot be kept now", retry_after_s=1)
        self._admission.admit(tenant)
        space = self._tenants.get(tenant)
        if space is None:
            space = self._tenants[tenant] = _Tenant()
        stream = Stream(
            stream_id or new_id(),
            tenant,
            request=asked.shown,
            options=asked.options,
            terms=terms,
            schema=asked.schema,
            limits=self._limits.stream,
            now=self._wall(),
            loop=self._loop,
            on_idle=self._idle,
            tally=self.tally,
        )
        stream.node, stream.payer = self.node, payer
        call = None
        if self.journal.store.durable:
            call = call_of(headers, asked.body) if may_run_again(asked) else None
            self.journal.add(Begun(stream.id, tenant, stream.run.times.created, meta_of(stream, asked.identity), call))
        record = self._pump(stream, asked.identity, asked.body, headers, asked.options.restart)
        record.call = call
        space.streams[stream.id] = stream
        if asked.options.join != "never":
            space.joinable[asked.identity] = stream
        if terms.on_abandon == "cancel":
            self.abandoned(stream, at_least_s=FIRST_READER_GRACE_S)
        return stream

    async def _until_upstream_is_ready(self) -> None:
        """Wait for an upstream that starts together with this process, but not for ever."""
        until = self._loop.time() + UPSTREAM_READY_S
        while not self._upstream_ready() and self._loop.time() < until:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.05)

    def _pump(
        self,
        stream: Stream,
        identity: bytes,
        body: bytes,
        headers: Mapping[str, str],
        restarts: int,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> _Record:
        """Begin the one task that pumps a stream; where there is something to wait for first, ``ready`` does."""
        keeping = self._keeping_of(stream, identity)
        pump = Pump(
            stream.run,
            keeping,
            self._upstream,
            self.breaker,
            body=body,
            headers=headers,
            limits=self._limits.pump,
            wall=self._wall,
            restarts=restarts,
            tally=self.tally,
            traces=self._traces,
            model=stream.request.get("model_name"),
            ready=ready,
        )
        task = self._loop.create_task(pump.run(), name=f"pump {stream.id}")
        record = self._running[stream] = _Record(identity, keeping, pump=pump, task=task)
        task.add_done_callback(lambda _task: self._done(stream))
        return record

    def _note(self, stream: Stream) -> None:
        """What is known of a stream has changed."""
        if self.journal.store.durable and stream.run.ending is None:
            self.journal.add(Noted(stream.id, meta_of(stream, self._record(stream).identity)))

    def _anew(self, stream_id: str) -> list[Change]:
        """The changes that write a stream whole, for a store that has missed some."""
        found = (space.streams.get(stream_id) for space in self._tenants.values())
        stream = next((stream for stream in found if stream is not None), None)
        if stream is None or (stream not in self._running and stream not in self._ended):
            return []  # not in memory, or not this node's
        record = self._record(stream)
        meta = meta_of(stream, record.identity)
        begun = Begun(stream.id, stream.tenant, stream.run.times.created, meta, record.call)
        keys = [Keyed(stream.id, stream.tenant, key, record.identity) for key in record.keys]
        # Where its beginning was kept, what was noted since may not be.
        return [begun, Noted(stream.id, meta), *keys, *record.keeping.anew()]

    def _lost(self, stream_id: str) -> None:
        """Another node holds a stream that ran here: nothing more of it is shown or ended, but what is kept."""
        for stream in self.streams_here():
            if stream.id == stream_id:
                self.let_go(stream)
                return
        for stream in [stream for stream in self._ended if stream.id == stream_id]:
            self.kept.give_up(stream)

    def let_go(self, stream: Stream) -> None:
        """Run a stream no more, without an ending: it is another node's."""
        record = self._running.get(stream)
        if record is None:
            return  # it was over in the meantime
        record.keeping.lost = True
        self.on_ended(stream)
        log.warning("stream_lost", stream=stream.id)
        if record.task is not None:
            record.task.cancel()

    def _announce(self, space: _Tenant, name: str | None, started: Started) -> None:
        if name is not None and started.stream.run.ending is None:
            if name not in started.stream.channels:
                started.stream.channels |= {name}
                self._note(started.stream)
            if (channel := space.channels.get(name)) is not None:
                channel.announce(started.stream)

    def replay(self, stream: Stream, factor: float) -> Stream:
        """A stream that grows as an ended one did, for one reader; it begins once he is attached.

        Raises:
            Refusal: ``invalid_request``: the stream has not ended.
        """
        if stream.run.ending is None:
            raise Refusal("invalid_request", "pace: the stream has not ended yet")
        shadow = shadow_of(stream)
        task = self._loop.create_task(replay(stream, shadow, factor), name=f"replay {stream.id}")
        self._replays.add(task)
        task.add_done_callback(self._replays.discard)
        return shadow

    # -- ending

    async def cancel_anywhere(self, stream: Stream, *, force: bool = False) -> None:
        """`cancel`, also of a stream that runs at another node, or that others may join there."""
        if self.peers is None or stream.run.ending is not None:
            self.cancel(stream, force=force)
        else:
            await self.peers.cancel(stream, force=force)

    async def withdraw(self, stream: Stream) -> bool:
        """One starter of a stream wants it no more; the last one cancels it. Whether it ends.

        Raises:
            Refusal: ``overloaded``.
        """
        if self.peers is not None and stream.run.ending is None:
            return await self.peers.withdraw(stream)
        return self.withdraw_here(stream)

    def withdraw_here(self, stream: Stream) -> bool:
        """`withdraw`, as far as this process alone knows."""
        if stream.run.ending is None and stream.terms.starters > 1:
            stream.terms.starters -= 1
            self._note(stream)
            return False
        self.cancel(stream)
        return True

    def cancel_then(self, stream: Stream, force: bool, then: Callable[[Refusal | None], None]) -> None:
        """`cancel_anywhere` for a caller that cannot wait: ``then`` is given the refusal, or None."""
        self._own(self._told(self.cancel_anywhere(stream, force=force), then))

    def cancel(self, stream: Stream, *, force: bool = False) -> None:
        """Cancel a stream by call; one that has ended is left as it is.

        Raises:
            Refusal: ``shared``, where others started it too.
        """
        if stream.run.ending is None and stream.terms.starters > 1 and not force and not self._is_stopping(stream):
            raise Refusal("shared", "others started this stream too; force cancels it for all")
        self.stop(stream, "cancelled")

    def _is_stopping(self, stream: Stream) -> bool:
        """Whether a stream here was told to end, and has not yet."""
        record = self._running.get(stream)
        return record is not None and record.task is not None and record.task.cancelling() > 0

    def stop(self, stream: Stream, code: str) -> None:
        """End a stream that runs here; any other is left as it is."""
        record = self._running.get(stream)
        if record is not None and stream.run.ending is None and record.pump is not None and record.task is not None:
            record.pump.cancel_code = code
            record.task.cancel()
            # Nobody joins what is about to end.
            joinable = self._tenants[stream.tenant].joinable
            if joinable.get(record.identity) is stream:
                del joinable[record.identity]

    def _idle(self, stream: Stream) -> None:
        """The last subscriber here has left."""
        if self.peers is not None and self.peers.is_mirrored(stream):
            self.peers.idle(stream)
        elif not stream.is_watched:
            self.abandoned(stream)

    def abandoned(self, stream: Stream, *, at_least_s: float = 0.0) -> None:
        """Nobody watches a stream any more, at whatever node: where it is to end by that its grace begins."""
        record = self._running.get(stream)
        if record is None or stream.run.ending is not None or stream.terms.on_abandon != "cancel":
            return
        if record.idle_timer is not None:
            record.idle_timer.cancel()
        grace_s = max(at_least_s, stream.terms.grace_s)
        if grace_s == 0:
            self._abandon(stream)
        else:
            record.idle_timer = self._loop.call_later(grace_s, self._abandon, stream)

    def _abandon(self, stream: Stream) -> None:
        # Asked again when the time has come: somebody may have attached, or started it too.
        if stream.is_watched or stream.terms.on_abandon != "cancel":
            return
        if self.peers is None:
            self.stop(stream, "abandoned")
        else:
            self._own(self.peers.abandon(stream))

    def _done(self, stream: Stream) -> None:
        """A pump's task is over; a task cancelled before its first step has written no ending."""
        record = self._running.pop(stream)
        assert record.pump is not None
        self._admission.release(stream.tenant)
        if record.idle_timer is not None:
            record.idle_timer.cancel()
        space = self._tenants[stream.tenant]
        if space.joinable.get(record.identity) is stream:
            del space.joinable[record.identity]
        if record.keeping.lost and self.peers is not None:
            self.peers.demoted(stream, record.identity)
            return
        if stream.run.ending is None:
            stream.run.finish(record.pump.cancel_code, now=self._wall())
            for change in record.keeping.anew()[-1:]:
                self.journal.add(change)
        self._log(stream)
        record.pump = record.task = record.idle_timer = None
        self._keep(space, stream, record)

    def _log(self, stream: Stream) -> None:
        ending, tally = stream.run.ending, self.tally
        assert ending is not None
        tally.endings[str(ending.status), ending.code or ""] += 1
        tally.events += stream.run.log.count
        tally.text_bytes += ending.to
        tally.retries += stream.run.retries
        self.on_ended(stream)
        # A line takes longer than all else that is done behind an ending, and the next call of that caller waits.
        self._untold.append((copy_context(), stream, stream.subscribers, stream.run.clock()))
        if len(self._untold) == 1:
            self._loop.call_later(TOLD_AFTER_S, self._tell_ended)

    def _tell_ended(self) -> None:
        """Write the lines of those that have ended."""
        untold, self._untold = self._untold, []
        for context, stream, subscribers, at in untold:
            context.run(_tell, stream, subscribers, at)

    # -- keeping

    def _keep(self, space: _Tenant, stream: Stream, record: _Record) -> None:
        if stream.run.status is Status.COMPLETED and stream.run.options.join != "never":
            space.kept[record.identity] = stream
        self._ended[stream] = record
        self.kept.keep(stream)

    def _forget(self, stream: Stream) -> None:
        """From now on the stream is as unknown as one that never was."""
        record = self._ended.pop(stream)
        space = self._tenants[stream.tenant]
        if space.streams.get(stream.id) is stream:
            del space.streams[stream.id]
        if space.kept.get(record.identity) is stream:
            del space.kept[record.identity]
        for key in record.keys:
            space.keys.pop(key, None)
        self._tidy(stream.tenant)

    def _tidy(self, tenant: str) -> None:
        """Nothing is kept of a tenant that has nothing here."""
        space = self._tenants[tenant]
        if not space.streams and not space.channels:
            del self._tenants[tenant]

    # -- what was kept

    def _in_memory(self, tenant: str, stream_id: str) -> Stream | None:
        space = self._tenants.get(tenant)
        return space.streams.get(stream_id) if space is not None else None

    async def fetch(self, tenant: str, stream_id: str) -> Stream:
        """The stream of that id, also where only the store has it.

        Raises:
            Refusal: ``not_found``, also for what belongs to another tenant; ``overloaded``, where
                the store cannot be read.
        """
        stream = self._in_memory(tenant, stream_id)
        if stream is None and self.journal.store.durable and ID.fullmatch(stream_id):
            stream = await self._load(tenant, stream_id)
        if stream is None:
            raise Refusal("not_found", "there is no such stream")
        return stream

    def needs_recall(self, tenant: str, asked: Asked, idempotency_key: str | None) -> bool:
        """Whether a start may lead to a stream that only the store has, or another node."""
        if self.peers is not None:
            return True
        if not self.journal.store.durable:
            return False
        space = self._tenants.get(tenant) or _Tenant()
        by_key = idempotency_key is not None and idempotency_key not in space.keys
        return by_key or (asked.options.join == "replay" and asked.identity not in space.kept)

    async def recall(self, tenant: str, asked: Asked, idempotency_key: str | None) -> None:
        """Have those kept streams at hand that a start may lead to."""
        if not self.journal.store.durable:
            return
        await self._recovered.wait()
        space = self._tenants.get(tenant) or _Tenant()
        key = idempotency_key if idempotency_key not in space.keys else None
        replay = asked.options.join == "replay" and asked.identity not in space.kept
        known, same = await self._shelf.leads(tenant, asked, key, replay=replay)
        for stream_id in (known, same):
            with suppress(Refusal):
                if stream_id is not None:
                    await self.fetch(tenant, stream_id)
        stream = self._tenants.get(tenant, _Tenant()).streams.get(known or "")
        if stream is not None and key is not None:
            record = self._record(stream)
            self._tenants[tenant].keys[key] = (record.identity, stream)
            record.keys += (key,)

    async def _load(self, tenant: str, stream_id: str) -> Stream | None:
        await self._recovered.wait()
        if (there := self._in_memory(tenant, stream_id)) is not None:
            return there  # taken over meanwhile: it may run
        if self.peers is not None and (running := await self.peers.mirror(tenant, stream_id)) is not None:
            return running
        found = await self._shelf.ended(tenant, stream_id, self._wall())
        if (there := self._in_memory(tenant, stream_id)) is not None:
            return there  # another call was quicker
        if found is None:
            return None
        stream, identity, ending, kept = found
        stream.run.conclude(ending)
        stream.run.times.ended = kept.at
        self._enter(stream, _Record(identity, self._keeping_of(stream, identity)), kept.expires)
        return stream

    def _keeping_of(self, stream: Stream, identity: bytes) -> Keeping:
        same = identity if stream.run.options.join != "never" else None  # else it would stand before one to replay
        return Keeping(stream.run, self.journal, identity=same, terms=stream.terms)

    def _enter(self, stream: Stream, record: _Record, expires: float) -> None:
        """Take in a stream that was loaded with its ending."""
        space = self._tenants.setdefault(stream.tenant, _Tenant())
        space.streams[stream.id] = stream
        if stream.run.status is Status.COMPLETED and stream.run.options.join != "never":
            space.kept[record.identity] = stream
        self._ended[stream] = record
        self.kept.keep(stream, ttl_s=max(0.0, expires - self._wall()))

    async def _recover(self, left: list[Kept]) -> None:
        """End or call again what ran when its process died."""
        try:
            for kept in left:
                try:
                    await self._take_over(kept, await self.journal.store.blocks(kept.stream))
                except Exception:  # what became of one is no reason to leave the others
                    log.exception("stream_not_recovered", stream=kept.stream)
        finally:
            self._recovered.set()

    async def _take_over(self, kept: Kept, blocks: list[bytes]) -> None:
        stream, identity = await self._shelf.stream(kept, blocks)
        await self.go_on(stream, identity, kept.body, "interrupted")

    async def go_on(
        self,
        stream: Stream,
        identity: bytes,
        call: bytes | None,
        code: str,
        *,
        text: TextLog | None = None,
        given: bool = False,
    ) -> None:
        """Call a stream again that ran when its process died, or end it as ``code`` says.

        Args:
            call: as it is kept.
            text: a generation that is to replace what readers here were shown.
            given: its process gave it up for another to call it again; that is none of its restarts.
        """
        space = self._tenants.setdefault(stream.tenant, _Tenant())
        space.streams[stream.id] = stream
        if code == "interrupted" and (given or stream.restarts > 0) and call is not None:
            headers, body = call_from(call)
            stream.restarts -= not given
            stream.node = self.node
            record = self._pump(stream, identity, body, headers, stream.restarts, self._until_upstream_is_ready)
            record.call = call
            if text is not None:
                record.keeping.regenerate(text, "taken_over")
            self._note(stream)  # else what kills its process would be called again by each one that follows
            if stream.run.options.join != "never":
                space.joinable[identity] = stream
            self._admission.count(stream.tenant)
            if not stream.is_watched:
                self.abandoned(stream, at_least_s=FIRST_READER_GRACE_S)
            log.info("stream_called_again", stream=stream.id, bytes=stream.run.log.size)
        else:
            record = self._running[stream] = _Record(identity, self._keeping_of(stream, identity))
            if text is not None:
                record.keeping.regenerate(text, "taken_over")
            await record.keeping.finish(code, now=self._wall())
            del self._running[stream]
            if record.keeping.lost and self.peers is not None:
                self.peers.demoted(stream, identity)  # taken over once more, in the meantime
                return
            self._log(stream)
            self._enter(stream, record, self._wall() + stream.terms.ttl_s)

    async def hand_over(self) -> None:
        """Give what still runs to other nodes, where there are any that can call it again."""
        if self.peers is not None:
            await self.peers.hand_over()

    # -- for what other nodes have to do with it

    def streams_here(self) -> "tuple[Stream, ...]":
        """The streams that this process runs."""
        return tuple(self._running)

    def runs_here(self, stream_id: str) -> Stream | None:
        """The stream of that id, where this process runs it."""
        found = (space.streams.get(stream_id) for space in self._tenants.values())
        return next((stream for stream in found if stream in self._running), None)

    def runs(self, stream: Stream) -> bool:
        """Whether this process runs a stream."""
        return stream in self._running

    def identity_of(self, stream: Stream) -> bytes:
        """The identity of a stream that runs here."""
        return self._running[stream].identity

    def is_moving(self, stream: Stream) -> bool:
        """Whether another node could call a stream again that runs here."""
        record = self._running.get(stream)
        return record is not None and record.call is not None

    def engine_came_back(self, lost: str) -> None:
        """The store has lost ``some`` of what it had, or ``all``: what runs here is written anew.

        Where some is lost so is what ended of late; where all is, what ended is as gone here as it is there.
        """
        now = self._wall()
        for stream in list(self._ended):
            if not self.journal.is_kept(stream.id):
                continue  # it is written anew in any case
            if lost == "all":
                self.kept.give_up(stream)
            elif now - (stream.run.times.ended or 0.0) < RECENT_S:
                self.journal.suspect([stream.id])
        self.journal.suspect(stream.id for stream in self._running)

    def outdated(self, stream_id: str, gen: int) -> None:
        """An ended stream is of that generation by now: another one in memory is given up, to be read anew."""
        for stream in [stream for stream in self._ended if stream.id == stream_id and stream.run.gen < gen]:
            self.kept.give_up(stream)

    def take_in(self, stream: Stream) -> None:
        """Have a mirror at hand, where no other stream of its id is."""
        self._tenants.setdefault(stream.tenant, _Tenant()).streams.setdefault(stream.id, stream)

    def give_out(self, stream: Stream) -> None:
        """Have a mirror at hand no more."""
        if self._in_memory(stream.tenant, stream.id) is stream:
            del self._tenants[stream.tenant].streams[stream.id]
            self._tidy(stream.tenant)

    def settled(self, stream: Stream, identity: bytes, expires: float) -> None:
        """A mirror has its ending."""
        self._enter(stream, _Record(identity, self._keeping_of(stream, identity)), expires)

    @property
    def shelf(self) -> Shelf:
        """Makes streams of what is kept."""
        return self._shelf

    @property
    def most_per_tenant(self) -> int:
        """How many streams a tenant may run."""
        return self._limits.max_streams_per_tenant

    async def prune(self) -> None:
        """Forget in the store what has expired or does not fit any more."""
        with suppress(StoreFailed):
            for stream_id in await self.journal.store.prune(self._wall(), self._limits.max_stored_bytes):
                for stream in [stream for stream in self._ended if stream.id == stream_id]:
                    self.kept.give_up(stream)

    # -- finding

    def find(self, tenant: str, stream_id: str) -> Stream | None:
        """The stream of that id, where it is in memory; None where only `fetch` can tell.

        Raises:
            Refusal: ``not_found``, where nothing else could have it.
        """
        stream = self._in_memory(tenant, stream_id)
        if stream is None and not (self.journal.store.durable and ID.fullmatch(stream_id)):
            raise Refusal("not_found", "there is no such stream")
        return stream

    def told(self, work: Coroutine[Any, Any, Result], then: Callable[[Result | Refusal], None]) -> None:
        """Do what takes a while for a caller that cannot wait: ``then`` is given its result, or the refusal."""
        self._own(self._told(work, then))

    @staticmethod
    async def _told(work: Coroutine[Any, Any, Result], then: Callable[[Result | Refusal], None]) -> None:
        try:
            found: Result | Refusal = await work
        except Refusal as refusal:
            found = refusal
        except Exception:
            log.exception("load_failed")
            found = Refusal("internal", "the service failed")
        then(found)

    def list(self, tenant: str) -> list[Stream]:
        """A tenant's streams that are in memory, newest first."""
        space = self._tenants.get(tenant)
        streams = space.streams.values() if space is not None else ()
        newest_first = list(streams)[::-1]  # and so it stays among those of one moment
        return sorted(newest_first, key=lambda stream: -stream.run.times.created)

    async def page(self, tenant: str, status: str | None, after: str | None, limit: int) -> "tuple[Stream | Kept, ...]":
        """A tenant's streams, newest first, behind one of them; what only the store has as it is kept.

        Raises:
            Refusal: ``invalid_request``: there is no such stream to begin behind; ``overloaded``.
        """
        if not self.journal.store.durable:
            return self._page(tenant, status, after, limit)
        try:
            await self._recovered.wait()
            await self.journal.flushed()
            behind = await self.journal.store.find(after) if after is not None else None
            if after is not None and (behind is None or behind.tenant != tenant):
                raise Refusal("invalid_request", "after: there is no such stream")
            if status in UNENDED and self.peers is None:  # those are all in memory
                return tuple(
                    stream
                    for stream in self.list(tenant)
                    if stream.run.status == status and (behind is None or stream.run.times.created < behind.created)
                )[:limit]
            before = behind.place if behind is not None else None
            if self.peers is not None and status in UNENDED:
                return await self.peers.running_page(tenant, status or "", before, limit)
            return await self._kept_page(tenant, status, before, limit)
        except StoreFailed:
            return self._page(tenant, status, after, limit)

    async def _kept_page(
        self, tenant: str, status: str | None, before: int | None, limit: int
    ) -> "tuple[Stream | Kept, ...]":
        found: list[Stream | Kept] = []
        rows = limit
        while rows == limit and len(found) < limit:
            kept = await self.journal.store.page(tenant, status, before, limit)
            space, now = self._tenants.get(tenant) or _Tenant(), self._wall()
            for one in kept:
                stream = space.streams.get(one.stream)
                if stream is None and one.ending is None and self.peers is not None:
                    stream = await self.peers.glimpse(one)
                if stream is not None or (one.ending is not None and one.expires > now):
                    found.append(stream or one)
            rows, before = len(kept), kept[-1].place if kept else None
        return tuple(found[:limit])

    def _page(self, tenant: str, status: str | None, after: str | None, limit: int) -> "tuple[Stream | Kept, ...]":
        streams = self.list(tenant)
        if after is not None:
            position = next((n for n, stream in enumerate(streams) if stream.id == after), None)
            if position is None:
                raise Refusal("invalid_request", "after: there is no such stream")
            streams = streams[position + 1 :]
        return tuple(stream for stream in streams if status in (None, stream.run.status))[:limit]

    @property
    def running(self) -> int:
        """Streams that have no ending yet."""
        return len(self._running)

    async def quiet(self, enough: asyncio.Event) -> None:
        """Wait until no stream runs, or until ``enough``."""
        tasks = {record.task for record in self._running.values() if record.task is not None}
        if tasks:
            waiter = asyncio.ensure_future(enough.wait())
            everything = asyncio.ensure_future(asyncio.wait(tasks))
            try:
                await asyncio.wait({waiter, everything}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiter.cancel()
                everything.cancel()

    # -- channels

    def listen(
        self,
        tenant: str,
        name: str,
        listener: Listener,
        cursor: Cursor | None,
        ref: Any = None,
        running: "tuple[Stream, ...] | None" = None,
    ) -> None:
        """Attach to a channel, and to what runs under its name."""
        space = self._tenants.setdefault(tenant, _Tenant())
        channel = space.channels.setdefault(name, Channel(name))
        channel.listen(listener, self.running_under(tenant, name) if running is None else running, cursor, ref)

    def channel(self, tenant: str, name: str) -> Channel | None:
        """A channel that somebody listens to here."""
        space = self._tenants.get(tenant)
        return space.channels.get(name) if space is not None else None

    def in_memory(self, tenant: str, stream_id: str) -> Stream | None:
        """A tenant's stream that is at hand."""
        return self._in_memory(tenant, stream_id)

    def channels(self) -> "tuple[tuple[str, Channel], ...]":
        """The channels that somebody listens to here, with their tenants."""
        return tuple(
            (tenant, channel) for tenant, space in self._tenants.items() for channel in space.channels.values()
        )

    def has_reached(self, stream: Stream, cursor: Cursor | None) -> bool:
        """Whether a stream has what a reader was shown; one that follows another node's may be about to."""
        return self.peers is None or self.peers.has_reached(stream, cursor)

    async def reach(self, stream: Stream, cursor: Cursor | None) -> None:
        """Wait until it has, for a moment: a cursor that nobody was given is ahead for ever."""
        if self.peers is not None:
            await self.peers.reach(stream, cursor)

    def reach_then(self, stream: Stream, cursor: Cursor | None, then: Callable[[Refusal | None], None]) -> None:
        """`reach` for a caller that cannot wait."""
        self._own(self._told(self.reach(stream, cursor), then))

    async def under(self, tenant: str, name: str) -> "tuple[Stream, ...]":
        """The streams that run under a channel's name, at whatever node.

        Raises:
            Refusal: ``overloaded``: the store cannot be read.
        """
        if self.peers is None:
            return self.running_under(tenant, name)
        return await self.peers.under(tenant, name)

    def under_then(self, tenant: str, name: str, then: "Callable[[tuple[Stream, ...] | Refusal], None]") -> None:
        """`under` for a caller that cannot wait."""
        self._own(self._told(self.under(tenant, name), then))

    def running_under(self, tenant: str, name: str) -> "tuple[Stream, ...]":
        """The streams that run under a channel's name."""
        space = self._tenants.get(tenant) or _Tenant()
        return tuple(s for s in space.streams.values() if s.run.ending is None and name in s.channels)

    def unlisten(self, tenant: str, name: str, listener: Listener) -> None:
        """Leave a channel; idempotent."""
        space = self._tenants.get(tenant)
        channel = space.channels.get(name) if space is not None else None
        if space is None or channel is None:
            return
        channel.listeners.discard(listener)
        if not channel.listeners:
            del space.channels[name]
            self._tidy(tenant)

    # -- the beat

    def _tick_later(self) -> None:
        self._ticker = self._loop.call_later(TICK_S, self._tick)
        self._tick_due = self.tally.clock() + TICK_S

    def _tick(self) -> None:
        self.tally.loop_lag.observe(max(0.0, self.tally.clock() - self._tick_due))
        self._tick_later()
        self._ticks += 1
        if self._ticks % PRUNE_TICKS == 0 and self.journal.store.durable:
            self._own(self.prune())
        for stream in (*self._running, *(self.peers.mirrored if self.peers is not None else ())):
            stream.beat(SILENCE_S)
            stream.tell_presence()
        if self._ticks % int(SILENCE_S / TICK_S) == 0:
            for space in self._tenants.values():
                for channel in space.channels.values():
                    channel.beat()


def _tell(stream: Stream, subscribers: int, at: float) -> None:
    """The log line of a stream that ended ``at`` that time, before so many subscribers."""
    run, times, ending = stream.run, stream.run.times, stream.run.ending
    assert ending is not None
    log.info(
        "stream_ended",
        stream=stream.id,
        tenant=stream.tenant,
        status=str(ending.status),
        code=ending.code,
        upstream_status=ending.upstream_status,
        finish_reason=ending.finish_reason,
        usage=ending.usage,
        valid=ending.validation and ending.validation["valid"],
        gen=run.gen,
        events=run.log.count,
        bytes=ending.to,
        retries=run.retries,
        starters=stream.terms.starters,
        subscribers=subscribers,
        first_event_ms=None if times.first_event is None else round((times.first_event - times.began) * 1000, 1),
        total_ms=round((at - times.began) * 1000, 1),
        **({"trace_id": run.trace_id} if run.trace_id else {}),
    )
