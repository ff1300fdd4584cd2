"""What was spotted in single pictures, merged into things that are there for a time.

A thing is told only where two pictures of one shot show it, and one of them clearly. As many are told as half of its
pictures show at once. What a picture as a whole is of (``Tag``) counts as a thing in it, and adds to no number.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median_low

from engine.facts.facts import WHOLE, Box, Thing
from engine.facts.things import told_as
from engine.recognise.detector import Spot
from engine.recognise.tagger import Tag

# Pictures come a second apart: one that misses it breaks nothing, two do.
_GAP_S = 2.5
_STEP_S = 1.0
_LEAST_LOOKS = 2
_CLEAR = 0.5
FINDS, TAGS = "nanodet", "efficientnet-lite0"  # who says so


@dataclass(frozen=True, slots=True)
class _Look:
    """A kind of thing in one picture."""

    time: float
    score: float
    box: Box
    number: int
    source: str


class Spots:
    """Merge what is spotted in pictures, which come in order of time; cuts come whenever they are known."""

    def __init__(self) -> None:
        self._looks: dict[str, list[_Look]] = {}
        self._cuts: list[float] = []

    def cut(self, time: float) -> None:
        """Say that a shot begins."""
        self._cuts.append(time)

    def look(self, time: float, spots: Sequence[Spot], tags: Sequence[Tag] = ()) -> None:
        """Take what was spotted at a time."""
        numbers = Counter(told_as(spot.name) for spot in spots)
        looks = [(told_as(spot.name), _Look(time, spot.score, spot.box, 1, FINDS)) for spot in spots]
        looks += [(tag.kind, _Look(time, tag.score, WHOLE, 1, TAGS)) for tag in tags]
        best: dict[str, _Look] = {}
        for kind, look in looks:
            if kind not in best or look.score > best[kind].score:
                best[kind] = look
        for kind, look in best.items():
            self._looks.setdefault(kind, []).append(replace(look, number=max(1, numbers[kind])))

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
        return Thing(run[0].time, max(until, last), kind, best.score, best.box, number, best.source)
