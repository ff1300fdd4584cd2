"""What a node has to do with the others on one store: who lives, what to take over, what to mirror.

Where two could do what only one may, the store decides; here is asked, and done what it says.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from protocol.errors import Refusal
from protocol.wire.cursors import Cursor
from protocol.wire.endings import Status
from service.hub.mirror import Mirror
from service.hub.requests import Asked
from service.hub.shelf import replayed_by
from service.hub.streams import Started, Stream, Terms, new_id
from service.store.contract import Kept, Renewed, StoreFailed
from service.store.shared import LEASE_S, Also, Claim, Pulse, Reach, Record, SharedStore, Wanted

if TYPE_CHECKING:
    from service.hub.hub import Hub, Payer

log = structlog.get_logger()
BEAT_S = 1.0
# A beat that comes this much later says that the engine stalled, or this process did.
LATE_S = 1.5
SWEEP_BEATS = 5  # between looks for what is this node's and does not run here
COMPARE_BEATS = 2  # between comparisons of what is mirrored with what is kept
LINGER_S = 2.0  # a mirror without a reader is kept this long for the next one
ATTEMPTS = 5
REACH_S = 2.0  # a reader that is ahead of a mirror waits this long for it
# A stream that was claimed is begun within a commit.
BEGUN_S, BEGUN_PACE_S = 3.0, 0.02


def _overloaded() -> Refusal:
    return Refusal("overloaded", "what several processes share cannot be reached now", retry_after_s=1)


class Peers:
    """One node among those on a store.

    Attributes:
        leases_taken: streams that this node took over.
        repairs: how often a mirror had missed something.
    """

    def __init__(self, hub: "Hub", store: SharedStore) -> None:
        self._hub = hub
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._mirrors: dict[Stream, tuple[Mirror, bytes]] = {}  # with the stream's identity
        self._lingering: dict[Stream, asyncio.TimerHandle] = {}
        self._loading: dict[tuple[str, str], asyncio.Task[Stream | None]] = {}
        self._told: dict[str, bytes] = {}  # who reads a stream here, as the others know it
        self._nodes: frozenset[str] = frozenset()
        self._asked = asyncio.Event()  # there is something to work on
        self._to_look_at: set[str] = set()
        self._pulse: Pulse | None = None
        self._lost = ""
        self._missed_lease = False
        self._done_at: dict[str, int] = {}  # at which beat something was done last
        self._busy: set[str] = set()  # streams that are being taken
        self._beaten: float | None = None  # when
        self._steady_from: float | None = None
        self._alone_from: float | None = None  # since when no other process has beaten under this name
        self._beats = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._claimed: set[str] = set()  # streams that are about to be begun here
        self._taking: set[str] = set()  # nodes
        self.leases_taken = 0
        self.repairs = 0
        store.listen(self._asked.set, self._heard)

    # -- the node's life

    async def begin(self) -> None:
        """Beat once, where the store can be reached, and from now on."""
        await self._beat()
        self._run(self._keep_beating())
        self._run(self._keep_working())

    async def end(self) -> None:
        """Beat no more; where nothing is left to be taken the others are told so."""
        tasks = [*self._tasks, *self._loading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for mirror, _ in list(self._mirrors.values()):
            await mirror.stop()
        with suppress(StoreFailed):
            await self._leave_nothing()

    async def _leave_nothing(self) -> None:
        """Give up the lease, where no other node has to look for what is left."""
        left = 0
        for tenant, stream_id in await self._store.left_by(self._store.node):
            record = await self._store.record(stream_id, None)
            if record is None:
                await self._store.drop_claim(tenant, stream_id)  # claimed, and never begun
            elif record.kept.ending is not None:
                await self._store.settle(record.kept, replayed_by(record.kept))
            elif record.owner not in ("", self._store.node):
                await self._store.leave(self._store.node, stream_id)
            else:
                left += 1
        if not left:
            await self._store.bye()

    def _run(self, work: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._beat()
            except Exception:  # of one beat; the next one must come all the same
                log.exception("beat_failed")

    async def _beat(self) -> None:
        """Hold the lease, and do nothing else: what it tells is worked off apart."""
        before = self._beaten
        try:
            pulse = await self._store.beat()
        except StoreFailed as exc:
            self._steady_from = None
            self._hub.journal.fail(exc)
            return
        now = self._beaten = self._loop.time()
        self._beats += 1
        if pulse.is_double:
            log.error("node_name_taken", node=self._store.node)
        if before is None or pulse.is_double:
            self._alone_from = now
        if before is None or now - before > BEAT_S + LATE_S or self._steady_from is None:
            self._steady_from = now
        self._missed_lease |= before is not None and now - before > LEASE_S
        self._lost = "all" if "all" in (pulse.lost, self._lost) else pulse.lost or self._lost
        self._pulse = pulse
        self._asked.set()

    async def _keep_working(self) -> None:
        """Do what beats and others call for; what fails is done at the next one."""
        done = 0
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                if self._beats != done and self._pulse is not None:
                    done = self._beats
                    await self._felt(self._pulse)
                await self._look_at_asked()
            except StoreFailed:
                continue
            except Exception:
                log.exception("beat_failed")

    async def _felt(self, pulse: Pulse) -> None:
        """Do what a beat calls for."""
        if self._missed_lease:
            self._missed_lease = False
            try:
                await self._look_at_all()
            except StoreFailed:
                self._missed_lease = True
                raise
        if lost := self._lost:
            self._lost = ""  # a further loss while this one is worked off counts by itself
            try:
                await self._engine_came_back(lost)
            except StoreFailed:
                self._lost = "all" if "all" in (lost, self._lost) else lost
                raise
        self._see_who_lives(pulse.nodes)
        await self._tell_presence()
        if self._is_due("compared", COMPARE_BEATS):
            await self._compare()
            await self._look_for_announced()
        now = self._loop.time()
        if self._hub.draining:
            return  # what is taken now would only be given up again
        # A process of this name that lived would have been noticed by now.
        is_alone = self._alone_from is not None and now - self._alone_from >= LEASE_S
        if is_alone and self._is_due("swept", SWEEP_BEATS):
            await self._take_all(self._store.node)
        # After a stall of the engine those that live get their leases back before anybody takes over.
        if self._steady_from is None or now - self._steady_from < LEASE_S:
            return
        for node in pulse.dead:
            if node not in self._taking:
                self._taking.add(node)
                self._run(self._take_from(node))

    def _is_due(self, what: str, beats: int) -> bool:
        """Whether something has not been done for some beats; beats may be missed while others are worked off."""
        if self._beats - self._done_at.get(what, 0) < beats:
            return False
        self._done_at[what] = self._beats
        return True

    async def _engine_came_back(self, lost: str) -> None:
        log.warning("store_came_back", lost=lost)
        self._told.clear()
        self._hub.engine_came_back(lost)
        if lost == "all":
            for stream in self._hub.streams_here():
                identity = b"" if stream.run.options.join == "never" else self._hub.identity_of(stream)
                await self._store.claim(
                    Wanted(stream.tenant, stream.id, identity, None, bool(identity), False, 1 << 30)
                )
                for name in stream.channels:
                    await self._store.announce(stream.tenant, name, stream.id)

    def others(self) -> tuple[str, ...]:
        """The other nodes that live."""
        return tuple(self._nodes - {self._store.node})

    def _see_who_lives(self, nodes: frozenset[str]) -> None:
        if nodes == self._nodes:
            return
        self._nodes = nodes
        for stream in (*self._hub.streams_here(), *self._mirrors):
            gone = [node for node in stream.elsewhere if node not in nodes]
            for node in gone:
                stream.present_at(node, b"")
            if gone and not stream.is_watched:
                self._hub.abandoned(stream)

    # -- what this node is asked

    async def _look_at_asked(self) -> None:
        """Look at what this node was asked to; what cannot be looked at now is looked at the next time."""
        asked = await self._store.asked()
        if asked:
            self._to_look_at.update(asked)
            await self._store.heard_asked(asked)
        for stream_id in list(self._to_look_at):
            try:
                await self._look_at(stream_id)
            except StoreFailed:
                raise  # all of them are looked at the next time
            except Exception:  # what one asks is no reason to look at no other
                log.exception("look_failed", stream=stream_id)
            self._to_look_at.discard(stream_id)

    async def _look_at(self, stream_id: str) -> None:
        """Do what a stream's record asks of its owner."""
        record = await self._store.record(stream_id, None)
        if record is None:
            return
        if record.kept.ending is not None:
            self._hub.outdated(stream_id, record.kept.gen)
            return
        if not record.owner:
            if not self._hub.draining:  # a node that leaves may be the one that has just given it up
                await self._take(record.kept.tenant, stream_id, "")
            return
        stream = self._hub.runs_here(stream_id)
        if stream is None:
            return
        if record.owner != self._store.node:
            self._store.disown(stream_id)
            self._hub.let_go(stream)
            return
        was_watched = stream.is_watched
        stream.terms.also(record.also)
        stream.present_elsewhere(self._present(record))
        if record.renew >= stream.run.gen:
            self._renew(stream, record.renew + 1)
        if record.wish:
            self._hub.stop(stream, record.wish)
        elif was_watched and not stream.is_watched:
            self._hub.abandoned(stream)

    def _lives(self, node: str) -> bool:
        """Whether a node is another one, and lives."""
        return node != self._store.node and node in self._nodes

    def _present(self, record: Record) -> dict[str, bytes]:
        """Who reads a stream at other nodes that live."""
        return {node: told for node, told in record.present.items() if self._lives(node)}

    def _renew(self, stream: Stream, gen: int) -> None:
        """A new generation of the text that is there, because more was shown of this one than is kept."""
        run, reason = stream.run, "taken_over"
        self._hub.journal.add(Renewed(stream.id, gen, reason), lambda: run.regenerate(run.log, reason, gen))

    async def _look_at_all(self) -> None:
        """Beats were missed for longer than a lease: what ran here may be another node's by now."""
        for stream in self._hub.streams_here():
            await self._look_at(stream.id)

    # -- taking over

    async def _take_from(self, node: str) -> None:
        """A node has died: its streams are ended, or called again, by whoever is first."""
        try:
            await self._take_all(node)
            await self._store.bury(node)
        except StoreFailed:
            pass  # it is dead at the next beat, too
        finally:
            self._taking.discard(node)

    async def _take_all(self, node: str) -> None:
        for tenant, stream_id in await self._store.left_by(node):
            stream = self._hub.in_memory(tenant, stream_id)
            if stream is not None and stream.run.ending is not None:
                if self._hub.journal.is_kept(stream_id):  # and the engine has lost its ending since
                    self._hub.journal.suspect([stream_id])
            elif (stream is None or not self._hub.runs(stream)) and stream_id not in self._claimed:
                try:
                    await self._take(tenant, stream_id, node)
                except StoreFailed:
                    raise
                except Exception:  # what became of one is no reason to leave the others
                    log.exception("stream_not_recovered", stream=stream_id)

    async def _take(self, tenant: str, stream_id: str, owner: str) -> None:
        """Take a stream from who has it, once at a time."""
        if stream_id in self._busy:
            return
        self._busy.add(stream_id)
        try:
            await self._take_now(tenant, stream_id, owner)
        finally:
            self._busy.discard(stream_id)
        await self._look_at(stream_id)  # what was asked meanwhile was asked of nobody

    async def _take_now(self, tenant: str, stream_id: str, owner: str) -> None:
        # What a node gave up for another one to take, and that one did not, has no owner.
        record = await self._store.take(stream_id, owner) if owner else None
        given = record is None
        record = record or await self._store.take(stream_id, "")
        if record is not None:
            self.leases_taken += 1
            log.info("lease_taken", stream=stream_id, owner=owner)
            await self._go_on(record, given=given)
        elif (kept := await self._store.find(stream_id)) is None:
            await self._store.drop_claim(tenant, stream_id)
        elif kept.ending is not None:
            await self._store.settle(kept, replayed_by(kept))
        elif owner == self._store.node:
            await self._store.leave(owner, stream_id)  # it is another one's by now
        if owner and owner != self._store.node:
            await self._store.leave(owner, stream_id)

    async def _go_on(self, record: Record, *, given: bool) -> None:
        """Run a stream that has become this node's."""
        kept = record.kept
        mirrored = next((stream for stream in self._mirrors if stream.id == kept.stream), None)
        code = record.wish or "interrupted"
        if mirrored is None:
            stream, identity = await self._hub.shelf.stream(kept, [record.data])
            stream.terms.also(record.also)
            stream.present_elsewhere(self._present(record))
            await self._hub.go_on(stream, identity, kept.body, code, given=given)
            return
        mirror, identity = self._mirrors.pop(mirrored)
        self._stop_lingering(mirrored)
        try:
            await mirror.stop()
            text = await mirror.settle(record)
            await self._hub.go_on(mirrored, identity, kept.body, code, text=text, given=given)
        except BaseException:
            if not self._hub.runs(mirrored):
                self._follow_again(mirrored, identity)  # its readers must not be left without anything
            raise

    async def hand_over(self) -> None:
        """Give what runs here to other nodes, where they can call it again."""
        for stream in self._hub.streams_here():
            others = sorted(self._nodes - {self._store.node})
            if not others or stream.run.ending is not None or not self._hub.is_moving(stream):
                continue
            with suppress(StoreFailed):
                # From here on nothing more of it is kept, and so nothing shown: the other node tells it again.
                if await self._store.give(stream.id, secrets.choice(others)):
                    self._hub.let_go(stream)

    # -- starts

    async def start(
        self,
        tenant: str,
        asked: Asked,
        terms: Terms,
        headers: Mapping[str, str],
        key: str | None,
        payer: "Payer | None" = None,
    ) -> Started:
        """Lead, or come to what runs at whatever node, or has completed.

        Raises:
            Refusal: ``draining``, ``overloaded``, ``limit_reached``, ``idempotency_conflict``.
        """
        work = self._loop.create_task(self._start(tenant, asked, terms, headers, key, payer))
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)
        work.add_done_callback(lambda done: done.cancelled() or done.exception())
        # A caller that leaves must not leave a claim behind that nobody follows up.
        return await asyncio.shield(work)

    async def _start(
        self,
        tenant: str,
        asked: Asked,
        terms: Terms,
        headers: Mapping[str, str],
        key: str | None,
        payer: "Payer | None",
    ) -> Started:
        stale: list[str] = []
        join = asked.options.join
        for _ in range(ATTEMPTS):
            stream_id = new_id()
            start = Wanted(
                tenant, stream_id, asked.identity, key, join != "never", join == "replay",
                self._hub.most_per_tenant, stale,
            )  # fmt: skip
            self._claimed.add(stream_id)
            try:
                claim = await self._store.claim(start)
                if claim.kind == "leader":
                    return Started(await self._lead(tenant, stream_id, asked, terms, headers, key, payer), "leader")
            except StoreFailed as exc:
                raise _overloaded() from exc
            finally:
                self._claimed.discard(stream_id)
            if claim.kind == "limit":
                raise Refusal("limit_reached", "you run as many streams as you may", retry_after_s=1)
            joined = await self._come_to(tenant, asked, terms, claim)
            if joined is not None:
                return joined
            stale.append(claim.stream)
        raise _overloaded()

    async def _lead(
        self,
        tenant: str,
        stream_id: str,
        asked: Asked,
        terms: Terms,
        headers: Mapping[str, str],
        key: str | None,
        payer: "Payer | None",
    ) -> Stream:
        try:
            if payer is not None:
                await payer.pay()
            name = payer.name if payer is not None else ""
            stream = self._hub.lead(tenant, asked, terms, headers, stream_id, payer=name)
        except Refusal:
            with suppress(StoreFailed):
                await self._store.drop_claim(tenant, stream_id)
            raise
        if key is not None:
            self._hub.lead_keyed(stream, key)
        if asked.options.channel is not None:
            self._announce(stream, asked.options.channel)
        return stream

    def _announce(self, stream: Stream, channel: str) -> None:
        """Say at all nodes that a stream runs under a channel's name, once it is kept."""

        async def announce() -> None:
            with suppress(StoreFailed):  # then those who listen find it when they look for it
                await self._store.announce(stream.tenant, channel, stream.id)

        self._hub.journal.add(None, lambda: self._run(announce()))

    async def _come_to(self, tenant: str, asked: Asked, terms: Terms, claim: Claim) -> Started | None:
        """The stream that a claim leads to; None where it leads nowhere."""
        stream = await self._found(tenant, claim.stream, runs=claim.runs)
        if stream is None:
            return None
        if claim.kind == "keyed":
            if claim.identity != asked.identity:
                raise Refusal("idempotency_conflict", "this Idempotency-Key was used with another request")
            return Started(stream, "joined" if stream.run.ending is None else "replayed")
        if stream.run.ending is None:
            also = Also(1, terms.on_abandon == "finish", terms.grace_s, terms.ttl_s)
            try:
                if not await self._store.join(stream.id, also):
                    return None  # it is about to end
            except StoreFailed as exc:
                raise _overloaded() from exc
            if asked.options.channel is not None:
                self._announce(stream, asked.options.channel)
            return Started(stream, "joined")
        if asked.options.join == "replay" and stream.run.status is Status.COMPLETED:
            return Started(stream, "replayed")
        return None

    async def _found(self, tenant: str, stream_id: str, *, runs: bool) -> Stream | None:
        """The stream of that id; one that runs may still be about to be begun."""
        until = self._loop.time() + BEGUN_S
        while True:
            try:
                return await self._hub.fetch(tenant, stream_id)
            except Refusal as refusal:
                if refusal.code != "not_found":
                    raise
                if not runs or self._loop.time() > until:
                    return None
            await asyncio.sleep(BEGUN_PACE_S)

    # -- endings by call

    async def cancel(self, stream: Stream, *, force: bool) -> None:
        """Cancel a stream, whoever runs it.

        Raises:
            Refusal: ``shared``, where others started it too; ``overloaded``.
        """
        try:
            word = await self._store.wish(stream.id, "cancelled", force=force)
        except StoreFailed as exc:
            if self._hub.runs_here(stream.id) is None:
                raise _overloaded() from exc
            self._hub.cancel(stream, force=force)  # the show goes on without the store, and ends without it
            return
        if word == "shared":
            raise Refusal("shared", "others started this stream too; force cancels it for all")
        if word == "unknown":
            self._hub.stop(stream, "cancelled")  # the engine lost it, and does not have it anew yet
        if word == "ok":
            with suppress(StoreFailed):  # nobody joins what is about to end
                await self._store.release(stream.tenant, stream.id)
            self._hub.stop(stream, "cancelled")

    async def withdraw(self, stream: Stream) -> bool:
        """One starter wants a stream no more, whoever runs it; whether it ends.

        Raises:
            Refusal: ``overloaded``.
        """
        try:
            word = await self._store.wish(stream.id, "withdrawn")
        except StoreFailed as exc:
            if self._hub.runs_here(stream.id) is None:
                raise _overloaded() from exc
            return self._hub.withdraw_here(stream)
        if word != "left":
            self._hub.stop(stream, "cancelled")
        return word != "left"

    async def abandon(self, stream: Stream) -> None:
        """End a stream that nobody watches, unless somebody does at another node."""
        others = sorted(self._nodes - {self._store.node})
        try:
            word = await self._store.wish(stream.id, "abandoned", nodes=others)
        except StoreFailed:
            word = "ok"
        if word == "present":
            await self._look_at(stream.id)
        elif not stream.is_watched:
            self._hub.stop(stream, "abandoned")

    # -- mirrors

    def is_mirrored(self, stream: Stream) -> bool:
        """Whether a stream is another node's."""
        return stream in self._mirrors

    @property
    def mirrored(self) -> tuple[Stream, ...]:
        """The streams of other nodes that are followed."""
        return tuple(self._mirrors)

    @property
    def mirrors(self) -> int:
        """How many streams of other nodes are followed."""
        return len(self._mirrors)

    @property
    def behind_bytes(self) -> int:
        """What the mirrors had missed at the last comparison."""
        return sum(mirror.behind for mirror, _ in self._mirrors.values())

    def has_reached(self, stream: Stream, cursor: Cursor | None) -> bool:
        """Whether a stream has what a cursor says; what is not mirrored has all there is."""
        run = stream.run
        if cursor is None or stream not in self._mirrors or cursor.gen < run.gen:
            return True
        head = run.log.count if cursor.raw else run.log.size
        return cursor.gen == run.gen and cursor.position <= head and not cursor.after_end

    async def reach(self, stream: Stream, cursor: Cursor | None) -> None:
        """Read the record until a mirror has what a cursor says, but not for long."""
        until = self._loop.time() + REACH_S
        while not self.has_reached(stream, cursor) and self._loop.time() < until:
            self._mirrors[stream][0].look()
            await asyncio.sleep(BEGUN_PACE_S)

    async def mirror(self, tenant: str, stream_id: str) -> Stream | None:
        """A stream that runs at another node, as it grows; None where there is no such.

        Raises:
            Refusal: ``overloaded``.
        """
        task = self._loading.get((tenant, stream_id))
        if task is None:
            task = self._loading[tenant, stream_id] = self._loop.create_task(self._load(tenant, stream_id))
            task.add_done_callback(lambda _task: self._loading.pop((tenant, stream_id), None))
        try:
            return await asyncio.shield(task)
        except StoreFailed as exc:
            raise _overloaded() from exc

    async def _load(self, tenant: str, stream_id: str) -> Stream | None:
        record = await self._store.record(stream_id, None)
        if record is None or record.kept.tenant != tenant or record.kept.ending is not None:
            return None
        stream, identity = await self._hub.shelf.stream(record.kept, [])
        mirror = self._mirror(stream, is_new=True)
        if not await mirror.first():
            return None  # it has ended, and is loaded like any that has
        try:
            if stream.terms.on_abandon == "cancel":
                await self._store.present({stream_id: b"{}"})  # somebody is about to read it
                self._told[stream_id] = b"{}"
        except BaseException:
            await mirror.stop()
            raise
        if (there := self._hub.in_memory(tenant, stream_id)) is not None or stream.run.ending is not None:
            await mirror.stop()  # it was taken over here, or ended, while it was being read
            return there or stream
        self._enter(stream, mirror, identity)
        self._linger(stream)
        return stream

    def _enter(self, stream: Stream, mirror: Mirror, identity: bytes) -> None:
        if stream.run.ending is None:
            self._mirrors[stream] = mirror, identity
            self._hub.take_in(stream)
            stream.on_watched = lambda: self._watched(stream, identity)

    def _watched(self, stream: Stream, identity: bytes) -> None:
        """A first reader has come; one that took long to come finds a mirror that was given up, and has it back."""
        is_taken = stream.id in self._busy or self._hub.runs(stream)
        if stream not in self._mirrors and stream.run.ending is None and not is_taken:
            self._follow_again(stream, identity)

    def _follow_again(self, stream: Stream, identity: bytes) -> None:
        mirror = self._mirror(stream)
        self._enter(stream, mirror, identity)
        self._run(self._follow(mirror))

    def _mirror(self, stream: Stream, *, is_new: bool = False, was_ours: bool = False) -> Mirror:
        return Mirror(
            stream,
            self._store,
            over=self._over,
            wall=self._hub.wall,
            lives=self._lives,
            is_new=is_new,
            was_ours=was_ours,
        )

    def demoted(self, stream: Stream, identity: bytes) -> None:
        """A stream that ran here is another node's: those who read it here are shown what is kept."""
        mirror = self._mirror(stream, was_ours=True)
        self._enter(stream, mirror, identity)
        self._run(self._follow(mirror))
        self._linger(stream)

    async def _follow(self, mirror: Mirror) -> None:
        while mirror.stream in self._mirrors:
            with suppress(StoreFailed):
                await mirror.begin()
                return
            await asyncio.sleep(BEAT_S)

    def idle(self, stream: Stream) -> None:
        """The last reader here has left a mirror."""
        self._linger(stream)

    def _linger(self, stream: Stream) -> None:
        self._stop_lingering(stream)
        self._lingering[stream] = self._loop.call_later(LINGER_S, self._leave, stream)

    def _stop_lingering(self, stream: Stream) -> None:
        if (timer := self._lingering.pop(stream, None)) is not None:
            timer.cancel()

    def _leave(self, stream: Stream) -> None:
        self._lingering.pop(stream, None)
        if stream.subscribers == 0 and stream in self._mirrors:
            self._run(self._drop(stream))

    async def _drop(self, stream: Stream) -> None:
        """Follow a stream no more, where nobody has come meanwhile."""
        self._stop_lingering(stream)
        if stream.subscribers or stream not in self._mirrors:
            return
        mirror, _ = self._mirrors.pop(stream)
        self._hub.give_out(stream)
        await mirror.stop()  # the next beat says that nobody reads it here

    def _over(self, mirror: Mirror) -> None:
        """A mirror has its ending: it is a stream like any that is loaded."""
        stream = mirror.stream
        if stream not in self._mirrors:
            return
        _, identity = self._mirrors.pop(stream)
        self._stop_lingering(stream)
        self._hub.settled(stream, identity, mirror.expires)
        self._run(mirror.stop())

    async def _compare(self) -> None:
        """Hold what is mirrored against what is kept: a telling may have been lost."""
        mirrors = [mirror for mirror, _ in self._mirrors.values()]
        if mirrors:
            places = await self._store.places([mirror.stream.id for mirror in mirrors])
            for mirror, place in zip(mirrors, places, strict=True):
                self.repairs += mirror.compare(place)

    async def _tell_presence(self) -> None:
        """Say who reads here, where that has changed."""
        here: dict[str, list[Stream]] = {}
        for stream in (*self._hub.streams_here(), *self._mirrors):
            here.setdefault(stream.id, []).append(stream)
        told = {stream_id: present_here(streams) for stream_id, streams in here.items()}
        gone = {stream_id: b"" for stream_id in self._told if stream_id not in told}
        changed = {
            stream_id: counts for stream_id, counts in (told | gone).items() if counts != self._told.get(stream_id, b"")
        }
        if changed:
            await self._store.present(changed)
            self._told |= changed
        self._told = {stream_id: counts for stream_id, counts in self._told.items() if counts}

    async def glimpse(self, kept: Kept) -> Stream | None:
        """A stream that runs at another node as it stands, for a list; nobody follows it."""
        record = await self._store.record(kept.stream, Reach())
        if record is None or record.kept.ending is not None:
            return None
        stream, _ = await self._hub.shelf.stream(record.kept, [record.data])
        stream.present_elsewhere({node: told for node, told in record.present.items() if node in self._nodes})
        return stream

    async def running_page(self, tenant: str, status: str, before: int | None, limit: int) -> tuple[Stream, ...]:
        """A tenant's streams that run, at whatever node, newest first."""
        found: list[Stream] = []
        while len(found) < limit:
            page = await self._store.page(tenant, None, before, limit)
            for kept in page:
                if kept.ending is None:
                    stream = self._here(tenant, kept.stream) or await self.glimpse(kept)
                    if stream is not None and stream.run.status == status:
                        found.append(stream)
            if len(page) < limit:
                break
            before = page[-1].place
        return tuple(found[:limit])

    def _here(self, tenant: str, stream_id: str) -> Stream | None:
        return next((stream for stream in self._hub.list(tenant) if stream.id == stream_id), None)

    # -- channels

    async def under(self, tenant: str, name: str) -> tuple[Stream, ...]:
        """The streams that run under a channel's name.

        Raises:
            Refusal: ``overloaded``.
        """
        try:
            return await self._fetched(tenant, await self._store.under(tenant, name))
        except StoreFailed as exc:
            raise _overloaded() from exc

    async def _fetched(self, tenant: str, ids: Iterable[str], *, ended: bool = False) -> tuple[Stream, ...]:
        """The streams of these ids that run; with ``ended`` the others, too."""
        found: list[Stream] = []
        for stream_id in ids:
            with suppress(Refusal):
                stream = await self._hub.fetch(tenant, stream_id)
                if ended or stream.run.ending is None:
                    found.append(stream)
        return tuple(found)

    def _heard(self, tenant: str, name: str, stream_id: str) -> None:
        """A stream was started under a channel's name, at some node."""
        if self._hub.channel(tenant, name) is not None:
            # It may have ended by now: who listens is shown each that is started.
            self._run(self._show(tenant, name, [stream_id], ended=True))

    async def _show(self, tenant: str, name: str, ids: Iterable[str], *, ended: bool = False) -> None:
        """Show streams to those who listen here and were not shown them."""
        channel = self._hub.channel(tenant, name)
        if channel is None:
            return
        fresh = [one for one in ids if any(one not in listener.shown for listener in channel.listeners)]
        for stream in await self._fetched(tenant, fresh, ended=ended) if fresh else ():
            channel.announce_once(stream)

    async def _look_for_announced(self) -> None:
        """An announcement may have been lost."""
        names = [(tenant, channel.name) for tenant, channel in self._hub.channels()]
        if not names:
            return
        for (tenant, name), ids in zip(names, await self._store.announced(names), strict=True):
            channel = self._hub.channel(tenant, name)
            if channel is not None and any(one not in listener.shown for one in ids for listener in channel.listeners):
                await self._show(tenant, name, await self._store.under(tenant, name))


def present_here(streams: Iterable[Stream]) -> bytes:
    """Who is attached here, as other nodes are told it; nothing where nobody is."""
    watched = [stream for stream in streams if stream.subscribers]
    counts: Counter[str] = Counter()
    for stream in watched:
        counts.update(stream.present())
    return orjson.dumps(counts) if watched else b""
