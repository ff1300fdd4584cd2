"""Turns at something scarce: a fixed number at once; waiting calls are served tenant by tenant.

One tenant's hundred videos then do not hold up another's first question. Within a tenant
calls are served in order of arrival. Work for which no caller holds a connection open is
patient: it gets a turn when no other call waits.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

# The tenant of this work: set for each request, and inherited by the tasks that it starts.
TENANT: ContextVar[str] = ContextVar("tenant", default="")


class Turns:
    """Give turns.

    Args:
        size: the number of turns at once.
    """

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._pressed, self._patient = _Row(), _Row()

    @property
    def taken(self) -> bool:
        """Whether a call that comes now would have to wait."""
        return self._free == 0

    @property
    def running(self) -> int:
        """How many have a turn."""
        return self._size - self._free

    @property
    def queued(self) -> int:
        """How many wait for one: all tenants' calls, the patient ones too."""
        return self._pressed.all_waiting() + self._patient.all_waiting()

    def waiting(self) -> int:
        """How many of this tenant's calls are waiting, without the patient ones."""
        return self._pressed.waiting(TENANT.get())

    @asynccontextmanager
    async def turn(self, patient: bool = False) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the context is open.

        Args:
            patient: let all calls go first that are not patient.
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
                self._pass_on()  # the turn came in the same moment
            raise

    def _pass_on(self) -> None:
        if first := self._pressed.next() or self._patient.next():
            first.set_result(None)
        else:
            self._free += 1


class _Row:
    """The waiting calls, by tenant; the tenant that is next stands first."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def waiting(self, tenant: str) -> int:
        return sum(not one.cancelled() for one in self._queues.get(tenant, ()))

    def all_waiting(self) -> int:
        return sum(map(self.waiting, self._queues))

    def join(self, tenant: str) -> "asyncio.Future[None]":
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(mine)
        return mine

    def next(self) -> "asyncio.Future[None] | None":
        """Take out the next waiting call; None when none waits."""
        while self._queues:
            tenant = next(iter(self._queues))
            queue = self._queues.pop(tenant)
            first = queue.popleft()
            gone = first.cancelled()
            if queue and gone:
                self._queues = {tenant: queue, **self._queues}  # still this tenant's turn
            elif queue:
                self._queues[tenant] = queue  # behind all other tenants
            if not gone:
                return first
        return None
