"""Connections outlive the key or ticket that opened them by a second or two, and no more."""

import asyncio

from service.access.caller import Caller
from service.access.keyring import Keyring, why_not
from service.web.connection import Connection, Connections

TICK_S = 1.0
# So long before a ticket ends its bearer is told.
WARNING_S = 30.0


class Expiry:
    """Warn, and in the end send away, whoever holds a connection open with what is good no more."""

    def __init__(self, connections: Connections, keyring: Keyring) -> None:
        self._connections = connections
        self._keyring = keyring
        self._warned: dict[Connection, float] = {}  # and of which moment
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        keyring.changed = self.look

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self.look()

    def look(self) -> None:
        """Some key or ticket may be good no more, also of those that have come since the last look."""
        now, waiting = self._keyring.clock(), dict[Connection, float]()
        for connection in self._connections.open():
            caller = connection.caller
            if caller is None or connection.is_leaving:
                continue
            if not self._keyring.stands(caller):
                expel(connection, caller)
            elif caller.expires is not None and caller.expires - now <= WARNING_S:
                waiting[connection] = caller.expires
                if self._warned.get(connection) != caller.expires:
                    connection.warn(round(caller.expires - now, 1))
        self._warned = waiting


def expel(connection: Connection, caller: Caller) -> None:
    """Send away whoever is nobody any more."""
    refusal = why_not(caller)
    if connection.trail is not None:
        connection.trail.note("expelled", refusal.code)
    connection.expel(refusal)
