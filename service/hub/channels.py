"""Channels: readers that attach before the analysis exists; each stream started under the name is announced."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from protocol.wire import messages
from protocol.wire.cursors import Cursor, Mode
from protocol.wire.endings import Status
from service.hub.subscribers import Outlet

if TYPE_CHECKING:
    from service.hub.streams import Stream


@dataclass(eq=False, slots=True)
class Listener:
    """One attachment to a channel."""

    outlet: Outlet  # one that outlives the streams it shows
    view: str
    presence: bool = False
    live_only: bool = False  # nothing that was told before
    shown: set[str] = field(default_factory=set)  # streams, as other nodes may announce them more than once


@dataclass(eq=False, slots=True)
class Channel:
    """The listeners of one name within one tenant."""

    name: str
    listeners: set[Listener] = field(default_factory=set)

    def listen(self, listener: Listener, running: "tuple[Stream, ...]", cursor: Cursor | None, ref: Any) -> None:
        """Attach: ``waiting`` first, then each stream that runs already."""
        self.listeners.add(listener)
        framing = listener.outlet.framing
        waiting = messages.attached(
            None,
            gen=0,
            mode=Mode.LIVE,
            start=0,
            stop=0,
            status=Status.WAITING,
            view=listener.view,
            ref=ref,
            extra={"channel": self.name},
        )
        listener.outlet.write(framing.body(framing.message(waiting, None)))
        for stream in running:
            # A cursor does not name its stream; among several it can fit none.
            self._show(listener, stream, cursor if len(running) == 1 else None)

    def announce(self, stream: "Stream") -> None:
        """A stream was started under this name."""
        for listener in list(self.listeners):
            self._show(listener, stream, None)

    def announce_once(self, stream: "Stream") -> None:
        """A stream runs under this name, as some have been told and some perhaps not."""
        for listener in list(self.listeners):
            if stream.id not in listener.shown:
                self._show(listener, stream, None)

    def beat(self) -> None:
        """Keep the connections of those who wait alive."""
        for listener in self.listeners:
            if listener.outlet.framing.keep_alive and not listener.outlet.paused:
                listener.outlet.write(listener.outlet.framing.keep_alive)

    @staticmethod
    def _show(listener: Listener, stream: "Stream", cursor: Cursor | None) -> None:
        listener.shown.add(stream.id)
        stream.attach(listener.outlet, listener.view, cursor, presence=listener.presence, live_only=listener.live_only)
