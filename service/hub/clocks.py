"""The upstream's four clocks, each with an error code of its own.

Only the upstream moves them: keep-alives to readers never do. The connect clock is the
client's; here run first event, idle and total, as one deadline on the loop's timer.
"""

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ClockLimits:
    """Seconds allowed.

    Attributes:
        first_event_s: from connected to the first event.
        idle_s: between events; blank lines stretch it to three times that at most.
        total_s: the whole call, retries included.
    """

    first_event_s: float
    idle_s: float
    total_s: float


class ClockRanOut(Exception):
    """One of the clocks; ``code`` is the ending's error code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Clocks:
    """Watch one attempt: a context that raises `ClockRanOut` inside itself when a clock runs out.

    Args:
        limits: what is allowed.
        total_at: when the whole call must be over, on the loop's clock.
    """

    __slots__ = (
        "_cancelling",
        "_code",
        "_due",
        "_interruption",
        "_last_event",
        "_limits",
        "_looks_at",
        "_loop",
        "_ran_out",
        "_ran_out_as",
        "_task",
        "_timer",
        "_total_at",
    )

    def __init__(self, limits: ClockLimits, total_at: float, loop: asyncio.AbstractEventLoop) -> None:
        self._limits = limits
        self._total_at = total_at
        self._code, self._due = "upstream_timeout_total", total_at
        self._looks_at = total_at  # when the timer fires
        self._last_event: float | None = None
        self._loop = loop
        self._timer: asyncio.Handle = loop.call_at(total_at, self._look)
        self._task: asyncio.Task[Any] | None = None
        self._cancelling = 0  # how often the task was cancelled by others before
        self._ran_out = False
        self._ran_out_as = ""
        self._interruption: asyncio.Handle | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task(self._loop)
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._interruption is not None:
            self._interruption.cancel()
        task, self._task = self._task, None
        if not self._ran_out or task is None:
            return
        # As `asyncio.timeout` tells its own cancellation from that of others, which goes on.
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise ClockRanOut(self._ran_out_as) from exc

    def connected(self) -> None:
        """A connection is there: the first event is due."""
        self._set("upstream_timeout_first_event", self._loop.time() + self._limits.first_event_s)

    def event(self) -> None:
        """An event has come."""
        self._last_event = now = self._loop.time()
        due = now + self._limits.idle_s
        if self._looks_at <= due < self._total_at:  # nearly always
            self._code, self._due = "upstream_timeout_idle", due
        else:
            self._set("upstream_timeout_idle", due)

    def blank(self) -> None:
        """A blank line has come: proof of life, but no event."""
        if self._last_event is not None:
            limit = self._last_event + 3 * self._limits.idle_s
            self._set("upstream_timeout_idle", min(self._loop.time() + self._limits.idle_s, limit))

    def stop(self) -> None:
        """The upstream has said all: what is done with it is not its time."""
        self._timer.cancel()

    def interrupt(self, code: str) -> None:
        """End the attempt now, with a code of the caller's."""
        self._timer.cancel()
        if self._interruption is None:
            self._interruption = self._loop.call_soon(self._run_out, code)

    def _set(self, code: str, due: float) -> None:
        self._code, self._due = ("upstream_timeout_total", self._total_at) if due >= self._total_at else (code, due)
        # Events put the deadline off, and most often nothing need be done: the
        # timer looks when it fires. A new timer for each event costs more than the event.
        if self._due < self._looks_at:
            self._arm()

    def _arm(self) -> None:
        self._timer.cancel()
        self._looks_at = self._due
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        if self._loop.time() < self._due:
            self._arm()
        else:
            self._run_out(self._code)

    def _run_out(self, code: str) -> None:
        if self._task is not None and not self._ran_out:
            self._ran_out, self._ran_out_as = True, code
            self._task.cancel()
