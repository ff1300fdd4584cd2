"""The fan-out: those who see one view of one stream through one framing.

Nearly all of them stand at the same place, in a row; that place is kept once, and a
delta is encoded and framed once and written to each of them in a plain loop with no
task, no await and no allocation for each. A pass over a huge row gives the event loop
back between slices; what the stream grows by meanwhile is the next pass, as one delta.

Those who are elsewhere stand apart, each with a place of its own: the slow, whose
outlet is full, until it drains; and those that joined while a pass was under way. They are
served by the same rule (everything past the cursor) and step into the row when they
have come to its place. Replay and live are one rule, so there is no seam.
"""

import asyncio
from array import array
from collections.abc import Callable

from protocol.wire.frames import Framing
from service.hub.sending import send_row
from service.hub.subscribers import Subscriber
from service.hub.views import View

# A write costs about 4 microseconds, so a slice is one to two milliseconds.
SLICE = 384
# What lies past a place: the bytes to write, generation and position after them, and their fate: None while
# the stream goes on; at its end, whether the view could tell it (True) or can only break off (False).
_Step = tuple[bytes, int, int, bool | None]


def _gone(_frame: bytes) -> None:
    """The seat of one who left in the middle of a pass."""


class Audience:
    """Subscribers of one view and framing; see the module's text.

    Args:
        left: told of each subscriber that has gone.
        delivered: told when what a row was written had been received.
    """

    def __init__(
        self,
        view: View,
        framing: Framing,
        loop: asyncio.AbstractEventLoop,
        left: Callable[[Subscriber], None],
        delivered: Callable[[float], None],
    ) -> None:
        self.view = view
        self.framing = framing
        self._loop = loop
        self._left = left
        self._delivered = delivered
        self._received = self._next_received = 0.0  # what the pass under way brings, and the next one
        self.gen = view.run.gen
        self.position = view.head()
        self.last_write = loop.time()
        self._row: list[Subscriber | None] = []
        self._writes: list[Callable[[bytes], None]] = []  # the row's outlets, seat by seat
        self._fds = array("i")  # and their sockets
        self._apart: set[Subscriber] = set()
        self._frame: bytes | None = None  # of the pass under way
        self._next_seat = 0
        self._target = (self.gen, self.position)  # where the pass brings the row
        self._gaps = 0
        self._fate: bool | None = None  # of the pass under way

    def __len__(self) -> int:
        return len(self._row) - self._gaps + len(self._apart)

    def __repr__(self) -> str:
        return f"<Audience {self.view.name}/{self.framing.name}: {len(self)}, {len(self._apart)} apart>"

    # -- who is where

    def place_of(self, subscriber: Subscriber) -> tuple[int, int]:
        """Generation and position of a subscriber."""
        if subscriber.index < 0:
            return subscriber.gen, subscriber.position
        if self._frame is not None and subscriber.index < self._next_seat:
            return self._target
        return self.gen, self.position

    def add(self, subscriber: Subscriber, gen: int, position: int) -> None:
        """Take in one who has been attached at that place, and serve what is past it."""
        subscriber.audience = self
        subscriber.gen, subscriber.position = gen, position
        self._apart.add(subscriber)
        self.catch_up(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Let one go."""
        if subscriber.index >= 0:
            self._vacate(subscriber)
        self._apart.discard(subscriber)
        subscriber.audience = None
        self._left(subscriber)

    def step_out(self, subscriber: Subscriber) -> None:
        """Move one out of the row, keeping its place; idempotent."""
        seat = subscriber.index
        if seat < 0 or (self._fate is not None and seat < self._next_seat):
            return  # a reader that was told the ending has nothing left to wait for
        subscriber.gen, subscriber.position = self.place_of(subscriber)
        self._apart.add(subscriber)
        self._vacate(subscriber)

    def _vacate(self, subscriber: Subscriber) -> None:
        """Take one's seat out of the row."""
        seat, subscriber.index = subscriber.index, -1
        if self._frame is not None:  # seats must not move under a pass
            self._row[seat], self._writes[seat], self._fds[seat] = None, _gone, -1
            self._gaps += 1
            return
        last, write, fd = self._row.pop(), self._writes.pop(), self._fds.pop()
        if last is not subscriber and last is not None:
            self._row[seat], self._writes[seat], self._fds[seat] = last, write, fd
            last.index = seat

    def _step_in(self, subscriber: Subscriber) -> None:
        subscriber.index = len(self._row)
        self._row.append(subscriber)
        self._writes.append(subscriber.write)
        self._fds.append(subscriber.outlet.fd)
        self._apart.discard(subscriber)

    # -- the row

    def advance(self, received: float) -> None:
        """Bring the row to the stream's head; what is under way takes the rest along.

        Args:
            received: when the oldest of what is new was; 0 where that is not known.
        """
        self._next_received = self._next_received or received
        if self._frame is None:
            self._pass()

    def _pass(self) -> None:
        """One slice of the pass under way, or the first of a new one."""
        while True:
            if self._frame is None and not self._load():
                return
            frame, seat = self._frame, self._next_seat
            assert frame is not None
            stop = min(seat + SLICE, len(self._writes))
            # Seats before `stop` count as served from here on: an outlet that
            # fills up says so from inside its own write.
            self._next_seat = stop
            for left, sent in send_row(self._fds, seat, stop, frame):
                self._writes[left](frame[sent:])
            if stop < len(self._writes):
                self._loop.call_soon(self._pass)
                return
            self._land()
            run = self.view.run
            if run.ending is None and self.gen == run.gen and self.position == self.view.head():
                self._next_received = 0.0
                return

    def _load(self) -> bool:
        """Prepare the next frame for the row; False when there is nothing to tell."""
        self._received, self._next_received = self._next_received, 0.0
        step = self._step(self.gen, self.position)
        if step is None:
            return False
        framed, gen, position, fate = step
        if not self._row:
            self.gen, self.position = gen, position
            self._serve_apart()
            return False
        self._frame, self._next_seat, self._target, self._fate = framed, 0, (gen, position), fate
        return True

    def _land(self) -> None:
        """The pass is done: the row stands at its target."""
        self._frame, fate, self._fate = None, self._fate, None
        self.gen, self.position = self._target
        self.last_write = self._loop.time()
        if self._received:
            self._delivered(self._received)
        if self._gaps:
            self._close_gaps()
        if fate is not None:
            self._dismiss(clean=fate)
        if self._apart:
            self._serve_apart()

    def _serve_apart(self) -> None:
        for subscriber in list(self._apart):
            self.catch_up(subscriber)

    def _close_gaps(self) -> None:
        self._row = [subscriber for subscriber in self._row if subscriber is not None]
        self._writes = [subscriber.write for subscriber in self._row if subscriber is not None]
        self._fds = array("i", [subscriber.outlet.fd for subscriber in self._row if subscriber is not None])
        for seat, subscriber in enumerate(self._row):
            assert subscriber is not None
            subscriber.index = seat
        self._gaps = 0

    def _dismiss(self, *, clean: bool) -> None:
        row, self._row, self._writes, self._fds, self._gaps = self._row, [], [], array("i"), 0
        for subscriber in row:
            if subscriber is not None:
                subscriber.index = -1
                subscriber.gen, subscriber.position = self.gen, self.position
                self._end(subscriber, clean=clean)

    def _end(self, subscriber: Subscriber, *, clean: bool) -> None:
        self.remove(subscriber)
        subscriber.outlet.ended(subscriber, clean)

    # -- those apart

    def lags(self) -> list[int]:
        """Bytes of text that each of those apart was not told yet."""
        return [self.behind(one.gen, one.position) for one in self._apart]

    def behind(self, gen: int, position: int) -> int:
        """Bytes of text that one at that place was not told yet."""
        view, log = self.view, self.view.run.log
        if gen != view.run.gen:
            return log.size
        if position == view.head():
            return 0
        cursor = view.cursor(gen, position)
        told = log.end_of(cursor.position - 1) if cursor.raw and cursor.position else cursor.position
        return log.size - told

    def catch_up(self, subscriber: Subscriber) -> None:
        """Write to one who stands apart what is past its place, until its outlet is full."""
        while subscriber.audience is self and subscriber.index < 0 and not subscriber.outlet.paused:
            step = self._step(subscriber.gen, subscriber.position)
            if step is None:
                at_row = (subscriber.gen, subscriber.position) == (self.gen, self.position)
                if at_row and self._frame is None:
                    self._step_in(subscriber)
                return
            framed, subscriber.gen, subscriber.position, fate = step
            subscriber.write(framed)
            if fate is not None and subscriber.audience is self:
                self._end(subscriber, clean=fate)

    # -- what to say

    def _step(self, gen: int, position: int) -> _Step | None:
        """What lies past a place; None when nothing does."""
        view, run = self.view, self.view.run
        if gen == run.gen:
            messages, after = view.since(position)
        else:
            told = view.reset()
            if told is None:
                return b"", run.gen, 0, False
            messages, after = view.since(0)
            messages, position = [told, *messages], 0
        fate = None
        if run.ending is not None and after == view.head():
            last = view.end()
            fate = last is not None
            if last is not None:
                messages = [*messages, last]
        elif not messages and after == position:
            return None
        framing = self.framing
        if len(messages) == 1:
            payload, cursor = messages[0]
            framed = framing.message(payload, cursor) if payload else b""
        else:
            framed = b"".join([framing.message(payload, cursor) for payload, cursor in messages if payload])
        body = framing.body(framed)
        return body + framing.last if fate else body, run.gen, after, fate

    def beat(self) -> None:
        """Say that the stream lives, to all outlets that can take it."""
        if self._frame is not None or not self.framing.keep_alive:
            return
        for write in self._writes:
            write(self.framing.keep_alive)
        self.last_write = self._loop.time()


class Rollup:
    """Hold back publishing for at most a window, so that very large audiences get fewer, larger deltas.

    The first fragment after a silence leaves at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, window_s: float, publish: Callable[[], None]) -> None:
        self._loop = loop
        self._window_s = window_s
        self._publish = publish
        self._timer: asyncio.TimerHandle | None = None
        self._last = float("-inf")

    def touch(self) -> None:
        """Something is there to publish."""
        if self._timer is None:
            due = self._last + self._window_s
            if due <= self._loop.time():
                self._fire()
            else:
                self._timer = self._loop.call_at(due, self._fire)

    def flush(self) -> None:
        """Publish now; nothing is held back behind an ending."""
        if self._timer is not None:
            self._timer.cancel()
        self._fire()

    def _fire(self) -> None:
        self._timer = None
        self._last = self._loop.time()
        self._publish()
