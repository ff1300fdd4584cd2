"""How each kind of job is done: a table, and a function a row.

Probe       -> {"clip", "format"}
Measure     -> {"head"}, {"fact"}..., {"sketch"}..., {"end"}
Sketch      -> {"sketch"}
Thumbnail   -> {"image"}
Pictures    -> {"image", "time"}..., {"end"}
FindPieces  -> {"pieces"}
CutPiece    -> {"size", "bytes"}..., {"end"}
Analyze     -> {"accepted"}, {"text"}..., {"end"}
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from engine.confine import allow_cpu
from engine.facts.job import Analyze, CutPiece, FindPieces, Job, Measure, Pictures, Probe, Sketch, Thumbnail
from engine.measure import media, remux, stills
from engine.worker.answer import Recognisers, answer
from engine.worker.record import record
from engine.worker.wire import Wire

# Kernel limits on CPU time: to open a file, and for each second of a clip.
OPEN_CPU_S = 60
_CPU_PER_SECOND = 8
_BYTES_PIECE = 1 << 18  # bytes a message


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker does a job with."""

    wire: Wire
    recognisers: Recognisers = field(default_factory=Recognisers)

    def grow_with(self, duration: float) -> None:
        """Allow the CPU time that so many seconds of media may take."""
        allow_cpu(OPEN_CPU_S + _CPU_PER_SECOND * duration)


def do(job: Job, means: Means) -> None:
    """Do a job, and send its results.

    Raises:
        ApiError: it cannot be done.
    """
    _HOW[type(job)](job, means)


def _probe(job: Probe, means: Means) -> None:
    clip, container = media.probe(job.path)
    means.wire.send({"clip": asdict(clip), "format": container})


def _measure(job: Measure, means: Means) -> None:
    for message in record(job.path, means.recognisers):
        if "head" in message:
            means.grow_with(message["head"]["clip"]["duration"])
        means.wire.send(message)


def _sketch(job: Sketch, means: Means) -> None:
    means.wire.send({"sketch": stills.still_sketch(job.path).hex()})


def _draw(job: Thumbnail, means: Means) -> None:
    means.wire.send({"image": stills.thumbnail(job.path, job.at).hex()})


def _draw_all(job: Pictures, means: Means) -> None:
    for time in job.times:
        means.wire.send({"image": stills.thumbnail(job.path, time, job.width).hex(), "time": time})
    means.wire.send({"end": {}})


def _find_pieces(job: FindPieces, means: Means) -> None:
    means.wire.send({"pieces": remux.plan(job.path)})


def _cut_piece(job: CutPiece, means: Means) -> None:
    whole = remux.piece(job.path, job.begin, job.end)
    for at in range(0, len(whole), _BYTES_PIECE):
        means.wire.send({"size": len(whole), "bytes": whole[at : at + _BYTES_PIECE].hex()})
    means.wire.send({"end": {}})


def _analyze(job: Analyze, means: Means) -> None:
    with answer(job, means.recognisers) as reply:
        means.grow_with(reply.clip.duration)
        means.wire.send({"accepted": reply.told()})
        means.wire.text(reply.fragments)
        means.wire.send({"end": {"damaged_packets": reply.faults.packets} if reply.faults.packets else {}})


_HOW: dict[type[Job], Callable[[Any, Means], None]] = {
    Probe: _probe,
    Measure: _measure,
    Sketch: _sketch,
    Thumbnail: _draw,
    Pictures: _draw_all,
    FindPieces: _find_pieces,
    CutPiece: _cut_piece,
    Analyze: _analyze,
}
