"""Between what fills a run and the run: what comes is kept first, and then shown.

Blocks are lines of JSON, ``[milliseconds since the first event, [events]]``: a plain fragment is its
text, any other event the upstream's object. ``[half]`` in their row says what waits for the other half
of its pair from there on, where the events do not. So what a reader was shown is told from them alone.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import orjson
import structlog

from protocol.ndjson import dumps, loads
from protocol.schema.verdict import Verdict
from protocol.upstream.events import EndOfBytes, Event, Fragment, StreamEnd, event_of
from protocol.upstream.textlog import TextLog, TextTooLong
from protocol.wire.endings import Ending, Status
from service.hub.run import Pace, Run
from service.hub.streams import Terms
from service.store.contract import Change, Ended, Grown, Replaced
from service.store.journal import Journal

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Waits:
    """From here on this half of a pair waits for the other; none where it is empty."""

    half: str


def block_of(millis: int, events: Iterable[Event | Waits]) -> bytes:
    """A batch of events as it is kept."""
    told = [_told(event) for event in events if not isinstance(event, EndOfBytes)]
    return dumps([millis, told]) + b"\n"


def _told(event: Event | Waits) -> Any:
    if isinstance(event, Waits):
        return [event.half]
    assert not isinstance(event, EndOfBytes)
    return event if isinstance(event, str) else event.members


def half_at_end(event: Event) -> str:
    """The half of a pair with which an event's text ends; empty where it is whole."""
    last = event[-1:] if isinstance(event, str) else event.text[-1:] if isinstance(event, Fragment) else ""
    return last if "\ud800" <= last <= "\udbff" else ""


def as_they_came(log_: TextLog, start: int = 0, half: str = "") -> list[list[Event | Waits]]:
    """For each event from ``start`` on what makes it again, behind ``half``.

    The log has a plain event as it was read, with what became of the half before it.
    """
    found: list[list[Event | Waits]] = []
    for ordinal in range(start, log_.count):
        event = event_of(log_.event(ordinal))
        made: list[Event | Waits] = [event]
        if half and isinstance(event, str) and event:
            made = [event[1:]] if event[0] == "\ufffd" else [Waits(""), event]
        elif half and isinstance(event, Fragment) and event.text:
            became = log_.slice(log_.end_of(ordinal - 1) if ordinal else 0, log_.end_of(ordinal))[:1]
            joins = "\udc00" <= event.text[0] <= "\udfff"
            if became == ("\ufffd" if joins else "" if half_at_end(event.text) == event.text else event.text[0]):
                made = [Waits(""), event]
        elif half and isinstance(event, StreamEnd) and ordinal and log_.end_of(ordinal) == log_.end_of(ordinal - 1):
            made = [Waits(""), event]  # it had been given up before
        if text_size(event):
            half = half_at_end(event)
        found.append(made)
    return found


def told_in(data: bytes) -> Iterator[tuple[int, list[Event | Waits]]]:
    """The batches of some blocks, and when they came."""
    for line in data.splitlines():
        millis, told = _loads(line)
        yield millis, [_event(event) for event in told]


def _event(told: Any) -> Event | Waits:
    if isinstance(told, str):
        return told
    return Waits(*told) if isinstance(told, list) else event_of(told)


def restored(blocks: Iterable[bytes], max_bytes: int) -> tuple[TextLog, Pace]:
    """The log that was kept, and when its batches came."""
    text, pace = TextLog(max_bytes), Pace()
    for millis, told in told_in(b"".join(blocks)):
        for taken in told:
            if isinstance(taken, Waits):
                text.pending = taken.half
                continue
            if isinstance(taken, StreamEnd):
                text.finish()  # what waited for more was text before the end came
            try:
                text.append(taken)
            except TextTooLong:
                return text, pace  # nor was it shown, nor what came behind it
        pace.millis.append(millis)
        pace.counts.append(text.count)
    return text, pace


def _loads(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:  # half a surrogate pair, which came with an event
        return json.loads(line)


def ending_bytes(ending: Ending) -> bytes:
    """An ending as it is kept."""
    return dumps({**{name: getattr(ending, name) for name in Ending.__slots__}, "status": str(ending.status)})


def ending_from(data: bytes) -> Ending:
    """The ending that was kept."""
    members = loads(data)
    return Ending(**{**members, "status": Status(members["status"])})


def nothing() -> None:
    """What is done where nothing need be."""


class Keeping:
    """One run's way through the journal.

    Args:
        identity: of the request, where others may have the run replayed.
        terms: of its starters, for how long it is kept behind its ending.

    Attributes:
        is_too_long: what was taken did not fit the run.
        failed: what was taken could not be shown, for a fault of ours.
        lost: another process holds the run by now: nothing is shown or ended here any more.
        shown: called after something was shown.
        received: when what is being taken was.
    """

    def __init__(self, run: Run, journal: Journal, *, identity: bytes | None, terms: Terms) -> None:
        self._run = run
        self._journal = journal
        self._identity = identity
        self._terms = terms
        self._direct = not journal.store.durable
        self._waiting = 0
        self._text_waits = 0  # characters
        self._withheld: Sequence[Event] = ()
        self._first: float | None = None if not run.pace.millis else run.clock() - run.pace.millis[-1] / 1000
        self.is_too_long = False
        self.failed = False
        self.lost = False
        self.shown: Callable[[], None] = nothing
        self.received = 0.0

    @property
    def published(self) -> bool:
        """Whether readers have been shown anything, or are about to be."""
        return self._waiting > 0 or self._run.log.count > 0

    @property
    def has_text(self) -> bool:
        """Whether any of it is text."""
        return self._text_waits > 0 or self._run.log.size > 0

    def take(self, events: list[Event]) -> None:
        """Keep events and show them.

        Raises:
            TextTooLong: what comes before it is shown. Where things are kept first it may also
                be known later, and `is_too_long` tells it.
        """
        if self._direct:
            run = self._run
            run.received = run.received or self.received
            run.take(events)
            return
        size = sum(map(text_size, events))
        self._waiting += 1
        self._text_waits += size
        show = partial(self._show, events, size, self.received)
        self._journal.add(Grown(self._run.id, block_of(self._millis(), events)), show)
        if self._run.log.size + self._text_waits > self._run.max_text_bytes:
            raise TextTooLong  # what fits of it is shown before the ending

    def _millis(self) -> int:
        now = self._run.clock()
        if self._first is None:
            self._first = now
        return int((now - self._first) * 1000)

    def _show(self, events: list[Event], size: int, received: float) -> None:
        self._waiting -= 1
        self._text_waits -= size
        if self.is_too_long or self.failed or self.lost:
            return  # behind a gap nothing is shown
        try:
            self._take(events, received)
        except TextTooLong:
            self.is_too_long = True
        except Exception:
            log.exception("run_failed", stream=self._run.id)
            self.failed = True
        self.shown()

    def _take(self, events: list[Event], received: float) -> None:
        self._run.received = self._run.received or received
        self._run.take(events)

    @property
    def is_direct(self) -> bool:
        """Whether nothing is kept before it is shown."""
        return self._direct

    def take_with_end(self, events: list[Event], code: str | None, end: StreamEnd, now: float) -> None:
        """Show the last events together with the ending, in one turn; where `is_direct`, of a text without a verdict.

        Raises:
            TextTooLong: there is no ending yet.
        """
        self._run.received = self._run.received or self.received
        if events:
            self._run.take(events, quietly=True)
        self._run.finish(code, now=now, end=end)

    def withhold(self, events: list[Event]) -> None:
        """Keep events back, to be shown together with the ending: nobody is to see them without it."""
        self._withheld = events

    @property
    def withholds(self) -> bool:
        """Whether events are kept back."""
        return bool(self._withheld)

    async def release(self) -> None:
        """There is no ending yet after all: show what was kept back."""
        events, self._withheld = self._withheld, ()
        self.take(list(events))
        await self.flushed()

    def regenerate(self, log: TextLog, reason: str) -> None:
        """Replace what was published; a new generation."""
        if not self._direct:
            gen = self._run.gen + 1
            self._journal.add(Replaced(self._run.id, gen, reason))
            self._journal.add(Grown(self._run.id, block_of(self._millis(), chain.from_iterable(as_they_came(log)))))

        def regenerate() -> None:
            if not self.lost:
                self._run.regenerate(log, reason)

        self.after(regenerate)

    def wait_for(self, half: str) -> None:
        """Let another half of a pair wait for the other, or none."""
        if half != self._run.log.pending:
            if not self._direct:
                self._journal.add(Grown(self._run.id, block_of(self._millis(), [Waits(half)])))
            self.after(lambda: setattr(self._run.log, "pending", half))

    def after(self, then: Callable[[], None]) -> None:
        """Call ``then`` when all that was taken so far is shown."""
        self._journal.add(None, then)

    async def flushed(self) -> None:
        """Wait until all that was taken is shown."""
        await self._journal.flushed()

    async def finish(
        self,
        code: str | None,
        *,
        now: float,
        end: StreamEnd | None = None,
        verdict: Verdict | None = None,
        upstream_status: int | None = None,
    ) -> None:
        """Keep the ending and let it stand; only the first one does."""
        await self.flushed()
        run = self._run
        if run.ending is not None or self.lost:
            return
        ending, last = run.sealed(code, end=end, verdict=verdict, upstream_status=upstream_status)
        before, self._withheld = self._withheld, ()
        if not self._direct:
            told = [*before, *([last] if last is not None else ())]
            if self.failed:
                for change in self.anew():  # what was not shown must not be kept
                    self._journal.add(change)
            if told:
                self._journal.add(Grown(run.id, block_of(self._millis(), told)))
            self._journal.add(self._ended(ending, now))

        def conclude() -> None:
            if not self.lost:
                run.conclude(ending, last, now=now, before=before)

        self._journal.add(None, conclude)
        await self.flushed()

    def _ended(self, ending: Ending, now: float) -> Ended:
        identity = self._identity if ending.status is Status.COMPLETED else None
        return Ended(self._run.id, ending_bytes(ending), str(ending.status), now, now + self._terms.ttl_s, identity)

    def anew(self) -> list[Change]:
        """The changes that write the run whole, as it stands now, behind its `Begun`."""
        run = self._run
        changes: list[Change] = [Replaced(run.id, run.gen, run.reset_reason)]
        came = as_they_came(run.log)
        begin, last = 0, run.pace.millis[-1] if run.pace.millis else 0
        # What came last may have no place in the pace, where showing it failed.
        for millis, count in (*zip(run.pace.millis, run.pace.counts, strict=True), (last, run.log.count)):
            if count > begin:
                changes.append(Grown(run.id, block_of(millis, chain.from_iterable(came[begin:count]))))
                begin = count
        if run.ending is None:
            changes.append(Grown(run.id, block_of(last, [Waits(run.log.pending)])))
        if run.ending is not None and run.times.ended is not None:
            changes.append(self._ended(run.ending, run.times.ended))
        return changes


def text_size(event: Event) -> int:
    """Characters of text."""
    return len(event) if isinstance(event, str) else len(event.text) if isinstance(event, Fragment) else 0
