"""A record as the library keeps it: facts as JSON, and back again. Nothing here opens media."""

import math
from dataclasses import asdict
from typing import Any

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
    Read,
    Recognised,
    Seen,
    Shot,
    Silence,
    Spotted,
    Thing,
    Tone,
    Track,
    Utterance,
    Word,
    Writing,
)
from engine.facts.timeline import Timeline

# Raised when something is measured differently: older records are measured again.
VERSION = 3
_KINDS: dict[str, type[Any]] = {
    "shot": Shot, "motion": Motion, "level": Level, "silence": Silence, "tone": Tone, "utterance": Utterance,
    "writing": Writing, "fault": Fault, "thing": Thing,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_wire(fact: Fact) -> list[Any]:
    return [_NAMES[type(fact)], asdict(fact)]


def from_wire(wire: list[Any]) -> Fact:
    kind, members = wire
    if kind == "shot":
        return Shot(**{**members, "look": _look(members["look"])})
    if kind == "utterance":
        words = members["words"]
        return Utterance(**{**members, "words": None if words is None else tuple(Word(**word) for word in words)})
    if "box" in members:
        members = {**members, "box": tuple(members["box"])}
    fact: Fact = _KINDS[kind](**members)
    return fact


def _look(wire: dict[str, Any]) -> Look:
    return Look(tuple(Colour(**one) for one in wire["colours"]), wire["light"], wire["saturation"])


def facts_of(kept: dict[str, Any]) -> list[Fact]:
    """Return the facts of a kept record, in the order in which they were told."""
    return [from_wire(wire) for wire in kept["facts"]]


def clip_of(kept: dict[str, Any]) -> Clip:
    tracks = {name: kept["clip"].get(name) for name in ("picture_track", "sound_track")}
    return Clip(**{**kept["clip"], **{name: one and Track(**one) for name, one in tracks.items()}})


def replayed(kept: dict[str, Any], examinations: Examinations, span: tuple[float, float]) -> Timeline:
    """Return a timeline that tells a kept record again, without decoding anything."""
    start, end = span
    facts = [fact for fact in facts_of(kept) if not isinstance(fact, Seen | Heard | Read | Spotted)]
    within = [fact for fact in facts if fact.end > start and fact.start < end]
    seen = [fact for fact in within if not isinstance(fact, Recognised)]
    heard = [fact for fact in within if isinstance(fact, Utterance)]
    written = [fact for fact in within if isinstance(fact, Writing)]
    things = [fact for fact in within if isinstance(fact, Thing)]
    row: list[Fact] = [*seen, Seen(math.inf), *heard, Heard(math.inf), *written, Read(math.inf), *things]
    row.append(Spotted(math.inf))
    return Timeline(clip_of(kept), examinations, iter(row), span)
