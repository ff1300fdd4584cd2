"""Readings of single pictures, merged into texts that stand on the screen for a time.

A text is the same as one seen before when it stands in the same place and reads the
same, but for a letter here and there or a part that was hidden. Digits must agree: a
clock that goes on is another text each time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from engine.facts.facts import Box, Writing

# What is read with less confidence, or as a single letter, was mostly foliage and
# fabric on the shared clips (single letters up to 0.82; true lines from 0.97).
_LEAST_CONFIDENCE = 0.7
_LEAST_LETTERS = 2
_ALIKE = 0.8
_OVERLAP = 0.5
# A text that is missed once was misread; missed twice, it is gone.
_MISSES = 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text as read in one picture."""

    text: str
    box: Box
    confidence: float


@dataclass(slots=True)
class _Standing:
    """A text that stands on the screen, in all its readings."""

    start: float
    box: Box
    readings: list[Line] = field(default_factory=list)
    misses: int = 0
    gone: float = 0.0  # the first look that missed it

    def is_read_as(self, line: Line) -> bool:
        return overlap(self.box, line.box) >= _OVERLAP and alike(self.readings[-1].text, line.text)

    def add(self, line: Line) -> None:
        self.readings.append(line)
        self.box = line.box
        self.misses = 0

    def miss(self, time: float) -> None:
        if self.misses == 0:
            self.gone = time
        self.misses += 1

    def told(self, end: float) -> Writing:
        """Tell it in the reading that the reader was surest of over all pictures."""
        sure: dict[str, list[float]] = {}
        for line in self.readings:
            sure.setdefault(line.text, []).append(line.confidence)
        text = max(sure, key=lambda one: (sum(sure[one]), len(one)))
        return Writing(
            self.start, self.gone if self.misses else max(end, self.start), text,
            round(sum(sure[text]) / len(sure[text]), 3), self.box,
        )  # fmt: skip


class Sightings:
    """Merge what is read in pictures, which come in order of time."""

    def __init__(self) -> None:
        self._standing: list[_Standing] = []

    def look(self, time: float, lines: Sequence[Line]) -> list[Writing]:
        """Take what was read at a time; return the texts that are gone."""
        unseen = list(self._standing)
        for line in sorted(lines, key=lambda one: (one.box, one.text)):
            if not is_text(line):
                continue
            known = next((one for one in unseen if one.is_read_as(line)), None)
            if known is None:
                known = _Standing(time, line.box)
                self._standing.append(known)
            else:
                unseen.remove(known)
            known.add(line)
        for one in unseen:
            one.miss(time)
        gone = [one for one in unseen if one.misses >= _MISSES]
        self._standing = [one for one in self._standing if one not in gone]
        return [one.told(time) for one in gone]

    def finish(self, end: float) -> list[Writing]:
        """Return the texts that stand to the end, or were missed just before it."""
        return [one.told(end) for one in self._standing]


def is_text(line: Line) -> bool:
    """Whether a reading is sure and long enough to be told."""
    return line.confidence >= _LEAST_CONFIDENCE and len(_letters(line.text)) >= _LEAST_LETTERS


def alike(one: str, other: str) -> bool:
    """Whether two readings may be of the same text, or of a part of it."""
    one, other = _letters(one), _letters(other)
    if re.findall(r"\d", one) != re.findall(r"\d", other):
        return False
    return one in other or other in one or SequenceMatcher(None, one, other).ratio() >= _ALIKE


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def overlap(one: Box, other: Box) -> float:
    """Return how much of the smaller box lies in the other, 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min(_area(one), _area(other))
    return width * height / smaller if width > 0 and height > 0 and smaller > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
