"""What those who send may have done in one turn of the loop, one by one and all together.

A sender with much to do is served a little at a time, in the order of asking; between two turns
the loop does everything else. So neither a flood nor a thousand of them makes anybody wait.
"""

import asyncio
from collections import deque
from typing import Protocol

import structlog

log = structlog.get_logger()

# Together: some 64 messages a turn, of about 20 microseconds; a start takes 400.
TURNS = 8  # connections served in one turn of the loop
FRAMES = 8  # frames of one connection, fragments and pings among them
FRAME_BYTES = 1 << 16  # after which no further frame of it is read


class Sender(Protocol):
    """Somebody with something to be done."""

    def take_turn(self) -> bool:
        """Do a little of it; whether something is left."""


class Turns:
    """Serve senders in turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = TURNS  # in this turn of the loop
        self._queue: deque[Sender] = deque()
        self._waiting: set[Sender] = set()
        self._is_due = False

    def ask(self, sender: Sender) -> None:
        """Serve a sender now, or as soon as its turn comes; asking again meanwhile changes nothing."""
        if sender in self._waiting:
            return
        if self._left and not self._queue:
            self._serve(sender)
        else:
            self._put(sender)
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._next)

    def _put(self, sender: Sender) -> None:
        self._waiting.add(sender)
        self._queue.append(sender)

    def _serve(self, sender: Sender) -> None:
        self._left -= 1
        try:
            more = sender.take_turn()
        except Exception:  # the others in the row are not to wait for ever
            log.exception("turn_failed", sender=type(sender).__name__)
            return
        if more:
            self._put(sender)

    def _next(self) -> None:
        """A new turn of the loop."""
        self._left = TURNS
        for _ in range(min(TURNS, len(self._queue))):
            sender = self._queue.popleft()
            self._waiting.discard(sender)
            self._serve(sender)
        self._is_due = bool(self._queue)
        if self._is_due:
            self._loop.call_soon(self._next)
