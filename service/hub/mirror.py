"""A mirror: a run whose upstream is the store, as long as somebody here reads what another node writes.

It is told of what is written and takes what fits; where something does not, it reads the record, which
is what counts. Views, audiences and files work on it as on any run.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import structlog

from protocol.upstream.events import Event, StreamEnd
from protocol.upstream.textlog import TextLog, TextTooLong
from service.hub.keeping import Waits, ending_from, restored, told_in
from service.hub.run import Pace
from service.store.contract import StoreFailed
from service.store.shared import Grew, Present, Reach, Record, SharedStore, Told

if TYPE_CHECKING:
    from service.hub.streams import Stream

log = structlog.get_logger()
RETRY_S = 0.5
# A record that is not there: its owner may be writing it anew, after the engine has lost it.
PATIENCE_S = 15.0
LARGE_BYTES = 1 << 17  # above this a text is read in a thread


class Mirror:
    """Let a stream grow as its record does.

    Args:
        lives: whether a node does, and is another one.
        is_new: nobody has seen anything of the stream here.
        was_ours: this process wrote it before another one took it, and may have shown more than is kept.
        over: called once with the record's ending in place, or where the record has gone.

    Attributes:
        behind: bytes that the record was ahead at the last comparison.
        expires: wall-clock seconds, where the record has its ending.
    """

    def __init__(
        self,
        stream: "Stream",
        store: SharedStore,
        *,
        over: Callable[["Mirror"], None],
        wall: Callable[[], float],
        lives: Callable[[str], bool],
        is_new: bool = False,
        was_ours: bool = False,
    ) -> None:
        self.stream = stream
        self._store = store
        self._over = over
        self._was_ours = was_ours
        self._is_new = is_new
        self._wall = wall
        self._lives = lives
        self._place = Reach()
        self._pace = Pace()
        self._last: StreamEnd | None = None
        self._is_full = False
        self._asked_gen = 0
        self._heard: dict[str, bytes] = {}  # who has come to other nodes since the record was asked for
        self._wanted = asyncio.Event()
        self._reading = False
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self.expires = 0.0
        self.behind = 0

    async def first(self) -> bool:
        """`begin`, and read the record once; whether it runs, and is followed.

        Raises:
            StoreFailed: it cannot be read or followed now.
        """
        try:
            await self._store.follow(self.stream.id, self.told)
            record = await self._record()
            runs = record is not None and await self._taken(record)
        except BaseException:
            await self.stop()
            raise
        if runs:
            self._work_on()
        else:
            await self.stop()
        return runs

    def _work_on(self) -> None:
        self._task = self._loop.create_task(self._work(), name=f"mirror {self.stream.id}")

    async def begin(self) -> None:
        """Follow the record from here on.

        Raises:
            StoreFailed: it cannot be followed now.
        """
        await self._store.follow(self.stream.id, self.told)
        if self._stopped:
            await self.stop()
        else:
            self._work_on()

    async def stop(self) -> None:
        """Follow it no more."""
        self._stopped = True
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with suppress(StoreFailed):
            await self._store.unfollow(self.stream.id, self.told)

    # -- what is told

    def told(self, told: Told) -> None:
        """Something was written, or somebody has come or left."""
        if self._stopped:
            return
        if isinstance(told, Present):
            if self._lives(told.node):
                self._heard[told.node] = told.told
                self.stream.present_at(told.node, told.told)
        elif isinstance(told, Grew) and told.at == self._place and not (self._reading or self._wanted.is_set()):
            self._place = Reach(told.at.version, told.at.size + len(told.data))
            try:
                self._grow(told.data)
            except Exception:
                log.exception("mirror_failed", stream=self.stream.id)
                self._fail("internal")
        elif not (isinstance(told, Grew) and self._knows(Reach(told.at.version, told.at.size + len(told.data)))):
            self.look()

    def _knows(self, place: Reach) -> bool:
        return place.version == self._place.version and place.size <= self._place.size

    def compare(self, place: Reach | None) -> bool:
        """Hold the record's place against this one's; whether it is behind, because a telling was lost."""
        is_behind = place is None or not self._knows(place)
        self.behind = 0
        if is_behind:
            if place is not None and place.version == self._place.version:
                self.behind = place.size - self._place.size
            self.look()
        return is_behind

    def look(self) -> None:
        """Read the record: it says more than was told."""
        self._wanted.set()

    # -- the record

    async def _work(self) -> None:
        missing_since: float | None = None
        while True:
            await self._wanted.wait()
            # What is told while the record is read has it read once more.
            self._wanted.clear()
            self._reading = True
            try:
                record = await self._record()
                if record is not None:
                    missing_since = None
                    if not await self._taken(record):
                        return
                    continue
                missing_since = missing_since or self._loop.time()
                if self._loop.time() - missing_since > PATIENCE_S:
                    self._fail("interrupted")
                    return
            except StoreFailed:
                pass  # it is asked again
            finally:
                self._reading = False
            self._wanted.set()
            await asyncio.sleep(RETRY_S)

    async def _record(self) -> Record | None:
        self._heard = {}
        return await self._store.record(self.stream.id, self._place)

    async def _taken(self, record: Record) -> bool:
        """Take a record; whether there is more to come."""
        try:
            await self.take(record)
            if record.kept.ending is None:
                return True
            self._conclude(record)
        except StoreFailed:
            raise
        except Exception:
            log.exception("mirror_failed", stream=self.stream.id)
            self._fail("internal")
        return False

    def _fail(self, code: str) -> None:
        self.stream.run.finish(code, now=self._wall())
        self._over(self)

    async def take(self, record: Record) -> None:
        """Become what the record says, but for its ending."""
        self._note(record)
        if record.whole:
            await self._rejoin(record)
            return
        self._grow(record.data)
        self._place = record.place
        run = self.stream.run
        if record.kept.gen > run.gen:  # of the text that is there
            run.regenerate(run.log, record.kept.reason, record.kept.gen)

    def _note(self, record: Record) -> None:
        meta = orjson.loads(record.kept.meta)
        stream = self.stream
        stream.node = meta["node"]
        stream.restarts = meta.get("restarts", stream.restarts)
        stream.terms.also(record.also)
        # Who has come or left while the record was read is told in it as before, or not yet.
        present = {node: told for node, told in record.present.items() if self._lives(node)} | self._heard
        stream.present_elsewhere({node: told for node, told in present.items() if told})

    async def _rejoin(self, record: Record) -> None:
        """Go on in a record whose text was written anew, or was never read here."""
        run = self.stream.run
        if len(record.data) < LARGE_BYTES:
            text, pace = restored([record.data], run.max_text_bytes)
        else:
            text, pace = await asyncio.to_thread(restored, [record.data], run.max_text_bytes)
        gen = record.kept.gen
        if self._is_new:
            self._is_new = False
            run.restore(text, Pace(pace.millis[:], pace.counts[:]), gen, record.kept.reason)
        elif gen > run.gen:
            run.regenerate(text, record.kept.reason, gen)
        elif gen == run.gen and _goes_on(text, run.log):
            self._follow(text)
        else:
            await self._differs(record, text)
            self._pace = pace
            return
        self._place, self._pace = record.place, pace

    def _follow(self, text: TextLog) -> None:
        """Take what a log has more than the run's own; an end of the stream waits for its ending."""
        run, count = self.stream.run, text.count
        if count and text.event(count - 1).get("event_type") == "stream_end":
            self._last = StreamEnd(text.event(count - 1))
            count -= 1
        if count > run.log.count or text.pending != run.log.pending:
            run.follow(text, max(count, run.log.count))
        if self._last is not None and text.size > run.log.size:
            run.log.pending = "\ud800"  # half a pair that the end gave up: so it will here

    async def _differs(self, record: Record, text: TextLog) -> None:
        """More was shown here than is kept, or something else."""
        run, gen = self.stream.run, self.stream.run.gen
        self._place = Reach()  # each telling has the record read again, until it fits
        if record.kept.ending is not None:
            gen = max(gen, record.kept.gen)
            await self._store.renew(self.stream.id, gen)
            run.regenerate(text, "taken_over", gen + 1)
        elif (self._was_ours or not _begins(text, run.log)) and self._asked_gen != gen:
            await self._store.renew(self.stream.id, gen)
            self._asked_gen = gen

    def _grow(self, data: bytes) -> None:
        """Take batches as they came."""
        run = self.stream.run
        batch: list[Event] = []
        for millis, told in told_in(data):
            for event in told:
                if isinstance(event, Waits):
                    self._show(batch)
                    run.log.pending = event.half
                elif isinstance(event, StreamEnd):
                    self._last = event
                else:
                    batch.append(event)
            self._pace.millis.append(millis)
            self._pace.counts.append(run.log.count + len(batch) + (self._last is not None))
        self._show(batch)

    def _show(self, batch: list[Event]) -> None:
        if batch and not self._is_full:
            try:
                self.stream.run.take(list(batch))
            except TextTooLong:
                self._is_full = True  # nor did its owner show it
        batch.clear()

    async def settle(self, record: Record) -> TextLog | None:
        """Become what the record says where this process takes it over; the text that is to replace what was shown."""
        run = self.stream.run
        self._note(record)
        text, _pace = await asyncio.to_thread(restored, [record.data], run.max_text_bytes)
        if record.kept.gen > run.gen:
            run.regenerate(text, record.kept.reason, record.kept.gen)
        elif record.kept.gen == run.gen and _goes_on(text, run.log):
            self._follow(text)
        else:
            return text
        return None

    def _conclude(self, record: Record) -> None:
        run = self.stream.run
        assert record.kept.ending is not None
        ending = ending_from(record.kept.ending)
        if ending.code != "internal":
            run.end_text()
        if ending.sha256 != run.log.sha256():
            # What stands here is not what ended there: it must not pass for it. Who comes back is told the record.
            log.error("mirror_differs", stream=self.stream.id, gen=run.gen)
            self._fail("internal")
            return
        run.times.ended, self.expires = record.kept.at, record.kept.expires
        run.conclude(replace(ending, gen=run.gen), self._last)
        run.pace = self._pace
        self._over(self)


def _goes_on(text: TextLog, shown: TextLog) -> bool:
    """Whether a log is what was shown, or more of the same, event by event."""
    return (
        text.count >= shown.count
        and text.encoded(0, shown.size) == shown.encoded()
        and (not shown.count or text.end_of(shown.count - 1) == shown.end_of(shown.count - 1))
    )


def _begins(text: TextLog, shown: TextLog) -> bool:
    """Whether a log is a beginning of what was shown."""
    return text.size <= shown.size and shown.encoded(0, text.size) == text.encoded()
