"""What was spotted in single pictures, merged into things that are there for a time.

A thing is told only where two pictures of one shot show it, and one of them clearly. As many are told as half of its
pictures show at once.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low

from engine.facts.facts import Box, Thing
from engine.facts.things import told_as
from engine.recognise.detector import Spot

# Pictures come a second apart: one that misses it breaks nothing, two do.
_GAP_S = 2.5
_STEP_S = 1.0
_LEAST_LOOKS = 2
_CLEAR = 0.5


@dataclass(frozen=True, slots=True)
class _Look:
    """A kind of thing in one picture."""

    time: float
    score: float
    box: Box
    number: int


class Spots:
    """Merge what is spotted in pictures, which come in order of time; cuts come whenever they are known."""

    def __init__(self) -> None:
        self._looks: dict[str, list[_Look]] = {}
        self._cuts: list[float] = []

    def cut(self, time: float) -> None:
        """Say that a shot begins."""
        self._cuts.append(time)

    def look(self, time: float, spots: Sequence[Spot]) -> None:
        """Take what was spotted at a time."""
        kinds = [told_as(spot.name) for spot in spots]
        numbers = Counter(kinds)
        best: dict[str, Spot] = {}
        for kind, spot in zip(kinds, spots, strict=True):
            if kind not in best or spot.score > best[kind].score:
                best[kind] = spot
        for kind, spot in best.items():
            self._looks.setdefault(kind, []).append(_Look(time, spot.score, spot.box, numbers[kind]))

    def finish(self, end: float) -> list[Thing]:
        """Return the things, in order of their starts."""
        self._cuts.sort()
        things = [
            self._told(kind, run, end)
            for kind, looks in self._looks.items()
            for run in self._runs(looks)
            if len(run) >= _LEAST_LOOKS and max(one.score for one in run) >= _CLEAR
        ]
        return sorted(things, key=lambda one: (one.start, one.name))

    def _runs(self, looks: Sequence[_Look]) -> Iterator[list[_Look]]:
        run: list[_Look] = []
        for one in looks:
            if run and (one.time - run[-1].time > _GAP_S or self._shot(one.time) != self._shot(run[-1].time)):
                yield run
                run = []
            run.append(one)
        if run:
            yield run

    def _shot(self, time: float) -> int:
        return bisect_right(self._cuts, time)

    def _told(self, kind: str, run: Sequence[_Look], end: float) -> Thing:
        last = run[-1].time
        until = min([end, last + _STEP_S, *self._cuts[self._shot(last) : self._shot(last) + 1]])
        best = max(run, key=lambda one: one.score)
        number = median_low(one.number for one in run)
        return Thing(run[0].time, max(until, last), kind, best.score, best.box, number)
