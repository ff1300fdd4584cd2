"""Small clips rendered for one test each: which picture stands when, which sound, in what container."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

RATE = 16_000
_TICKS = Fraction(1, 1000)
_BLOCK = 1024
RED, GREEN, BLUE, GREY = (250, 0, 0), (0, 128, 0), (0, 0, 250), (90, 90, 90)
Canvas = NDArray[np.uint8]
Picture = tuple[float, Canvas]
Sound = NDArray[np.float32]


def plain(colour: tuple[int, int, int], width: int = 640, height: int = 360) -> Canvas:
    """Return a picture of one colour."""
    return np.full((height, width, 3), colour, dtype=np.uint8)


def steadily(fps: float, *scenes: tuple[float, Canvas]) -> list[Picture]:
    """Return pictures at a rate; each scene lasts so many seconds."""
    ends = np.cumsum([seconds for seconds, _ in scenes])
    times = [index / fps for index in range(round(float(ends[-1]) * fps))]
    return [(time, scenes[int(np.searchsorted(ends, time + 1e-9, side="right"))][1]) for time in times]


def tone(seconds: float, hz: float = 440.0, channels: int = 1) -> Sound:
    """Return a tone, of shape (channels, samples)."""
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    return np.tile(wave.astype(np.float32), (channels, 1))


def quiet(seconds: float, channels: int = 1) -> Sound:
    return np.zeros((channels, round(seconds * RATE)), dtype=np.float32)


def picture_packets(stream: VideoStream, pictures: Iterable[Picture], end: float, shift: float = 0.0) -> list[Packet]:
    """Encode pictures; the last one lasts until ``end``."""
    packets: list[Packet] = []
    row = list(pictures)
    until = dict(pairwise([*(round((time + shift) * 1000) for time, _ in row), round((end + shift) * 1000)]))
    for time, canvas in row:
        frame = VideoFrame.from_ndarray(canvas, format="rgb24")
        frame.time_base, frame.pts = _TICKS, round((time + shift) * 1000)
        packets += stream.encode(frame)
    packets += stream.encode(None)
    for packet in packets:
        assert packet.pts is not None
        packet.duration = until[packet.pts] - packet.pts
    return packets


def sound_packets(
    stream: AudioStream, sound: Sound, shift: float = 0.0, stretch: float = 1.0, last: bool = True
) -> list[Packet]:
    """Encode sound; ``stretch`` has its timestamps go slower or faster than its samples.

    Args:
        last: no more sound will come.
    """
    packets: list[Packet] = []
    layout = "mono" if len(sound) == 1 else "stereo"
    for at in range(0, sound.shape[1], _BLOCK):
        block = np.ascontiguousarray(sound[:, at : at + _BLOCK])
        if stream.codec_context.name.startswith(("pcm", "flac")):
            whole = np.ascontiguousarray((block * 32767).astype(np.int16).T.reshape(1, -1))
            frame = AudioFrame.from_ndarray(whole, format="s16", layout=layout)
        else:
            frame = AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = round((at / RATE * stretch + shift) * RATE)
        packets += stream.encode(frame)
    return packets + (stream.encode(None) if last else [])


def add_picture(container: OutputContainer, width: int = 640, height: int = 360, codec: str = "libx264") -> VideoStream:
    stream = container.add_stream(codec, rate=Fraction(25))
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = _TICKS
    stream.codec_context.thread_count = 1
    if codec == "libx264":
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "25"}
    return stream


def add_sound(container: OutputContainer, channels: int = 1, codec: str = "aac") -> AudioStream:
    stream = container.add_stream(codec, rate=RATE)
    assert isinstance(stream, AudioStream)
    stream.layout = "mono" if channels == 1 else "stereo"
    return stream


def mux(container: OutputContainer, packets: Sequence[Packet]) -> None:
    """Write packets of all streams in the order of their times."""
    for packet in sorted(packets, key=lambda one: float((one.dts or 0) * one.time_base)):
        container.mux(packet)


def write(
    path: Path,
    pictures: Sequence[Picture],
    end: float,
    sound: Sound | None = None,
    *,
    shift: float = 0.0,
    codec: str = "libx264",
    sound_codec: str = "aac",
    aspect: Fraction | None = None,
    **options: str,
) -> Path:
    """Write a clip; its container is that of the path's suffix.

    Args:
        end: until when the last picture lasts.
        shift: by how much all timestamps are later than the clip's own time.
        aspect: of a pixel.
        options: of the container.
    """
    with av.open(str(path), "w", options=options) as container:
        packets: list[Packet] = []
        height, width = pictures[0][1].shape[:2] if pictures else (0, 0)
        video = add_picture(container, width, height, codec) if pictures else None
        audio = add_sound(container, len(sound), sound_codec) if sound is not None else None
        if video is not None:
            if aspect is not None:
                video.codec_context.sample_aspect_ratio = aspect
            packets += picture_packets(video, pictures, end, shift)
        if audio is not None and sound is not None:
            packets += sound_packets(audio, sound, shift)
        mux(container, packets)
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a display matrix (a, b, c, d) into an MP4, into the header of its first track."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4
    at += 40 if content[at] == 0 else 52  # behind version, times, ids, duration, layer, volume
    a, b, c, d = (value << 16 for value in matrix)
    for place, value in zip(range(at, at + 36, 4), (a, b, 0, c, d, 0, 0, 0, 1 << 30), strict=True):
        content[place : place + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(content)
    return path
