"""A subscriber: one attachment to one stream; a place in it and somewhere to write."""

from typing import TYPE_CHECKING, Any, Protocol

from protocol.wire.cursors import Cursor
from protocol.wire.frames import Framing

if TYPE_CHECKING:
    from service.hub.audience import Audience
    from service.hub.run import Run


class Outlet(Protocol):
    """Where a subscriber's bytes go: one connection, of whatever transport.

    ``write`` never waits and never raises; the outlet calls `Subscriber.stall` as soon as
    it holds bytes that its peer has no room for and `Subscriber.resume` when they have
    left, from inside ``write`` or at any later time.

    Attributes:
        fd: a socket that may be written past the outlet while it is not paused; -1 where
            there is none.
    """

    framing: Framing
    paused: bool
    fd: int

    def write(self, data: bytes) -> None:
        """Queue bytes for the peer."""

    def attached(self, subscriber: "Subscriber") -> None:
        """A subscription has begun on this outlet; nothing of it was written yet."""

    def ended(self, subscriber: "Subscriber", clean: bool) -> None:
        """The subscription is over; with ``clean`` all that was to be told was told."""


class Subscriber:
    """One attachment to one stream, over any transport.

    While it stands with the others of its audience its place is the audience's
    and ``index`` is its seat there (else -1, and its place is its own).

    Attributes:
        gen, position: its own place, in terms of its view.
        ref: echoed in its ``attached``.
        calls: the upstream calls of its run, for traces.
    """

    __slots__ = ("audience", "calls", "gen", "index", "outlet", "position", "presence", "ref", "stream_id", "write")

    def __init__(self, run: "Run", outlet: Outlet, *, presence: bool = False, ref: Any = None) -> None:
        self.stream_id = run.id
        self.calls = run.calls
        self.outlet = outlet
        self.write = outlet.write
        self.presence = presence
        self.ref = ref
        self.audience: Audience | None = None
        self.gen = 0
        self.position = 0
        self.index = -1

    def __repr__(self) -> str:
        return f"<Subscriber of {self.stream_id} at {self.gen}.{self.position} seat {self.index}>"

    @property
    def cursor(self) -> Cursor:
        """Where it would resume."""
        assert self.audience is not None
        gen, position = self.audience.place_of(self)
        return self.audience.view.cursor(gen, position)

    def stall(self) -> None:
        """The outlet is full: step out of the row, keeping the place."""
        if self.audience is not None:
            self.audience.step_out(self)

    def resume(self) -> None:
        """The outlet has drained: take everything past the cursor, then step in again."""
        if self.audience is not None:
            self.audience.catch_up(self)

    def leave(self) -> None:
        """Give up the attachment; idempotent."""
        if self.audience is not None:
            self.audience.remove(self)
