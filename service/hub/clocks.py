"""The upstream's four clocks, each with an error code of its own.

Only the upstream moves them: keep-alives to readers never do. The connect clock is the
client's; here run first event, idle and total, as one deadline on the loop's timer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self


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

    def __init__(self, limits: ClockLimits, total_at: float) -> None:
        self._limits = limits
        self._total_at = total_at
        self._code = "upstream_timeout_total"
        self._last_event: float | None = None
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._timeout = asyncio.timeout_at(total_at)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, exc, trace)
        except TimeoutError as timeout:
            raise ClockRanOut(self._code) from timeout

    def connected(self) -> None:
        """A connection is there: the first event is due."""
        self._set("upstream_timeout_first_event", self._now() + self._limits.first_event_s)

    def event(self) -> None:
        """An event has come."""
        self._last_event = self._now()
        self._set("upstream_timeout_idle", self._last_event + self._limits.idle_s)

    def blank(self) -> None:
        """A blank line has come: proof of life, but no event."""
        if self._last_event is not None:
            limit = self._last_event + 3 * self._limits.idle_s
            self._set("upstream_timeout_idle", min(self._now() + self._limits.idle_s, limit))

    def _set(self, code: str, due: float) -> None:
        self._code, due = ("upstream_timeout_total", self._total_at) if due >= self._total_at else (code, due)
        self._timeout.reschedule(due)
