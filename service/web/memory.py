"""Load is shed before memory runs out: new starts first, then new readers, and those that read last of all."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from protocol.errors import Refusal
from service.hub.hub import Hub
from service.web.connection import Connections

log = structlog.get_logger()
TICK_S = 1.0
NO_STARTS, NO_READERS, FEWER_READERS = 0.8, 0.9, 0.95
# So many are sent away at each look, those that hold the most first: memory comes back in steps.
SENT_AWAY = 20
RETRY_S = 5
CGROUP = Path("/sys/fs/cgroup/memory.max")


def resident_bytes() -> int:
    """What this process takes now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_bytes() -> int:
    """What there is: the container's, else the machine's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):
        return min(machine, int(CGROUP.read_text()))
    return machine


class MemoryWatch:
    """Look at what the process takes, and say what there is no room for.

    Args:
        most: bytes that it may take.
    """

    def __init__(
        self, hub: Hub, connections: Connections, most: int, *, taken: Callable[[], int] = resident_bytes
    ) -> None:
        self._hub = hub
        self._connections = connections
        self.most_bytes = most
        self._taken = taken
        self._share = 0.0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self.refused = 0  # readers
        self.sent_away = 0

    @property
    def taken_bytes(self) -> int:
        """What the process takes now."""
        return self._taken()

    @property
    def share(self) -> float:
        """The part of what there is that was taken at the last look."""
        return self._share

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self.look()

    def look(self) -> None:
        """See what there is room for."""
        before, self._share = self._share, self.taken_bytes / self.most_bytes
        self._hub.short_of_memory = self._share >= NO_STARTS
        for mark in (NO_STARTS, NO_READERS, FEWER_READERS):
            if (before >= mark) != (self._share >= mark):
                log.warning("memory", share=round(self._share, 3), mark=mark)
        if self._share >= FEWER_READERS:
            self._send_some_away()

    def _send_some_away(self) -> None:
        standing = [connection for connection in self._connections.open() if not connection.is_leaving]
        standing.sort(key=lambda connection: -connection.waiting_bytes)
        for connection in standing[:SENT_AWAY]:
            connection.expel(_no_room())
            self.sent_away += 1

    def check_readers(self) -> None:
        """Do nothing where there is room for one more reader.

        Raises:
            Refusal: ``overloaded``.
        """
        if self._share >= NO_READERS:
            self.refused += 1
            raise _no_room()


def _no_room() -> Refusal:
    return Refusal("overloaded", "the service is short of memory", retry_after_s=RETRY_S)
