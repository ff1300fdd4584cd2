"""A circuit breaker for one upstream: no call knocks at a door that has just not opened many times."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Count failures to connect in a row; refuse for a while after too many.

    After ``cool_s`` one call is let through; the door stays shut for the others
    until that one has reached the upstream.
    """

    clock: Callable[[], float]
    threshold: int = 10
    cool_s: float = 2.0
    _misses: int = 0
    _shut_until: float = 0.0

    @property
    def state(self) -> str:
        """``closed`` (calls pass), ``open`` (they do not) or ``half-open`` (one may try)."""
        if self._misses < self.threshold:
            return "closed"
        return "open" if self.clock() < self._shut_until else "half-open"

    def allows(self) -> bool:
        """Whether a call may try now; in the half-open state only the first one that asks."""
        state = self.state
        if state == "half-open":
            self._shut_until = self.clock() + self.cool_s
        return state != "open"

    def reached(self) -> None:
        """The upstream answered, whatever it said."""
        self._misses = 0

    def missed(self) -> None:
        """No connection could be had."""
        self._misses += 1
        self._shut_until = self.clock() + self.cool_s
