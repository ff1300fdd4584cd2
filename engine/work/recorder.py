"""What is in a media file, measured once and kept by the hash of its bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from engine.facts.job import Measure
from engine.store.store import Store
from engine.tell.passages import passages_of, sketches_of
from engine.work.pool import Pool
from engine.work.turns import Turns


class Recorder:
    """Have files measured by workers; equal bytes are never measured twice, nor at the same time.

    Args:
        turns: the number of files measured at once, so that analyses find a worker too.
        version: what measures, and how; records of another version are measured again.
    """

    def __init__(self, store: Store, pool: Pool, turns: int, version: str) -> None:
        self._library = store.library
        self._records = store.records
        self._pool = pool
        self._version = version
        self._turns = Turns(turns)
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}

    async def kept(self, sha256: str) -> dict[str, Any] | None:
        """Return the record of a file, if it was measured before."""
        record = await self._records.get(sha256)
        if record is None:
            return None
        kept: dict[str, Any] = await asyncio.to_thread(json.loads, record)
        return kept if kept["version"] == self._version else None

    async def record_of(self, sha256: str, on_turn: Callable[[str], Awaitable[None]]) -> dict[str, Any]:
        """Return the record of a file, after measuring it if need be.

        Args:
            on_turn: awaited with ``queued`` and then with ``indexing``.

        Raises:
            ApiError: it cannot be measured.
        """
        async with self._alone(sha256):
            if (kept := await self.kept(sha256)) is not None:
                await on_turn("indexing")
                return kept
            await on_turn("queued")
            kept = await self.measure(self._library.path_of(sha256), on_turn)
            await self._keep(sha256, kept)
            return kept

    async def record_at(self, path: Path) -> dict[str, Any]:
        """Return the record of a file, after measuring it if need be; kept if the library keeps the file.

        Raises:
            ApiError: it cannot be measured.
        """
        if path != self._library.path_of(path.name):
            return await self.measure(path, _tell_nobody)
        try:
            return await self.record_of(path.name, _tell_nobody)
        finally:
            await self._library.drop_unused([path.name])  # its last row may have been deleted meanwhile

    async def measure(self, path: Path, on_turn: Callable[[str], Awaitable[None]]) -> dict[str, Any]:
        """Measure a file without keeping anything of it.

        Raises:
            ApiError: it cannot be measured.
        """
        async with self._turns.turn(), self._pool.analysis(patient=True) as worker:
            await on_turn("indexing")
            await worker.give(Measure(path))
            kept: dict[str, Any] = {"version": self._version, "facts": [], "sketches": []}
            while "damaged_packets" not in kept:
                _take(kept, await worker.receive())
        return kept

    async def _keep(self, sha256: str, kept: dict[str, Any]) -> None:
        text, passages, sketches = await asyncio.to_thread(
            lambda: (json.dumps(kept, separators=(",", ":")), passages_of(kept), sketches_of(kept))
        )
        await self._records.keep(sha256, text, [astuple(one) for one in passages], sketches)

    @asynccontextmanager
    async def _alone(self, sha256: str) -> AsyncIterator[None]:
        lock, users = self._busy.get(sha256, (asyncio.Lock(), 0))
        self._busy[sha256] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._busy.pop(sha256)
            if users > 1:
                self._busy[sha256] = (lock, users - 1)


async def _tell_nobody(_status: str) -> None:
    """Nobody follows the turns."""


def _take(kept: dict[str, Any], message: dict[str, Any]) -> None:
    if "fact" in message:
        kept["facts"].append(message["fact"])
    elif "sketch" in message:
        kept["sketches"].append(message["sketch"])
    else:
        kept |= message.get("head") or message["end"]
