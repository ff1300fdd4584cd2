"""Turns at something scarce: so many at once, and who waits is served tenant by tenant.

One tenant's hundred videos then do not hold up another's first question. Within a tenant
it goes by arrival. Work that nobody holds a connection for is patient: it comes when
nobody else waits.
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
        self._pressed, self._patient = _Row(), _Row()

    @property
    def taken(self) -> bool:
        """Whether one who comes now would have to wait."""
        return self._free == 0

    def waiting(self) -> int:
        """How many of this tenant are waiting, without the patient."""
        return self._pressed.waiting(TENANT.get())

    @asynccontextmanager
    async def turn(self, patient: bool = False) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the context is open.

        Args:
            patient: let all go before who are not.
        """
        await self._take(self._patient if patient else self._pressed)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, row: "_Row") -> None:
        if self._free:
            self._free -= 1
            return
        mine = row.join(TENANT.get())
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._pass_on()  # it came in the same moment
            raise

    def _pass_on(self) -> None:
        if first := self._pressed.next() or self._patient.next():
            first.set_result(None)
        else:
            self._free += 1


class _Row:
    """Those who wait, by tenant; the tenant that is next stands first."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def waiting(self, tenant: str) -> int:
        return sum(not one.cancelled() for one in self._queues.get(tenant, ()))

    def join(self, tenant: str) -> "asyncio.Future[None]":
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(mine)
        return mine

    def next(self) -> "asyncio.Future[None] | None":
        """Take out who is next; None when nobody waits."""
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
                return first
        return None
