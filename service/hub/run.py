"""A run: what is known of one analysis, from its request to its ending, whether anybody watches or not.

Plain state with the rules that keep it whole; it starts no task and waits for nothing.
The pump of an upstream call fills it, or a replay; views show it, and the keeper of its
readers is told when it has changed.
"""

import asyncio
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from protocol.schema.admitted import AdmittedSchema
from protocol.schema.early import EarlyCheck
from protocol.schema.verdict import Verdict
from protocol.schema.violations import Violation
from protocol.upstream.events import Event, StreamEnd
from protocol.upstream.textlog import TextLog, TextTooLong
from protocol.wire.endings import CODES, Ending, Status, status_of_finish
from protocol.wire.options import Options
from protocol.wire.traceparent import TraceContext


@dataclass(frozen=True, slots=True)
class Refused:
    """The upstream's answer in place of a stream, to be passed on as it was."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Times:
    """When things happened to a run.

    Attributes:
        created, ended: wall-clock seconds since the epoch.
        began: on the loop's clock, as `first_event` and `done` are.
    """

    created: float
    began: float
    ended: float | None = None
    first_event: float | None = None
    done: float | None = None


@dataclass(slots=True)
class Pace:
    """When each batch arrived, in milliseconds since the first one: for replay at the original pace."""

    millis: "array[int]" = field(default_factory=lambda: array("L"))
    counts: "array[int]" = field(default_factory=lambda: array("Q"))  # events in the log after that batch


class Follower(Protocol):
    """What is projected from a run's text, and so is fed with it."""

    def feed(self, text: str, violation: Violation | None) -> None:
        """Take more text, and the violation that it proved."""

    def restart(self, violation: Violation | None) -> None:
        """A new generation has replaced the text."""

    def close(self) -> None:
        """The text is over."""


class Run:
    """One analysis.

    Args:
        max_text_bytes: cap on the text.
        clock: seconds, for what is measured; ``now`` is wall-clock seconds.
        changed: called when there is something new; with True nothing of it is to be held back.

    Attributes:
        log: the text and events of the current generation.
        ending: None until it is written, once.
        refused: the upstream's HTTP error, where that was the answer.
        violation_from: readers of the text are told the violation with what lies up to here.
    """

    def __init__(
        self,
        run_id: str,
        *,
        options: Options,
        schema: AdmittedSchema | None,
        max_text_bytes: int,
        now: float,
        clock: Callable[[], float],
        changed: Callable[[bool], None],
    ) -> None:
        self.id = run_id
        self.options = options
        self.schema: AdmittedSchema | None = schema
        self.max_text_bytes = max_text_bytes
        self.clock = clock
        self.times = Times(now, clock())
        self.gen = 1
        self.reset_reason = ""
        self.log = TextLog(max_text_bytes)
        self.pace = Pace()
        self.ending: Ending | None = None
        self.refused: Refused | None = None
        self.answer_headers: Mapping[str, str] = {}  # the upstream's, of the answer being read
        self.retries = 0
        self.received = 0.0  # when the oldest was of what nobody was shown yet; 0 where there is none
        self.trace_id = ""  # of the trace that its upstream call belongs to; empty without one
        self.calls: list[TraceContext] = []  # its upstream calls, where they are recorded
        self.violation: Violation | None = None
        self.violation_from = 0
        self.followers: tuple[Follower, ...] = ()
        self._changed = changed
        self._paced_from: float | None = None  # on the clock, where the pace counts from
        self._early = EarlyCheck(schema) if schema is not None else None
        self._is_opened = False
        self._on_opened: dict[Callable[[], None], None] = {}  # in the order in which they came
        self._ended: asyncio.Event | None = None  # for those who wait for it

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.status} gen {self.gen} {self.log}>"

    # -- what it is

    @property
    def status(self) -> Status:
        if self.ending is not None:
            return self.ending.status
        return Status.RUNNING if self._is_opened else Status.STARTING

    @property
    def announcement(self) -> dict[str, Any]:
        """What ``attached`` says besides: the channel that the run was started under."""
        return {"channel": self.options.channel} if self.options.channel else {}

    @property
    def weight(self) -> int:
        """Bytes that keeping it costs, estimated."""
        return 4096 + self.log.size + 32 * self.log.count

    @property
    def text_is_over(self) -> bool:
        """Whether followers have been told that no more text comes; after a fault of ours none is."""
        return self.ending is not None and self.ending.code != "internal"

    # -- what fills it

    def take(self, events: list[Event], *, quietly: bool = False) -> None:
        """Append events of the upstream.

        Args:
            quietly: they are told by the ending, which follows at once.

        Raises:
            TextTooLong: what came before the event that passed the cap is kept and told.
        """
        log = self.log
        before = log.size if self.followers or self._early else 0
        try:
            if len(events) == 1:
                log.append(events[0])
            else:
                log.extend(events)
        finally:
            self._grown(before, quietly)

    def follow(self, log: TextLog, count: int) -> None:
        """Take the events of another log up to ``count``, as they stand there."""
        before = self.log.size
        self.log.follow(log, count)
        self._grown(before)

    def _grown(self, before: int, quietly: bool = False) -> None:
        if self.followers or self._early:
            self._derive(before)
        now = self.clock()
        if self.times.first_event is None:
            self.times.first_event = now
        self._note_pace(now)
        if quietly:
            return
        if not self._is_opened:
            self._open()
        self._changed(False)

    def _derive(self, before: int) -> None:
        """Bring what is projected from the text to its head."""
        if self.log.size == before:
            return
        text = self.log.slice(before, self.log.size)
        violation = None
        if self._early is not None and self.violation is None:
            violation = self.violation = self._early.feed(text)
            # What it hangs on may have been read before: that the text is a document, for one.
            self.violation_from = max(violation.at, before + 1) if violation is not None else 0
        for follower in self.followers:
            follower.feed(text, violation)

    def _note_pace(self, now: float) -> None:
        if self._paced_from is None:
            self._paced_from = now
        self.pace.millis.append(int((now - self._paced_from) * 1000))
        self.pace.counts.append(self.log.count)

    def regenerate(self, log: TextLog, reason: str, gen: int | None = None) -> None:
        """Replace the text that was published by another: a new generation, the next one where none is named."""
        self.gen = gen or self.gen + 1
        self.reset_reason = reason
        self.log = log
        self.pace = Pace()
        self._note_pace(self.clock())
        if self.schema is not None:
            self._early = EarlyCheck(self.schema)
            self.violation = self._early.feed(log.slice(0, log.size))
            self.violation_from = self.violation.at if self.violation is not None else 0
        for follower in self.followers:
            follower.restart(self.violation)
        self._changed(True)

    def end_text(self) -> None:
        """No more text comes: what waited for more becomes text; idempotent."""
        before = self.log.size
        self.log.finish()
        self._derive(before)

    def sealed(
        self,
        code: str | None,
        *,
        end: StreamEnd | None = None,
        verdict: Verdict | None = None,
        upstream_status: int | None = None,
    ) -> tuple[Ending, StreamEnd | None]:
        """The ending as it will stand, and the event to stand before it; `conclude` takes both.

        Args:
            code: a key of `CODES`, None when all went well.
            end: the upstream's ``stream_end``, where it came.
        """
        if code != "internal":  # which may be a projection's fault
            self.end_text()
        last = end if code in (None, "upstream_warning") else None
        if last is not None and not self.log.fits(last):
            code, last, end, verdict = "text_too_long", None, None, None
        status = status_of_finish(last.finish_reason) if last is not None else CODES[code or "internal"].status
        ending = Ending(
            status=status,
            gen=self.gen,
            to=self.log.size,
            sha256=self.log.sha256(),
            code=code,
            finish_reason=end.finish_reason if end is not None else None,
            usage=end.usage if end is not None else None,
            upstream_status=upstream_status,
            validation=verdict.members() if verdict is not None else None,
            value=verdict.value if verdict is not None else None,
        )
        return ending, last

    def finish(
        self,
        code: str | None,
        *,
        now: float,
        end: StreamEnd | None = None,
        verdict: Verdict | None = None,
        upstream_status: int | None = None,
    ) -> None:
        """Write the ending, once; a second call changes nothing. ``now`` is wall-clock seconds."""
        if self.ending is None:
            ending, last = self.sealed(code, end=end, verdict=verdict, upstream_status=upstream_status)
            self.conclude(ending, last, now=now)

    def conclude(
        self,
        ending: Ending,
        last: StreamEnd | None = None,
        *,
        now: float | None = None,
        before: Sequence[Event] = (),
    ) -> None:
        """Let the ending stand, and tell it.

        Args:
            last: the event that brought it.
            before: events without text that nobody is to see without it.
        """
        if before:
            self.times.first_event = self.times.first_event or self.clock()
            with suppress(TextTooLong):  # what fits of it is told
                self.log.extend(list(before))
        if last is not None:
            self.log.append(last)
        self.ending = ending
        if now is not None:
            self.times.ended, self.times.done = now, self.clock()
            self._note_pace(self.times.done)
        # Who waits for the ending is told it also where a follower fails over it.
        if self._ended is not None:
            self._ended.set()
        self._open()
        try:
            if self.text_is_over:
                for follower in self.followers:
                    follower.close()
        finally:
            self._changed(True)

    def restore(self, log: TextLog, pace: Pace, gen: int, reason: str) -> None:
        """Become what was kept of the run; before anybody watches it."""
        self.log, self.pace, self.gen, self.reset_reason = log, pace, gen, reason
        if log.count:
            self.times.first_event = self.times.began
            self._is_opened = True
        if pace.millis:
            self._paced_from = self.clock() - pace.millis[-1] / 1000  # the time between two processes does not count
        if self.schema is not None:
            self._early = EarlyCheck(self.schema)
            self.violation = self._early.feed(log.slice(0, log.size))
            self.violation_from = self.violation.at if self.violation is not None else 0

    # -- waiting for it

    def when_opened(self, then: Callable[[], None]) -> None:
        """Call ``then``, which does not raise, once the first event is there, or the ending: in that very turn."""
        if self._is_opened:
            then()
        else:
            self._on_opened[then] = None

    def not_when_opened(self, then: Callable[[], None]) -> None:
        """Do not call ``then`` any more; idempotent."""
        self._on_opened.pop(then, None)

    def _open(self) -> None:
        self._is_opened = True
        waiting, self._on_opened = self._on_opened, {}
        for then in waiting:
            then()

    async def ended(self) -> Ending:
        """Wait for the ending."""
        if self.ending is None:
            self._ended = self._ended or asyncio.Event()
            await self._ended.wait()
        assert self.ending is not None
        return self.ending
