"""A row of facts that grows while it is read, and cursors into it.

Readers are plain loops: asking for the next fact drives the decoder as far as needed,
and a second reader starts again from the first fact without decoding anything twice.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from engine.facts.facts import (
    Clip,
    Colour,
    Examinations,
    Fact,
    Fault,
    Heard,
    Level,
    Look,
    Motion,
    Recognised,
    Seen,
    Shot,
    Silence,
    Thing,
    Tone,
    Utterance,
    Writing,
)

# A clip is told in about a dozen sections at most, however long it is.
_SECTIONS = 12
_SHORTEST_SECTION_S = 2.0


@dataclass(slots=True)
class Section:
    """Neighbouring shots told as one, with all that was measured in them but speech."""

    index: int
    start: float
    end: float = 0.0
    shots: list[Shot] = field(default_factory=list)
    motions: list[Motion] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)
    tones: list[Tone] = field(default_factory=list)

    def add(self, fact: Fact) -> None:
        """Put a fact where it belongs; a shot extends the section to its own end."""
        match fact:
            case Shot():
                self.shots.append(fact)
                self.end = fact.end
            case Motion():
                self.motions.append(fact)
            case Level():
                self.levels.append(fact)
            case Silence():
                self.silences.append(fact)
            case Tone():
                self.tones.append(fact)


class Timeline:
    """The facts of one clip, measured on demand.

    Args:
        clip: what the file's headers say.
        examinations: what is examined, and what is not.
        source: yields facts in order of their ends; drained at most once.
        span: the part of the clip that is examined, in seconds; all of it by default.
    """

    def __init__(
        self,
        clip: Clip,
        examinations: Examinations,
        source: Iterator[Fact],
        span: tuple[float, float] | None = None,
    ) -> None:
        self.clip = clip
        self.start, self.end = span or (0.0, clip.duration)
        self.examinations = examinations
        self._source = source
        self._facts: list[Fact] = []

    def facts(self) -> Iterator[Fact]:
        """Yield all facts from the first on, measuring as needed."""
        index = 0
        while True:
            if index == len(self._facts):
                fact = next(self._source, None)
                if fact is None:
                    return
                self._facts.append(fact)
            yield self._facts[index]
            index += 1

    def whole(self) -> Section:
        """Look to the end and return everything as one section; speech may still be missing."""
        section = Section(0, self.start)
        for fact in self._seen():
            section.add(fact)
        section.end = self.end
        return section

    def utterances(self, start: float = 0.0, end: float = math.inf) -> Iterator[Utterance]:
        """Yield the utterances that start in a span, each as soon as it is recognised."""
        for fact in self.facts():
            if isinstance(fact, Utterance) and start <= fact.start < end:
                yield fact
            if isinstance(fact, Utterance | Heard) and fact.end >= end:
                return

    def said_in(self, section: Section) -> Iterator[Utterance]:
        """Yield the utterances of a section."""
        return self.utterances(section.start, math.inf if section.end >= self.end else section.end)

    def writings(self) -> list[Writing]:
        """Look to the end and return the texts on the screen, from top to bottom where they begin together."""
        found = [fact for fact in self.facts() if isinstance(fact, Writing)]
        return sorted(found, key=lambda one: (one.start, one.box[1], one.box[0]))

    def things(self, names: tuple[str, ...] = ()) -> list[Thing]:
        """Look to the end and return the things, in order of their starts; of some kinds only, where they are named."""
        found = [fact for fact in self.facts() if isinstance(fact, Thing) and (not names or fact.name in names)]
        return sorted(found, key=lambda one: (one.start, one.name))

    def faults(self) -> list[Fault]:
        """Look to the end and return what is wrong with the parts of the file that were examined."""
        made = {kind for kind, one in self.examinations.items() if one.outcome == "made"}
        halves = {"file"}
        halves |= {"picture"} if made & {"picture", "on_screen_text", "things"} else set()
        halves |= {"sound"} if made & {"sound", "speech"} else set()
        found = [fact for fact in self.facts() if isinstance(fact, Fault) and fact.track in halves]
        return sorted(found, key=lambda one: one.start)

    def scenes(self) -> Iterator[Section]:
        """Yield every shot as a section of its own, however short or long."""
        return self._grouped(lambda section: bool(section.shots) and not section.shots[-1].more)

    def sections(self) -> Iterator[Section]:
        """Yield the clip as about a dozen sections, each as soon as it is over."""
        shortest = max(_SHORTEST_SECTION_S, (self.end - self.start) / _SECTIONS)
        return self._grouped(lambda section: section.end - section.start >= shortest)

    def _grouped(self, is_over: Callable[[Section], bool]) -> Iterator[Section]:
        """Group what is seen; without a picture, seconds of sound take the place of shots."""
        closing: type[Fact] = Shot if self.examinations["picture"].outcome == "made" else Level
        section = Section(0, self.start)
        for fact in self._seen():
            section.add(fact)
            if isinstance(fact, closing):
                section.end = fact.end
                if is_over(section):
                    yield section
                    section = Section(section.index + 1, fact.end)
        if section.end > section.start:
            section.end = self.end
            yield section

    def _seen(self) -> Iterator[Fact]:
        """Yield what was seen and measured; does not wait for what is still being recognised."""
        for fact in self.facts():
            if isinstance(fact, Seen):
                return
            if not isinstance(fact, Recognised):
                yield fact


def weighed(shots: list[Shot], value: Callable[[Shot], float]) -> float:
    """Return the mean of a value over shots, each counting by its length."""
    total = sum(shot.end - shot.start for shot in shots)
    if total <= 0:
        return value(shots[0])
    return sum(value(shot) * (shot.end - shot.start) for shot in shots) / total


def mean_look(shots: list[Shot]) -> Look:
    """Return the look of several shots together."""
    shares: dict[str, float] = {}
    largest: dict[str, Colour] = {}
    total = sum(shot.end - shot.start for shot in shots) or 1.0
    for shot in shots:
        for colour in shot.look.colours:
            shares[colour.name] = shares.get(colour.name, 0.0) + colour.share * (shot.end - shot.start) / total
            known = largest.get(colour.name)
            if known is None or colour.share > known.share:
                largest[colour.name] = colour
    names = sorted(shares, key=lambda name: -shares[name])[:4]
    return Look(
        colours=tuple(Colour(name, largest[name].hex, shares[name]) for name in names),
        light=weighed(shots, lambda shot: shot.look.light),
        saturation=weighed(shots, lambda shot: shot.look.saturation),
    )
