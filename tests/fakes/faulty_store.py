"""A store that fails, is slow, or succeeds without telling, when the test says so."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from service.store.contract import Change, Store, StoreFailed


class FaultyStore:
    """Wraps a store (contract: `service.store.contract.Store`).

    Attributes:
        fails: every commit raises, and nothing is written.
        lies: every commit is written, and raises all the same.
        gate: while it is closed commits wait.
    """

    durable = True

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fails = False
        self.lies = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, changes: Sequence[Change]) -> Collection[str]:
        await self.gate.wait()
        if self.fails:
            raise StoreFailed("scripted")
        lost = await self._store.commit(changes)
        self.commits += 1
        if self.lies:
            raise StoreFailed("scripted, after it was written")
        return lost
