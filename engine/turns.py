"""Turns at something scarce: so many at once, and who waits is served tenant by tenant.

One tenant's hundred videos then do not hold up another's first question. Within a tenant
it goes by arrival.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

# Whose work this is: set for each request, and taken along by the tasks that it starts.
TENANT: ContextVar[str] = ContextVar("tenant", default="")


class Turns:
    """Give turns.

    Args:
        size: how many may have one at once.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        # By tenant, the next to be served first.
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def taken(self) -> bool:
        """Whether one who comes now would have to wait."""
        return self._free == 0

    def waiting(self) -> int:
        """How many of this tenant are waiting."""
        return sum(not one.cancelled() for one in self._queues.get(TENANT.get(), ()))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the context is open."""
        await self._take()
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self) -> None:
        if self._free:
            self._free -= 1
            return
        tenant = TENANT.get()
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._pass_on()  # it came in the same moment
            raise

    def _pass_on(self) -> None:
        while self._queues:
            tenant = next(iter(self._queues))
            queue = self._queues.pop(tenant)
            first = queue.popleft()
            gone = first.cancelled()
            if queue and gone:
                self._queues = {tenant: queue, **self._queues}  # whose turn it still is
            elif queue:
                self._queues[tenant] = queue  # behind all others
            if not gone:
                first.set_result(None)
                return
        self._free += 1
