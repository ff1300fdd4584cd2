"""Views that are projections of the text: elements, patches, captions. Computed once per run and view.

The position of a reader is the ordinal of the message it wants next. Messages are kept
for a while, encoded; a reader further behind is told what stands there now, out
of the projection itself: so the memory for a view is bounded, however slow its readers are.
"""

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from protocol.schema.violations import Violation
from protocol.views.patch import join_ops
from protocol.views.projections import Projection, Told
from protocol.wire import messages
from protocol.wire.cursors import Cursor, Mode
from service.hub.views import EVENTS_AT_ONCE_BYTES, MessageBase, Outgoing, text_place

if TYPE_CHECKING:
    from service.hub.run import Run


class DerivedView(MessageBase):
    """A projection of a run's text, as messages.

    Args:
        kind: the type of its messages.
        make: makes the projection, for each generation anew.
        keep_bytes: messages kept for those who fall behind; the newest batch always is.
    """

    kind: str
    keep_bytes = 1 << 20

    def __init__(self, run: "Run", make: Callable[[], Projection]) -> None:
        super().__init__(run)
        self._make = make
        self._begin()
        self._log = run.log

    def _begin(self) -> None:
        self._projection = self._make()
        self._ats = array("Q")  # of every message since the beginning
        self._origin = 0
        self._first_kept = 0
        self._kept: deque[tuple[bytes, Told]] = deque()
        self._kept_bytes = 0
        self._violation_n = -1  # the ordinal of the message that tells it

    # -- the run's side

    def catch_up(self, most: int) -> bool:
        """Read what stands there before the first reader comes, about ``most`` bytes of it; whether that was all.

        To readers it is told as state. A reader that comes after the end holds what only the end proves, too.
        """
        log = self.run.log
        if self._log is not log:
            self._begin()
            self._log = log
        stop = log.boundary_before(min(log.size, self._origin + most))
        self._projection.feed(log.slice(self._origin, stop))
        self._origin = stop
        if stop < log.size:
            return False
        if self.run.text_is_over:
            self._projection.close()
        return True

    def feed(self, text: str, violation: Violation | None) -> None:
        """Take more text, and the violation that it proved."""
        self._take(self._projection.feed(text), violation)

    def close(self) -> None:
        """The text is over."""
        self._take(self._projection.close(), None)

    def restart(self, violation: Violation | None) -> None:
        """A new generation: what it says so far is told from its beginning."""
        self._begin()
        log = self.run.log
        self._take(self._projection.feed(log.slice(0, log.size)), violation)

    def _take(self, told: Sequence[Told], violation: Violation | None) -> None:
        fresh = [(self.kind, message) for message in told]
        if violation is not None:
            fresh.append(("violation", violation.members()))
            fresh.sort(key=lambda pair: pair[1]["at"])  # stable: the order within one place stays
        for kind, message in fresh:
            payload = messages.derived(kind, self.run.id, message)
            if kind == "violation":
                self._violation_n = len(self._ats)
            self._ats.append(message["at"])
            self._kept.append((payload, message))
            self._kept_bytes += len(payload)
        while len(self._kept) > len(fresh) and self._kept_bytes > self.keep_bytes:
            self._kept_bytes -= len(self._kept.popleft()[0])
            self._first_kept += 1

    # -- the readers' side

    def head(self) -> int:
        return len(self._ats)

    def cursor(self, gen: int, position: int) -> Cursor:
        return Cursor(gen, self._at(position))

    def _at(self, position: int) -> int:
        """The offset up to which a reader at ``position`` knows everything."""
        return self._ats[position - 1] if position else self._origin

    def attach(self, cursor: Cursor | None, ref: Any) -> tuple[Mode, bytes, int, str]:
        mode, start = self.place(cursor)
        run = self.run
        state = self._projection.state(start)
        attached = self.attached(ref, mode, start, run.log.size, state=state)
        return mode, attached, self.head(), f"{run.gen}.{run.log.size}"

    def place(self, cursor: Cursor | None) -> tuple[Mode, int]:
        """Where a cursor in the text stands in this view."""
        return text_place(self.run, cursor)

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        if position >= self.head():
            return [], position
        if position < self._first_kept:
            return self._standing(position), self.head()
        return self._kept_since(position)

    def _kept_since(self, position: int) -> tuple[list[Outgoing], int]:
        size, stop, ats = 0, position, self._ats
        payloads: list[bytes] = []
        # All messages of one place are sent together.
        while stop < len(ats) and (size < EVENTS_AT_ONCE_BYTES or ats[stop] == ats[stop - 1]):
            payload = self._kept[stop - self._first_kept][0]
            payloads.append(payload)
            size += len(payload)
            stop += 1
        return self._with_cursors(payloads, ats[position:stop]), stop

    def _standing(self, position: int) -> list[Outgoing]:
        """What stands there now and did not at ``position``."""
        state = self._projection.state(self._at(position))
        told = [(self.kind, message) for message in self.standing(state)]
        violation = self.run.violation
        if violation is not None and position <= self._violation_n:
            told.append(("violation", violation.members()))
        told.sort(key=lambda pair: pair[1]["at"])
        payloads = [messages.derived(kind, self.run.id, message) for kind, message in told]
        return self._with_cursors(payloads, [message["at"] for _, message in told])

    def told_behind(self, offset: int) -> list[Told]:
        """What was told of the text behind an offset; of what is no longer kept, what stands there now."""
        first = bisect_right(self._ats, offset)
        if first < self._first_kept:
            return self.standing(self._projection.state(offset))
        kept = islice(self._kept, first - self._first_kept, None)
        return [message for payload, message in kept if not payload.startswith(b'{"type":"violation"')]

    def standing(self, state: Any) -> list[Told]:
        """A state as the messages that tell it."""
        return list(state)

    def _with_cursors(self, payloads: list[bytes], ats: Sequence[int]) -> list[Outgoing]:
        gen = self.run.gen
        last = len(payloads) - 1
        return [
            (payload, f"{gen}.{ats[n]}" if n == last or ats[n + 1] != ats[n] else None)
            for n, payload in enumerate(payloads)
        ]


class ElementView(DerivedView):
    """``element``: each array element and each member of a root object, when it has closed."""

    name = "json"
    kind = "element"


class CaptionView(DerivedView):
    """``caption``: cues as they grow; a reader that falls behind gets the latest state of each."""

    name = "captions"
    kind = "caption"
    keep_bytes = 0

    def finals(self) -> list[Told]:
        """The final cues, for exports."""
        return [cue for cue in self._projection.state(0) if cue["state"] == "final"]


class PatchView(DerivedView):
    """``patch``: the tree in operations; a reader that falls behind gets them joined."""

    name = "patch"
    kind = "patch"

    @property
    def tree(self) -> Any:
        """The JSON tree so far; None while there is none."""
        return self._projection.state(0)

    def place(self, cursor: Cursor | None) -> tuple[Mode, int]:
        # Operations build on each other: there is the whole tree, or the head.
        mode, start = super().place(cursor)
        return (mode, start) if mode is Mode.LIVE else (Mode.SNAPSHOT, 0)

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        if not self._first_kept <= position < self.head():
            return super().since(position)
        kept = [self._kept[n - self._first_kept] for n in range(position, self.head())]
        told: list[Outgoing] = []
        patches: list[Told] = []
        gen, run_id = self.run.gen, self.run.id
        for n, (payload, message) in enumerate(kept, position):
            is_patch = "ops" in message
            if is_patch:
                patches.append(message)
            if patches and (not is_patch or n == self.head() - 1):
                ops = join_ops(op for patch in patches for op in patch["ops"])
                at = patches[-1]["at"]
                told.append((messages.derived("patch", run_id, {"at": at, "ops": ops}), f"{gen}.{at}"))
                patches = []
            if not is_patch:
                told.append((payload, f"{gen}.{message['at']}"))
        return told, self.head()

    def standing(self, state: Any) -> list[Told]:
        return [{"at": self._at(self.head()), "ops": [{"op": "add", "path": "", "value": state}]}]
