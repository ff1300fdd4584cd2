"""The clips of the workflow, and what is true of them."""

import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import av

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "media"
RENDER = "import pathlib, sys; from engine.sample import render; render(pathlib.Path(sys.argv[1]))"


@dataclass(frozen=True)
class Clips:
    """What is used of them, and what is known to be true.

    Attributes:
        film: has hard cuts at ``cuts`` (and no others), a steady 440 Hz tone, ``seconds`` and ``width``.
        tone: the word for the tone in a search, and where it begins.
        picture_at: a time inside the shot ``shot`` (its start and end) of the film.
        other: another clip, which shares no word with the film; itself where there is one clip only.
        words: the longer words of the captions of ``other``; none where nobody speaks.
        short: a clip under 4 s, or None.
    """

    name: str
    film: Path
    seconds: float
    width: int
    cuts: tuple[float, ...]
    tone: tuple[str, float]
    picture_at: float
    shot: tuple[float, float]
    other: Path
    words: tuple[str, ...] = ()
    short: Path | None = None


def find(folder: Path) -> Clips:
    """Return the shared clips; where they are not, the sample clip, rendered into ``folder``."""
    if (SHARED / "reel.mp4").exists():
        return Clips(
            "the shared clips reel.mp4, webb.mp4 and too-short.mp4 (truths: MEDIA.md)",
            SHARED / "reel.mp4", 23.04, 640, (3.0, 14.04, 20.04), ("steady tone 440 hz", 20.04), 8.0, (3.0, 14.04),
            SHARED / "webb.mp4", (
                "optical", "science", "segment", "webb", "space", "telescope", "largest", "cleanrooms", "world",
                "nasa's", "goddard", "flight", "center", "greenbelt", "maryland",
            ),
            SHARED / "too-short.mp4",
        )  # fmt: skip
    path = folder / "sample.mp4"
    subprocess.run([sys.executable, "-c", RENDER, str(path)], check=True, cwd=ROOT)
    return Clips(
        "the rendered sample clip alone: ../shared/media is not here, so nothing is said in it",
        path, 8.0, 640, (2.0, 4.4, 6.4), ("tone of 440 hz", 2.0), 3.0, (2.0, 4.4), path,
    )  # fmt: skip


def picture(path: Path, at: float) -> bytes:
    """Return the picture of a clip at a time, as PNG."""
    sink = io.BytesIO()
    with av.open(str(path)) as source, av.open(sink, "w", format="image2pipe") as target:
        frame = next(one for one in source.decode(video=0) if one.time >= at).reformat(format="rgb24")
        stream = target.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "rgb24"
        target.mux(stream.encode(frame))
        target.mux(stream.encode())
    return sink.getvalue()


def padded(path: Path, size: int) -> bytes:
    """Return an MP4 that is ``size`` bytes longer, by a box that readers skip."""
    return path.read_bytes() + size.to_bytes(4, "big") + b"free" + bytes(size - 8)
