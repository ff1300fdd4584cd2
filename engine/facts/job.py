"""What a worker is given: one job, as one line of JSON.

The server makes it and a worker does it (``engine.worker.jobs``), so its form is known to
both and belongs to neither.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from engine.facts.intent import Intent


@dataclass(frozen=True, slots=True)
class Job:
    """Work on one media file."""

    path: Path


@dataclass(frozen=True, slots=True)
class Probe(Job):
    """Open it, and say what its headers say."""


@dataclass(frozen=True, slots=True)
class Measure(Job):
    """Measure all of it, for the library to keep."""


@dataclass(frozen=True, slots=True)
class Sketch(Job):
    """Say what an image looks like."""


@dataclass(frozen=True, slots=True)
class Thumbnail(Job):
    """Draw its picture at a time."""

    at: float


@dataclass(frozen=True, slots=True)
class Pictures(Job):
    """Draw its pictures at some times, so wide at most."""

    times: tuple[float, ...]
    width: int


@dataclass(frozen=True, slots=True)
class FindPieces(Job):
    """Say where it can be cut for streaming."""


@dataclass(frozen=True, slots=True)
class CutPiece(Job):
    """Wrap a piece of it anew; None stands for its start and its end."""

    begin: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class Analyze(Job):
    """Answer.

    Attributes:
        intent: what is to be told.
        schema: the JSON Schema to be filled, if there is one.
        record: what was measured of the file before; it is then told again, not measured again.
        longest_s: how long the media may be.
        weights: the directory of the sentence model; None for words only.
    """

    intent: Intent
    schema: dict[str, Any] | None
    record: dict[str, Any] | None
    longest_s: float
    weights: Path | None


KINDS: dict[str, type[Job]] = {
    kind.__name__.lower(): kind for kind in (Probe, Measure, Sketch, Thumbnail, Pictures, FindPieces, CutPiece, Analyze)
}


def to_line(job: Job) -> bytes:
    """Return a job as it crosses the pipe."""
    # Member by member: `asdict` would copy a record, which may be long.
    members = {field.name: getattr(job, field.name) for field in fields(job)}
    return json.dumps({"kind": type(job).__name__.lower(), **members}, default=_plain).encode() + b"\n"


def from_line(line: bytes) -> Job:
    """Rebuild what ``to_line`` made.

    Raises:
        KeyError, TypeError: the line is not a job.
    """
    members = json.loads(line)
    kind = KINDS[members.pop("kind")]
    members["path"] = Path(members["path"])
    if kind is Analyze:
        members["intent"] = Intent.from_wire(members["intent"])
        members["weights"] = members["weights"] and Path(members["weights"])
    return kind(**members)


def _plain(value: object) -> Any:
    return asdict(value) if isinstance(value, Intent) else str(value)
