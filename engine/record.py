"""All facts of a media file as one JSON object: what the worker measured once and the library keeps."""

import base64
import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.examine import Damage, Order, examine
from engine.facts import (
    Clip,
    Colour,
    Examination,
    Examinations,
    Fact,
    Heard,
    Level,
    Look,
    Motion,
    Seen,
    Shot,
    Silence,
    Tone,
    Utterance,
    Word,
)
from engine.media import check_limits, open_media, read_clip
from engine.sketch import Sketcher
from engine.speech import Ears
from engine.timeline import Timeline

# Raised when something is measured differently: older records are measured again.
VERSION = 1
_PART_S = 60.0
_KINDS: dict[str, type[Any]] = {
    "shot": Shot, "motion": Motion, "level": Level, "silence": Silence, "tone": Tone, "utterance": Utterance,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}


def record(path: Path, ears: Ears | None) -> Iterator[dict[str, Any]]:
    """Measure a whole file; yields messages for the engine: the head, facts as they come, sketches, the end.

    Raises:
        ApiError: the file cannot be used.
    """
    from engine.answer import examinations_of

    with open_media(path) as container:
        clip = read_clip(container)
        check_limits(clip)
        examinations = examinations_of(clip, frozenset(("picture", "sound", "speech")))
        sketcher = Sketcher()
        damage = Damage()
        order = Order(
            picture=clip.has_picture,
            sound=clip.has_sound,
            ears=ears if examinations["speech"].outcome == "made" else None,
            part_s=_PART_S,
            damage=damage,
            sketcher=sketcher,
        )
        yield {"head": {"clip": asdict(clip), "examinations": {k: asdict(e) for k, e in examinations.items()}}}
        for fact in examine(container, clip, order):
            if not isinstance(fact, Seen | Heard):
                yield {"fact": to_wire(fact)}
        for at, sketch in sketcher.taken:
            yield {"sketch": [at, base64.b64encode(sketch).decode()]}
        yield {"end": {"version": VERSION, "damaged_packets": damage.packets}}


def to_wire(fact: Fact) -> list[Any]:
    return [_NAMES[type(fact)], asdict(fact)]


def from_wire(wire: list[Any]) -> Fact:
    kind, members = wire
    if kind == "shot":
        return Shot(**{**members, "look": _look(members["look"])})
    if kind == "utterance":
        words = members["words"]
        return Utterance(
            members["start"], members["end"], None if words is None else tuple(Word(**word) for word in words)
        )
    fact: Fact = _KINDS[kind](**members)
    return fact


def _look(wire: dict[str, Any]) -> Look:
    return Look(tuple(Colour(**one) for one in wire["colours"]), wire["light"], wire["saturation"])


def facts_of(kept: dict[str, Any]) -> list[Fact]:
    """Return the facts of a kept record, in the order in which they were told."""
    return [from_wire(wire) for wire in kept["facts"]]


def clip_of(kept: dict[str, Any]) -> Clip:
    return Clip(**kept["clip"])


def examinations_in(kept: dict[str, Any]) -> Examinations:
    return {kind: Examination(**one) for kind, one in kept["examinations"].items()}


def replayed(kept: dict[str, Any], examinations: Examinations, span: tuple[float, float]) -> Timeline:
    """Return a timeline that tells a kept record again, without decoding anything."""
    start, end = span
    facts = [fact for fact in facts_of(kept) if not isinstance(fact, Seen | Heard)]
    within = [fact for fact in facts if fact.end > start and fact.start < end]
    seen = [fact for fact in within if not isinstance(fact, Utterance)]
    heard = [fact for fact in within if isinstance(fact, Utterance)]
    row: list[Fact] = [*seen, Seen(math.inf), *heard, Heard(math.inf)]
    return Timeline(clip_of(kept), examinations, iter(row), span)
