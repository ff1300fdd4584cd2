"""What the streams of a process have done since it began, and who reads them now: in figures, without a name."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.watch.histogram import COARSE, FINE, MIDDLE, Histogram

if TYPE_CHECKING:
    from service.hub.streams import Stream


@dataclass(slots=True)
class Tally:
    """See the module's text.

    Attributes:
        clock: seconds, finer than the loop's: that one stands still within a turn.
        joins: starts by how they came to their stream.
        attaches: readers of messages by where they began; ``reset`` for one whose cursor could not be honoured.
        endings: by status and code.
        delivery: from bytes that were read to the last of a row of readers who were written them.
        watched: streams with somebody attached.
    """

    clock: Callable[[], float] = time.perf_counter
    joins: Counter[str] = field(default_factory=Counter)
    attaches: Counter[str] = field(default_factory=Counter)
    endings: Counter[tuple[str, str]] = field(default_factory=Counter)
    events: int = 0
    text_bytes: int = 0
    retries: int = 0
    first_fragment: Histogram = field(default_factory=lambda: Histogram(COARSE))
    fragment_gap: Histogram = field(default_factory=lambda: Histogram(MIDDLE))
    delivery: Histogram = field(default_factory=lambda: Histogram(FINE))
    loop_lag: Histogram = field(default_factory=lambda: Histogram(FINE))
    watched: "set[Stream]" = field(default_factory=set)


class FragmentTimes:
    """When the fragments of one run came: the first one after its start, and each after the one before.

    Fragments that are read together are one.
    """

    __slots__ = ("_last", "_tally", "_waits")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._last = tally.clock()
        self._waits = True

    def came(self, now: float, trace_id: str) -> None:
        """One has come."""
        figure = self._tally.first_fragment if self._waits else self._tally.fragment_gap
        figure.observe(now - self._last, trace_id)
        self._last, self._waits = now, False
