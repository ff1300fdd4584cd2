"""Decode a clip once, from its start to its end, and tell the facts as they settle.

Nothing is kept but the last seconds: memory does not grow with the clip's length.
The examiners look at the same stream with different delays (a cut needs two seconds of
hindsight), so each says up to which time it is settled, and what was seen or measured is
told when nothing earlier can still come. Utterances and on-screen text come whenever their
recognisers have them.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from engine.facts.facts import Clip, Fact, Heard, Read, Recognised, Seen, Shot
from engine.facts.samples import RATE, Samples
from engine.measure import shots
from engine.measure.colour import Pixels
from engine.measure.media import audio_of, broken, video_of
from engine.measure.motion import MotionTracker
from engine.measure.shots import ShotTracker
from engine.measure.sketch import Sketcher
from engine.measure.sound import SoundMeter
from engine.recognise.sight import Eyes
from engine.recognise.speech import Ears

# Pictures closer together than this add nothing: 50 and 60 fps are seen at half their rate.
_FRAME_STEP_S = 0.03
# Jumps of the audio clock below this are rounding, above it they are gaps.
_AUDIO_GAP_S = 0.05
_LONGEST_GAP_S = 3600.0
_LAST_PICTURE_S = 1.0


@dataclass(slots=True)
class Damage:
    """How many packets could not be decoded, and were passed over."""

    packets: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be examined.

    Attributes:
        ears: who listens for speech; None when nobody is to.
        eyes: who reads text on the screen; None when nobody is to.
        start, end: the span to look at, in seconds.
        part_s: the longest shot that is told as one.
        damage: counts what was passed over.
        sketcher: sees the pictures as well.
    """

    picture: bool
    sound: bool
    ears: Ears | None
    eyes: Eyes | None = None
    start: float = 0.0
    end: float = math.inf
    part_s: float = 60.0
    damage: Damage = field(default_factory=Damage)
    sketcher: Sketcher | None = None


class Pictures:
    """The examiners of the picture."""

    def __init__(self, start: float, part_s: float, duration: float, sketcher: Sketcher | None = None) -> None:
        self._duration = duration
        self._sketcher = sketcher
        self._shots = ShotTracker(start, part_s)
        self._motion = MotionTracker()
        self._scale = VideoReformatter()
        self._last = -1.0
        self._seen = start
        self._end = start
        self.frames = 0

    @property
    def settled(self) -> float:
        open_since = self._motion.open_since
        return min(self._seen - shots.LAG_S, math.inf if open_since is None else open_since)

    def feed(self, frame: VideoFrame, time: float) -> list[Fact]:
        self.frames += 1
        self._end = max(self._end, time + _length(frame))
        if time - self._last < _FRAME_STEP_S:
            return []
        self._last = self._seen = time
        small = self._scale.reformat(
            frame, width=shots.WIDTH, height=shots.HEIGHT, format="rgb24", interpolation="AREA"
        )
        pixels = cast(Pixels, small.to_ndarray())
        if self._sketcher:
            self._sketcher.feed(time, pixels)
        return [*self._motion.feed(time, pixels), *self._shots.feed(time, pixels)]

    def finish(self) -> list[Fact]:
        # The last picture stands until the clip is over.
        if 0 < self._duration - self._end < _LAST_PICTURE_S:
            self._end = self._duration
        return [*self._motion.finish(), *self._shots.finish(self._end)]


class Sounds:
    """The examiners of the sound; they hear it as 16 kHz mono without gaps."""

    def __init__(self, order: Order) -> None:
        self._measure = order.sound
        self._ears = order.ears
        self._resample = _to_mono()
        self._damage = order.damage
        self._meter: SoundMeter | None = None
        self._start = order.start
        self._samples = 0

    @property
    def settled(self) -> float:
        now = self._start + self._samples / RATE
        open_since = self._meter.open_since if self._meter else None
        # A level is told a second after it began, a tone when a quarter is over.
        return min(now - 1.0, math.inf if open_since is None else open_since)

    def feed(self, frame: AudioFrame, time: float) -> list[Fact]:
        if self._meter is None:
            self._begin(time)
        facts: list[Fact] = []
        gap = time - (self._start + self._samples / RATE)
        if _AUDIO_GAP_S < gap < _LONGEST_GAP_S:
            facts += self._hear(np.zeros(int(gap * RATE), dtype=np.int16))
        for small in self._resampled(frame):
            facts += self._hear(small.to_ndarray()[0])
        return facts

    def finish(self) -> list[Fact]:
        if self._meter is None:
            return []
        facts: list[Fact] = []
        for small in self._resample.resample(None):
            facts += self._hear(small.to_ndarray()[0])
        return facts + (self._meter.finish() if self._measure else [])

    def _resampled(self, frame: AudioFrame) -> list[AudioFrame]:
        try:
            return self._resample.resample(frame)
        except ValueError:  # the track goes on in another rate or with other channels
            rest = self._resample.resample(None)
            self._resample = _to_mono()
        try:
            return [*rest, *self._resample.resample(frame)]
        except (ValueError, av.FFmpegError):
            self._damage.packets += 1
            return rest

    def _begin(self, time: float) -> None:
        self._start = time
        self._meter = SoundMeter(time)
        if self._ears:
            self._ears.begin(time)

    def _hear(self, samples: Samples) -> list[Fact]:
        assert self._meter is not None
        self._samples += len(samples)
        if self._ears:
            self._ears.hear(samples)
        return self._meter.feed(samples) if self._measure else []


def _to_mono() -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=RATE)


class _InOrder:
    """Hold facts back until nothing earlier can still come."""

    def __init__(self, duration: float) -> None:
        self._duration = duration
        self._held: list[tuple[float, bool, int, Fact]] = []
        self._count = count()

    def add(self, facts: list[Fact]) -> None:
        for fact in facts:
            # Sound may run on past the last picture by a packet: nothing ends after the clip.
            if not isinstance(fact, Recognised | Seen) and fact.end > self._duration > fact.start:
                fact = replace(fact, end=self._duration)  # noqa: PLW2901
            # A shot comes after all else that ends with it: whoever reads it has its contents.
            heapq.heappush(self._held, (fact.end, isinstance(fact, Shot), next(self._count), fact))

    def release(self, settled: float) -> Iterator[Fact]:
        while self._held and self._held[0][0] <= settled:
            yield heapq.heappop(self._held)[3]


def examine(container: InputContainer, clip: Clip, order: Order) -> Iterator[Fact]:
    """Yield the facts of a clip while decoding it.

    Raises:
        ApiError: the file turned out to be broken, or a recogniser died.
    """
    ears = order.ears if clip.has_sound else None
    eyes = order.eyes if clip.has_picture else None
    pictures = sounds = None
    if order.picture and clip.has_picture:
        pictures = Pictures(order.start, order.part_s, min(order.end, clip.duration), order.sketcher)
    if clip.has_sound and (order.sound or ears):
        sounds = Sounds(order)
    row = _InOrder(clip.duration)
    recognisers = [one for one in (ears, eyes) if one]
    for frame, time in _frames(container, order, bool(pictures or eyes), sounds is not None):
        if isinstance(frame, VideoFrame):
            row.add(pictures.feed(frame, time) if pictures else [])
            if eyes:
                eyes.look(frame, time)
        else:
            assert sounds is not None
            row.add(sounds.feed(frame, time))
        yield from row.release(_settled(pictures, sounds))
        for recogniser in recognisers:
            yield from recogniser.read()
    if pictures is not None and pictures.frames == 0 and order.start < clip.duration:
        raise broken("none of its pictures can be decoded")
    row.add(pictures.finish() if pictures else [])
    row.add(sounds.finish() if sounds else [])
    yield from row.release(math.inf)
    yield Seen(math.inf)
    yield from _recognised(ears, eyes, min(order.end, clip.duration))


def _recognised(ears: Ears | None, eyes: Eyes | None, end: float) -> Iterator[Fact]:
    """Yield what the recognisers still have to tell; both work on while one is waited for."""
    if ears:
        ears.finish()
    if eyes:
        eyes.finish(end)
    while ears and not ears.done:
        yield from ears.read(wait=True)
    yield Heard(math.inf)
    while eyes and not eyes.done:
        yield from eyes.read(wait=True)
    yield Read(math.inf)


def _settled(pictures: Pictures | None, sounds: Sounds | None) -> float:
    return min(
        pictures.settled if pictures else math.inf,
        sounds.settled if sounds else math.inf,
    )


def _frames(
    container: InputContainer, order: Order, picture: bool, sound: bool
) -> Iterator[tuple[VideoFrame | AudioFrame, float]]:
    """Decode the wanted streams, in the file's order; damaged packets are passed over."""
    streams: list[Stream] = []
    if picture and (video := video_of(container)):
        video.thread_type = "AUTO"
        video.codec_context.thread_count = 2  # each thread holds frames of its own
        streams.append(video)
    if sound and (audio := audio_of(container)):
        streams.append(audio)
    offset = (container.start_time or 0) / av.time_base
    if order.start > 0:
        container.seek(int((order.start + offset) * av.time_base), backward=True)
    past_end: set[int] = set()
    for packet in _packets(container, streams, order.damage):
        if packet.stream_index in past_end:
            continue
        for frame in _decode(packet, order.damage):
            if frame.time is None:
                continue
            time = frame.time - offset
            if time >= order.end:
                past_end.add(packet.stream_index)
            elif time >= order.start:
                yield frame, max(0.0, time)
        if len(past_end) == len(streams):
            return


def _packets(container: InputContainer, streams: list[Stream], damage: Damage) -> Iterator["Packet[Any]"]:
    """Read packets until the file ends, or cannot be read any further."""
    try:
        yield from container.demux(streams)
    except av.FFmpegError:
        damage.packets += 1


def _decode(packet: "Packet[Any]", damage: Damage) -> list[VideoFrame | AudioFrame]:
    try:
        return [frame for frame in packet.decode() if isinstance(frame, VideoFrame | AudioFrame)]
    except av.EOFError:
        return []
    except av.FFmpegError:  # of any kind: decoders also fail with the numbers of system errors
        damage.packets += 1
        return []


def _length(frame: VideoFrame) -> float:
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return 0.04
