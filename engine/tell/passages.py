"""What can be searched of a record: what was said, and what was measured, in words with times."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from engine.facts.facts import Level, Shot, Silence, Thing, Tone, Utterance, Writing
from engine.facts.kept import clip_of, facts_of
from engine.facts.things import BY_NAME
from engine.tell.phrases import light_word, loudness_word, motion_word

Kind = Literal["visual", "audio", "transcription"]
_OPENINGS = {"cut": "cut", "dissolve": "dissolve", "fade": "fade", "start": "opening", "continues": ""}
# What moves is found by other words for it, too: stems do not lead from one to the other.
_ALSO = {"moving": "moving movement motion", "restless": "restless moving movement motion"}
# Neighbouring seconds of sound that are equally loud are one passage.
_SAME_LEVEL = 1.5


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch that a search can find by its words."""

    kind: Kind
    start: float
    end: float
    text: str


def passages_of(kept: dict[str, Any]) -> list[Passage]:
    """Return what a record says, in words; nothing that was not measured or recognised."""
    facts = facts_of(kept)
    passages = [
        *(_of_shot(fact) for fact in facts if isinstance(fact, Shot)),
        *(
            Passage("audio", fact.start, fact.end, f"steady tone {fact.hz:.0f} hz hertz")
            for fact in facts
            if isinstance(fact, Tone)
        ),
        *(Passage("audio", fact.start, fact.end, "silence silent") for fact in facts if isinstance(fact, Silence)),
        *(Passage("visual", fact.start, fact.end, fact.text) for fact in facts if isinstance(fact, Writing)),
        *(
            Passage("visual", fact.start, fact.end, " ".join(BY_NAME[fact.name].words))
            for fact in facts
            if isinstance(fact, Thing)
        ),
        *_loudness([fact for fact in facts if isinstance(fact, Level)]),
        *_said([fact for fact in facts if isinstance(fact, Utterance)]),
    ]
    return [one for one in passages if one.end > one.start]


def _of_shot(shot: Shot) -> Passage:
    motion = motion_word(shot.motion)
    words = [*(colour.name for colour in shot.look.colours), light_word(shot.look.light), _ALSO.get(motion, motion)]
    words += [_OPENINGS[shot.opening], "fade in" if shot.fade_in else "", "fade out" if shot.fade_out else ""]
    return Passage("visual", shot.start, shot.end, " ".join(word for word in words if word))


def _loudness(levels: list[Level]) -> Iterator[Passage]:
    open_: Passage | None = None
    for level in levels:
        text = f"{loudness_word(level.dbfs)} sound"
        if open_ is not None and open_.text == text and level.start - open_.end < _SAME_LEVEL:
            open_ = Passage("audio", open_.start, level.end, text)
            continue
        if open_ is not None:
            yield open_
        open_ = Passage("audio", level.start, level.end, text)
    if open_ is not None:
        yield open_


def _said(utterances: list[Utterance]) -> Iterator[Passage]:
    for one in utterances:
        if one.text:
            yield Passage("transcription", one.start, one.end, one.text)
        yield Passage("audio", one.start, one.end, "speech voice talking")


def sketches_of(kept: dict[str, Any]) -> list[tuple[float, float, bytes]]:
    """Return the sketches of each shot: its start, its end, and its sketches in a row."""
    taken = [(at, base64.b64decode(text)) for at, text in kept["sketches"]]
    duration = clip_of(kept).duration
    spans = [(fact.start, fact.end) for fact in facts_of(kept) if isinstance(fact, Shot)] or [(0.0, duration)]
    rows = []
    for start, end in spans:
        inside = [sketch for at, sketch in taken if start <= at < end]
        if inside:
            rows.append((start, end, b"".join(inside)))
    return rows
