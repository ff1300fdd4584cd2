"""Clips for users without a video of their own: one that speaks, and one that is rendered.

``SPOKEN`` is 13 seconds of NASA on the Webb telescope (NOTICES.md). The rendered one has everything there is to
find: cuts, motion, words on screen, tones, silence. It is the same every time, so tests know what is in it
(``SCENES``).
"""

import shutil
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import OutputContainer
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Canvas = NDArray[np.uint8]

SPOKEN = Path(__file__).parent / "sample.mp4"

WIDTH, HEIGHT, FPS = 640, 360, 25
RATE = 48_000
_SAMPLES = 1024  # a packet of sound

# Five columns by seven rows; each number is a row, its highest bit the left column.
_FONT = {
    " ": (0, 0, 0, 0, 0, 0, 0),
    "A": (14, 17, 17, 31, 17, 17, 17), "B": (30, 17, 17, 30, 17, 17, 30), "C": (14, 17, 16, 16, 16, 17, 14),
    "D": (30, 17, 17, 17, 17, 17, 30), "E": (31, 16, 16, 30, 16, 16, 31), "F": (31, 16, 16, 30, 16, 16, 16),
    "G": (14, 17, 16, 23, 17, 17, 14), "H": (17, 17, 17, 31, 17, 17, 17), "I": (14, 4, 4, 4, 4, 4, 14),
    "L": (16, 16, 16, 16, 16, 16, 31), "M": (17, 27, 21, 21, 17, 17, 17), "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14), "P": (30, 17, 17, 30, 16, 16, 16), "R": (30, 17, 17, 30, 20, 18, 17),
    "S": (15, 16, 16, 14, 1, 1, 30), "T": (31, 4, 4, 4, 4, 4, 4), "U": (17, 17, 17, 17, 17, 17, 14),
    "V": (17, 17, 17, 17, 17, 10, 4), "Y": (17, 17, 10, 4, 4, 4, 4), "-": (0, 0, 0, 31, 0, 0, 0),
    "0": (14, 17, 19, 21, 25, 17, 14), "4": (2, 6, 10, 18, 31, 2, 2), "6": (6, 8, 16, 30, 17, 17, 14),
    "Z": (31, 1, 2, 4, 8, 16, 31),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scene:
    """A stretch of the clip between two hard cuts.

    Attributes:
        text: what is written on the picture.
        hz: the tone that sounds, 0 for silence.
        moves: what moves: nothing, a ``ball`` or a ``bar``.
    """

    start: float
    end: float
    text: str
    paper: tuple[int, int, int]
    ink: tuple[int, int, int]
    hz: float = 0.0
    moves: str = ""


SCENES = (
    Scene(0.0, 2.0, "FANLIGHT SAMPLE", (16, 40, 96), (245, 245, 245)),
    Scene(2.0, 4.4, "A BALL - 440 HZ", (60, 140, 70), (250, 220, 60), 440.0, "ball"),
    Scene(4.4, 6.4, "A BAR - 660 HZ", (230, 200, 170), (150, 40, 40), 660.0, "bar"),
    Scene(6.4, 8.0, "THE END", (8, 8, 8), (220, 220, 220)),
)
DURATION = SCENES[-1].end


def render(path: Path) -> None:
    """Write the clip to ``path`` as MP4 (H.264 and AAC where the encoders are there)."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        _write(container)


def _write(container: OutputContainer) -> None:
    video = container.add_stream("libx264" if "libx264" in av.codecs_available else "mpeg4", rate=FPS)
    video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    video.bit_rate = 600_000
    video.codec_context.thread_count = 1  # the same bytes every time
    video.codec_context.time_base = Fraction(1, FPS)
    audio = container.add_stream("aac", rate=RATE)
    audio.layout = "mono"
    sound = _sound()
    heard = 0
    for index in range(round(DURATION * FPS)):
        frame = VideoFrame.from_ndarray(picture(index / FPS), format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, FPS)
        container.mux(video.encode(frame))
        while heard < len(sound) and heard / RATE <= index / FPS:
            container.mux(audio.encode(_packet(sound, heard)))
            heard += _SAMPLES
    container.mux(video.encode())
    container.mux(audio.encode())


def picture(time: float) -> Canvas:
    """Draw the picture at a time, as an array of shape (height, width, 3)."""
    scene = next(one for one in SCENES if one.start <= time < one.end)
    canvas = np.empty((HEIGHT, WIDTH, 3), dtype=np.uint8)
    canvas[:] = scene.paper
    share = (time - scene.start) / (scene.end - scene.start)
    if scene.moves == "ball":
        rows, columns = np.ogrid[:HEIGHT, :WIDTH]
        across, down = 60 + share * (WIDTH - 120), 120 + 60 * abs(np.cos(share * 3 * np.pi))
        canvas[(rows - down) ** 2 + (columns - across) ** 2 <= 34**2] = scene.ink
    elif scene.moves == "bar":
        left = int(share * (WIDTH - 80))
        canvas[60:220, left : left + 80] = scene.ink
    _write_text(canvas, scene.text, scene.ink)
    return canvas


def _write_text(canvas: Canvas, text: str, ink: tuple[int, int, int], dot: int = 6) -> None:
    """Write a line of text, centred, near the lower edge."""
    left, top = (WIDTH - len(text) * 6 * dot + dot) // 2, HEIGHT - 12 * dot
    for place, letter in enumerate(text):
        for row, bits in enumerate(_FONT[letter]):
            for column in range(5):
                if bits >> (4 - column) & 1:
                    x, y = left + (place * 6 + column) * dot, top + row * dot
                    canvas[y : y + dot, x : x + dot] = ink


def _sound() -> NDArray[np.float32]:
    """Return the sound track: a tone where a scene has one, its ends softened."""
    samples = np.zeros(round(DURATION * RATE), dtype=np.float32)
    for scene in SCENES:
        if scene.hz:
            first, last = round(scene.start * RATE), round(scene.end * RATE)
            ramp = np.minimum(1.0, np.minimum(np.arange(last - first), np.arange(last - first)[::-1]) / 480)
            tone = 0.25 * np.sin(2 * np.pi * scene.hz * np.arange(last - first) / RATE)
            samples[first:last] = tone * ramp
    return samples


def _packet(sound: NDArray[np.float32], at: int) -> AudioFrame:
    block = np.zeros((1, _SAMPLES), dtype=np.float32)
    have = sound[at : at + _SAMPLES]
    block[0, : len(have)] = have
    frame = AudioFrame.from_ndarray(block, format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
    return frame


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m engine.sample PATH\n")
        return 2
    shutil.copyfile(SPOKEN, sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
