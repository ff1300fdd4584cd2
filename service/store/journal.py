"""The journal: what every stream of a process has to say, kept before it is shown.

While one commit is under way the next one gathers, so that after a silence the first change goes
at once, and under load batches grow by themselves. Where the store fails the show goes on: what
waits is let through, and the streams that it belongs to are written anew, whole, once the store is
back.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import Self

import structlog

from service.store.contract import Change, Forgotten, Grown, Store, StoreFailed
from service.watch.histogram import FINE, Histogram

log = structlog.get_logger()
# How often a store that fails is tried again, and how long one commit may take.
RETRY_S = 1.0
COMMIT_S = 3.0

Then = Callable[[], None]


def _nothing() -> None:
    """What follows from a change that nobody waits for."""


class Journal:
    """One writer for all streams of a process. An async context manager: on leaving, what waits is written.

    Args:
        store: an open one.
        window_s: how long the first change of a commit waits for others.
        anew: gives the changes that write a stream whole, as it stands now; none where it is not
            in memory any more: then one without an ending is forgotten.
        lost: called for a stream that another process holds by now, before what waits is shown.

    Attributes:
        up: whether the last commit went well.
        commit_s, changes: the seconds that each commit took, and what was in them.
        failures: how often the store came to fail.
        backlog_bytes: blocks that wait for a commit.
    """

    def __init__(
        self,
        store: Store,
        *,
        window_s: float = 0.0,
        anew: Callable[[str], list[Change]],
        lost: Callable[[str], None],
        retry_s: float = RETRY_S,
    ) -> None:
        self.store = store
        self.up = True
        self.commit_s, self.changes, self.failures = Histogram(FINE), 0, 0
        self.backlog_bytes = 0
        self._window_s = window_s
        self._anew = anew
        self._lost = lost
        self._retry_s = retry_s
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[Change | None, Then]] = []
        self._unkept: set[str] = set()  # streams of which something was shown and not kept
        self._writing = ""  # the one of them that is being written anew
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._closed = asyncio.Event()  # the same, for what waits
        self._mending: asyncio.Task[None] | None = None  # where the store fails: tries it again

    async def __aenter__(self) -> Self:
        if self.store.durable:
            self._task = self._loop.create_task(self._work(), name="journal")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._closed.set()
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._mending is not None:
            await self._mending

    def is_kept(self, stream: str) -> bool:
        """Whether everything that was shown of a stream is kept."""
        return self.store.durable and stream not in self._unkept and stream != self._writing

    def add(self, change: Change | None, then: Then = _nothing) -> None:
        """Keep a change, then call ``then``, in the order of calls; None only keeps the order."""
        if self._task is None:
            then()
            return
        self._waiting.append((change, then))
        if isinstance(change, Grown):
            self.backlog_bytes += len(change.block)
        self._wake.set()

    async def flushed(self) -> None:
        """Wait until what was added so far has been kept, or let through."""
        if self._task is not None:
            done = asyncio.Event()
            self.add(None, done.set)
            await done.wait()

    async def _work(self) -> None:
        while True:
            if not self._waiting:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
            if self._window_s and not self._closing:
                await asyncio.sleep(self._window_s)
            batch, self._waiting = self._waiting, []
            changes = [change for change, _ in batch if change is not None]
            if changes and self.up:
                await self._commit(changes)
            if not self.up:
                # A store that fails is not asked for each batch: all that it misses would be told anew each
                # time. What was committed while it came to be mended is not in what is written anew.
                self._unkept.update(change.stream for change in changes)
            self.backlog_bytes -= sum(len(change.block) for change in changes if isinstance(change, Grown))
            for _, then in batch:
                self._follow(then)

    @staticmethod
    def _follow(then: Then) -> None:
        """What fails behind one change is no reason to keep nothing more."""
        try:
            then()
        except Exception:
            log.exception("journal_follower_failed")

    async def _commit(self, changes: list[Change]) -> None:
        began = perf_counter()  # the loop's clock stands still within a turn
        try:
            await self._write(changes)
        except Exception as exc:
            self._unkept.update(change.stream for change in changes)
            for stream in exc.lost if isinstance(exc, StoreFailed) else ():
                self._lost(stream)
            self.fail(exc)
            return
        self.changes += len(changes)
        self.commit_s.observe(perf_counter() - began)

    def fail(self, exc: Exception) -> None:
        """The store cannot be used, as a commit or somebody else has found."""
        if not self.up:
            return
        known = isinstance(exc, StoreFailed | TimeoutError)
        fault = (str(exc) if known else "") or type(exc).__name__
        log.error("store_failed", fault=fault, streams=len(self._unkept))
        self._begin_to_mend()

    def suspect(self, streams: Iterable[str]) -> None:
        """What was kept of some streams may be lost: write them anew."""
        self._unkept.update(streams)
        if self.up and self._unkept:
            self._begin_to_mend()

    def _begin_to_mend(self) -> None:
        self.up = False
        self.failures += 1
        # Beside the journal: a store that hangs must not make the show wait for each try.
        self._mending = self._loop.create_task(self._mend(), name="journal, mending")

    async def _mend(self) -> None:
        """Try the store again until all that it has missed is written; once more, where the journal closes."""
        missed = 0
        while not self.up:
            await self._pause()
            try:
                await self._ready()
                # One by one: all that an hour has left may be more than one commit can take. What is
                # shown of a stream meanwhile has it written once more.
                while self._unkept:
                    stream = self._writing = self._unkept.pop()
                    try:
                        await self._write_anew(stream)
                    except BaseException:
                        self._unkept.add(stream)
                        raise
                    finally:
                        self._writing = ""
                    missed += 1
            except Exception:
                if self._closing:
                    return
                continue
            self.up = True
            log.info("store_back", streams=missed)

    async def _pause(self) -> None:
        """Wait before the next try, but not where the journal closes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._retry_s):
                await self._closed.wait()

    async def _write_anew(self, stream: str) -> None:
        changes = self._anew(stream)
        if not changes and not self.store.shared:
            async with asyncio.timeout(COMMIT_S):
                kept = await self.store.find(stream)
            if kept is not None and kept.ending is None:
                # It is over, and nobody here can say how: the next process must not take it for running.
                changes = [Forgotten(stream)]
        if changes:
            await self._write(changes)

    async def _ready(self) -> None:
        async with asyncio.timeout(COMMIT_S):
            await self.store.ready()

    async def _write(self, changes: list[Change]) -> None:
        async with asyncio.timeout(COMMIT_S):
            lost = await self.store.commit(changes)
        for stream in lost:
            self._lost(stream)
