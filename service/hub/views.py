"""What each view shows of a run.

A view is a deterministic projection of the run, computed once for all its readers.
Its contract:

* a position is an integer that only grows within a generation; `head` is the newest;
* `since` tells what lies past a position, at most about one message's size at a time, and
  the position after it; at the head it tells nothing. Messages come with the cursor at
  which a reader that has seen them resumes, or None inside a group that belongs together;
* `end` and `reset` tell the ending and a new generation; None where the view has no words
  for them, so that its readers' connections can only be broken off.

Views that speak in messages (`MessageView`) also `attach`: they decide, without waiting,
where a subscriber stands and what it is told first.
"""

from typing import TYPE_CHECKING, Any, Protocol

from protocol.ndjson import dumps, string
from protocol.upstream.events import Members, StreamEnd
from protocol.wire import messages
from protocol.wire.cursors import Cursor, Mode
from protocol.wire.endings import Ending, Status

if TYPE_CHECKING:
    from service.hub.run import Run

Outgoing = tuple[bytes, str | None]
# Text that a delta or a snapshot carries at most. JSON may make it longer: then less.
MAX_TEXT_BYTES = messages.MAX_MESSAGE_BYTES - messages.ENVELOPE_BYTES
# What one who has fallen behind is given at a time of what is made for it alone: all
# that a slow reader holds in memory.
EVENTS_AT_ONCE_BYTES = 1 << 16


class View(Protocol):
    """See the module's text."""

    name: str
    run: "Run"

    def head(self) -> int: ...

    def since(self, position: int) -> tuple[list[Outgoing], int]: ...

    def reset(self) -> Outgoing | None: ...

    def end(self) -> Outgoing | None: ...

    def cursor(self, gen: int, position: int) -> Cursor: ...


class MessageView(View, Protocol):
    """A view that speaks in the messages of the wire contract, section 3."""

    def attach(self, cursor: Cursor | None, ref: Any) -> tuple[Mode, bytes, int, str]:
        """How one is attached, the message that says so, the position after it, and the cursor of who has seen it."""


def text_place(run: "Run", cursor: Cursor | None) -> tuple[Mode, int]:
    """Where a cursor in the text stands in a run; one that does not fit is a snapshot."""
    log = run.log
    if cursor is None or cursor.raw or cursor.gen != run.gen or not log.is_boundary(cursor.position):
        return Mode.SNAPSHOT, 0
    return (Mode.LIVE if cursor.position == log.size else Mode.SUFFIX), cursor.position


def head_of(run: "Run", view: str) -> Cursor:
    """The cursor of a reader that has seen all that was told so far."""
    return Cursor(run.gen, run.log.count, raw=True) if view == "raw" else Cursor(run.gen, run.log.size)


class MessageBase:
    """What all views that speak in messages have in common."""

    name: str

    def __init__(self, run: "Run") -> None:
        self.run = run

    def reset(self) -> Outgoing | None:
        run = self.run
        return messages.reset(run.id, run.gen, run.reset_reason), f"{run.gen}.0"

    def end(self) -> Outgoing | None:
        ending = self.run.ending
        assert ending is not None
        return messages.end(self.run.id, ending), f"{ending.gen}.{ending.to}.end"

    def cursor(self, gen: int, position: int) -> Cursor:
        return Cursor(gen, position)

    def attached(self, ref: Any, mode: Mode, start: int, stop: int, text: bytes = b'""', **extra: Any) -> bytes:
        run = self.run
        return messages.attached(
            run.id,
            gen=run.gen,
            mode=mode,
            start=start,
            stop=stop,
            status=run.status,
            view=self.name,
            text=text,
            ref=ref,
            extra=run.announcement | extra,
        )


class TextView(MessageBase):
    """The text as it grows; the position is the offset."""

    name = "text"

    def __init__(self, run: "Run") -> None:
        super().__init__(run)
        self._last: tuple[tuple[int, int, int], bytes, int] | None = None

    def head(self) -> int:
        return self.run.log.size

    def attach(self, cursor: Cursor | None, ref: Any) -> tuple[Mode, bytes, int, str]:
        mode, start = text_place(self.run, cursor)
        text, stop = self._text(start)
        return mode, self.attached(ref, mode, start, stop, text), stop, f"{self.run.gen}.{stop}"

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        run = self.run
        if position >= run.log.size:
            return [], position
        text, stop = self._text(position)
        delta, cursor = messages.delta(run.id, position, stop, text), f"{run.gen}.{stop}"
        violation = run.violation
        if violation is None or not position < run.violation_from <= stop:
            return [(delta, cursor)], stop
        # Nobody resumes between the two.
        return [(delta, None), (messages.derived("violation", run.id, violation.members()), cursor)], stop

    def _text(self, start: int) -> tuple[bytes, int]:
        """The text from ``start`` as JSON, as much as fits a message; and where it stops.

        The last answer is kept: readers at the same place share the same bytes.
        """
        log = self.run.log
        size = log.size
        key = (self.run.gen, start, size)
        if self._last is not None and self._last[0] == key:
            return self._last[1], self._last[2]
        stop = size
        if size - start > MAX_TEXT_BYTES:
            stop = log.boundary_before(start + MAX_TEXT_BYTES)
        text = string(log.slice(start, stop))
        while len(text) > MAX_TEXT_BYTES:
            stop = log.boundary_before(start + (stop - start) * MAX_TEXT_BYTES // (len(text) + 1))
            text = string(log.slice(start, stop))
        self._last = key, text, stop
        return text, stop


class EndView(MessageBase):
    """The ending alone."""

    name = "end"

    def head(self) -> int:
        return 0

    def attach(self, cursor: Cursor | None, ref: Any) -> tuple[Mode, bytes, int, str]:
        mode, start = text_place(self.run, cursor)
        head = self.run.log.size
        return mode, self.attached(ref, mode, start, head), 0, f"{self.run.gen}.{head}"

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        return [], 0


class RawView(MessageBase):
    """The upstream's events one for one; the position is the next ordinal."""

    name = "raw"

    def head(self) -> int:
        return self.run.log.count

    def cursor(self, gen: int, position: int) -> Cursor:
        return Cursor(gen, position, raw=True)

    def attach(self, cursor: Cursor | None, ref: Any) -> tuple[Mode, bytes, int, str]:
        run = self.run
        fits = cursor is not None and cursor.raw and cursor.gen == run.gen and cursor.position <= self.head()
        start = cursor.position if fits and cursor is not None else 0
        mode = Mode.SNAPSHOT if not fits else Mode.LIVE if start == self.head() else Mode.SUFFIX
        return mode, self.attached(ref, mode, start, start), start, f"{run.gen}.{start}r"

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        run, log = self.run, self.run.log
        found: list[Outgoing] = []
        stop = log.events_up_to(position, EVENTS_AT_ONCE_BYTES)
        for ordinal, line in enumerate(log.lines(position, stop), position):
            payload = messages.event(run.id, log.end_of(ordinal), ordinal, line)
            found.append((payload, f"{run.gen}.{ordinal + 1}r"))
        return found, stop


class _Wordless:
    """Views without messages of our own: only a good end can be told, by the end of the body."""

    def __init__(self, run: "Run") -> None:
        self.run = run

    def reset(self) -> Outgoing | None:
        return None

    def end(self) -> Outgoing | None:
        ending = self.run.ending
        assert ending is not None
        return (b"", None) if ending.status in (Status.COMPLETED, Status.LENGTH) else None


class BareView(_Wordless):
    """The text itself, for the ``text`` endpoint."""

    name = "bare"

    def head(self) -> int:
        return self.run.log.size

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        log = self.run.log
        stop = log.boundary_before(min(log.size, position + EVENTS_AT_ONCE_BYTES))
        return ([(log.encoded(position, stop), None)] if stop > position else []), stop

    def cursor(self, gen: int, position: int) -> Cursor:
        return Cursor(gen, position)


class DialectView(_Wordless):
    """The upstream's own events, for callers of its dialect: only ``stream_end`` ends them well.

    Args:
        validation: whether ``stream_end.metadata`` gains the verdict.
    """

    def __init__(self, run: "Run", *, validation: bool) -> None:
        super().__init__(run)
        self._validation = validation
        self.name = "dialect" if validation else "dialect/untouched"

    def head(self) -> int:
        return self.run.log.count

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        log, count = self.run.log, self.run.log.count
        stop = count if count - position == 1 else log.events_up_to(position, EVENTS_AT_ONCE_BYTES)
        lines = log.lines(position, stop)
        ended = self.run.ending is not None and stop == count > position
        ending = self._verdict() if ended and self._validation else None
        if ending is not None:
            lines[-1] = dumps(with_validation(log.event(stop - 1), ending.validation))
        # One payload for all: nothing may resume between them.
        return ([(b"\n".join(lines), None)] if lines else []), stop

    def _verdict(self) -> Ending | None:
        """The ending whose verdict the last event, a ``stream_end``, is to gain."""
        ending = self.run.ending
        if self.run.schema is None or ending is None:
            return None
        return ending if ending.status in (Status.COMPLETED, Status.LENGTH) else None

    def cursor(self, gen: int, position: int) -> Cursor:
        return Cursor(gen, position, raw=True)


def with_validation(members: Members, validation: dict[str, Any] | None) -> Members:
    """A ``stream_end`` whose metadata has gained the verdict, the only change ever made to an event."""
    metadata = StreamEnd(members).members.get("metadata")
    told = dict(metadata) if isinstance(metadata, dict) else {}
    return {**members, "metadata": {**told, "validation": validation}}
