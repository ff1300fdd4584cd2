"""What a model is sent: messages in OpenAI's form, out of a question, facts and pictures."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from engine.facts.facts import Fact, Shot, Thing, Utterance, Writing

_FOLDER = Path(__file__).parent / "prompts"
# Of what is measured a model is told so much: it has pictures, and a context that ends.
MAX_FACT_CHARS = 12_000
MAX_SHOTS = 200
MAX_BEFORE_CHARS = 4000
NOTHING = "(nothing)"


@dataclass(frozen=True, slots=True)
class Picture:
    """A JPEG and the time at which it stands."""

    time: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """A video, or a part of it, as a model is shown it.

    Attributes:
        span: the part in seconds, None for the whole.
        before: what was said of the parts before it.
        url: the video's own address, where the model's server takes that in place of pictures.
    """

    duration: float
    facts: Sequence[Fact]
    pictures: Sequence[Picture] = ()
    span: tuple[float, float] | None = None
    before: str = ""
    url: str | None = None


def messages(prompt: str, seen: Seen, schema: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the messages.

    Args:
        schema: put into words.
    """
    content: list[dict[str, Any]] = [_text(_facts(seen))]
    if seen.url is not None:
        content.append({"type": "video_url", "video_url": {"url": seen.url}})
    for picture in seen.pictures:
        address = "data:image/jpeg;base64," + base64.b64encode(picture.jpeg).decode()
        content += [_text(f"[{mark(picture.time)}]"), {"type": "image_url", "image_url": {"url": address}}]
    content.append(_text(prompt))
    if schema is not None:
        content.append(_text(_filled("schema", schema=json.dumps(schema, ensure_ascii=False))))
    return [{"role": "system", "content": _filled("system")}, {"role": "user", "content": content}]


def mark(seconds: float) -> str:
    """A time as mm:ss, or h:mm:ss."""
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return (f"{hours}:{minutes:02}" if hours else f"{minutes:02}") + f":{whole % 60:02}"


def _facts(seen: Seen) -> str:
    start, end = seen.span or (0.0, seen.duration)
    placed = [fact for fact in seen.facts if isinstance(fact, Shot | Utterance | Writing | Thing)]
    within = [fact for fact in placed if fact.end > start and fact.start < end]
    said = [f"[{mark(one.start)}] {one.text}" for one in within if isinstance(one, Utterance) and one.understood]
    written = [f"[{mark(one.start)}] {one.text}" for one in within if isinstance(one, Writing)]
    things = [f"[{mark(one.start)}-{mark(one.end)}] {one.name}" for one in within if isinstance(one, Thing)]
    shots = [mark(one.start) for one in within if isinstance(one, Shot) and one.opening != "continues"][:MAX_SHOTS]
    part = ""
    if seen.span is not None:
        part = _filled("part", start=mark(start), end=mark(end), before=seen.before[-MAX_BEFORE_CHARS:] or NOTHING)
    return _filled(
        "facts",
        duration=mark(seen.duration),
        part=part,
        shots=", ".join(shots) or NOTHING,
        speech=_bounded(said),
        writings=_bounded(written),
        things=_filled("things", things=_bounded(things)) if things else "",
    )


def _bounded(lines: Sequence[str]) -> str:
    """Lines, every so many left out where they are too long together."""
    step = max(1, -(-sum(len(line) + 1 for line in lines) // MAX_FACT_CHARS))
    return "\n".join(lines[::step])[:MAX_FACT_CHARS] or NOTHING


def _filled(name: str, **values: str) -> str:
    return Template((_FOLDER / f"{name}.txt").read_text(encoding="utf-8")).substitute(values).strip()


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
