"""How often something may be done: the generic cell rate algorithm, in steps of one.

A rate of N a minute lets N come at once after a quiet minute, and then one every 60/N
seconds. All that is kept of a rate is when it will have been used up no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """One rate.

    Attributes:
        name: of what is done, and by which key where it is one key's own.
    """

    name: str
    per_minute: int

    @property
    def step_s(self) -> float:
        """What one takes away from the window."""
        return WINDOW_S / self.per_minute


@dataclass(frozen=True, slots=True)
class Drawn:
    """What became of one that wanted to be done.

    Attributes:
        wait_s: 0 where it may; else it may then, at the earliest.
        rate: the tightest.
        full_s: when that one is unused again.
    """

    wait_s: float
    rate: Rate
    full_s: float

    @property
    def left(self) -> int:
        """How many more may come at once."""
        return max(0, int((WINDOW_S - self.full_s) / self.rate.step_s + 1e-6))

    def headers(self, what: str) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 tells it."""
        return {
            "RateLimit-Policy": f'"{what}";q={self.rate.per_minute};w={int(WINDOW_S)}',
            "RateLimit": f'"{what}";r={self.left};t={ceil(self.full_s)}',
        }


def draw(full_at: Mapping[str, float], rates: Sequence[Rate], now: float) -> tuple[Drawn, dict[str, float]]:
    """Draw one of each of several rates, or, where one of them has none left, none.

    Args:
        full_at: when each is unused again.

    Returns:
        What became of it, and what is to be kept.
    """
    fresh: dict[str, float] = {}
    tightest: Drawn | None = None
    for rate in rates:
        behind = max(full_at.get(rate.name, now) - now, 0.0)
        wait = behind + rate.step_s - WINDOW_S
        wait = wait if wait > 1e-6 else 0.0
        after = behind if wait else behind + rate.step_s
        fresh[rate.name] = now + after
        drawn = Drawn(wait, rate, after)
        if tightest is None or (drawn.wait_s, -drawn.left) > (tightest.wait_s, -tightest.left):
            tightest = drawn
    assert tightest is not None, "there is a rate to draw from"
    return tightest, ({} if tightest.wait_s else fresh)
