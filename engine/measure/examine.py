"""Decode a clip once, from its start to its end, and tell the facts as they settle.

Nothing is kept but the last seconds: memory does not grow with the clip's length.
The examiners look at the same stream with different delays (a cut needs two seconds of
hindsight), so each says up to which time it is settled, and what was seen or measured is
told when nothing earlier can still come. Utterances, on-screen text and things come whenever
their recognisers have them.

A picture stands until the next one comes: the examiners see it again meanwhile, so that
none of them needs to know how many pictures a second there are.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from engine.facts.facts import Clip, Fact, Fault, Heard, Read, Recognised, Seen, Shot, Spotted
from engine.facts.samples import RATE
from engine.measure import shots
from engine.measure.clock import Clock, packets_of
from engine.measure.colour import Pixels
from engine.measure.faults import Faults, Half
from engine.measure.mixing import Mixed, Mixer
from engine.measure.motion import MotionTracker
from engine.measure.opening import broken
from engine.measure.shots import ShotTracker
from engine.measure.sketch import Sketcher
from engine.measure.sound import SoundMeter
from engine.measure.tracks import audio_of, video_of
from engine.measure.upright import Shower, shown_size, turn_of
from engine.recognise.pictures import Onlooker
from engine.recognise.sight import Eyes
from engine.recognise.speech import Ears
from engine.recognise.spotting import Spotter

# Pictures closer together than this add nothing: 50 and 60 fps are seen at half their rate.
_FRAME_STEP_S = 0.03
# A picture that stands longer is seen again, every so often.
_STANDS_S = 0.15
_AGAIN_S = 0.1
# The sound is held to its timestamps: what is farther away from them than this is moved.
_AUDIO_DRIFT_S = 0.08
_LONGEST_GAP_S = 3600.0
# Gaps and overlaps of the sound from this length on are told.
_TOLD_S = 0.5
# What comes so much later than the clip's end has not its true time.
_BEYOND_S = 1.0
# What ends so much before it was announced to end is missing.
_MISSING_S = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be examined.

    Attributes:
        ears: the listener for speech; None to leave speech out.
        eyes: the reader of text on the screen; None to leave text out.
        spotter: names things; None to leave them out. What it tells depends on shots, so the picture is examined too.
        start, end: the span to look at, in seconds.
        part_s: the longest shot that is told as one.
        faults: collects what is wrong with the file, and counts the packets that were passed over.
        sketcher: gets the pictures as well.
    """

    picture: bool
    sound: bool
    ears: Ears | None
    eyes: Eyes | None = None
    spotter: Spotter | None = None
    start: float = 0.0
    end: float = math.inf
    part_s: float = 60.0
    faults: Faults = field(default_factory=Faults)
    sketcher: Sketcher | None = None


class Pictures:
    """The examiners of the picture.

    Attributes:
        end: until when pictures were seen.
        frames: how many were.
    """

    def __init__(self, start: float, part_s: float, sketcher: Sketcher | None = None) -> None:
        self._sketcher = sketcher
        self._shots = ShotTracker(start, part_s)
        self._motion = MotionTracker()
        self._shower = Shower()
        self._standing: Pixels | None = None
        self._last = -1.0
        self._seen = start
        self.end = start
        self.frames = 0

    @property
    def settled(self) -> float:
        open_since = self._motion.open_since
        return min(self._seen - shots.LAG_S, math.inf if open_since is None else open_since)

    def feed(self, frame: VideoFrame, time: float) -> list[Fact]:
        self.frames += 1
        self.end = max(self.end, time + _length(frame))
        if time - self._last < _FRAME_STEP_S:
            return []
        facts = self._stand(time)
        self._standing = self._shower.draw(frame, shots.WIDTH, shots.HEIGHT)
        self._last = time
        return [*facts, *self._motion.feed(time, self._standing), *self._see(time)]

    def finish(self, end: float) -> list[Fact]:
        """Return what is left; the last picture stands until ``end``."""
        return [*self._stand(end), *self._motion.finish(), *self._shots.finish(end)]

    def _stand(self, until: float) -> list[Fact]:
        """See the last picture again, up to when another takes its place."""
        if until - self._last <= _STANDS_S:
            return []
        again = int((until - self._last - _AGAIN_S / 2) / _AGAIN_S)
        return [fact for step in range(1, again + 1) for fact in self._see(self._last + step * _AGAIN_S)]

    def _see(self, time: float) -> list[Fact]:
        if self._standing is None:
            return []
        self._seen = time
        if self._sketcher:
            self._sketcher.feed(time, self._standing)
        return list(self._shots.feed(time, self._standing, again=time > self._last))


class _Gaze:
    """Have an onlooker look at pictures, also at one that came too soon after another and then stands."""

    def __init__(self, onlooker: Onlooker, aspect: Fraction | None) -> None:
        self._onlooker = onlooker
        self._aspect = aspect
        self._shower = Shower()
        self._unseen: VideoFrame | None = None

    def feed(self, frame: VideoFrame, time: float) -> None:
        self.finish(time)
        self._unseen = frame
        if time >= self._onlooker.next:
            self._look(time)

    def finish(self, until: float) -> None:
        """The last picture stands until this time."""
        if until - self._onlooker.next > _STANDS_S:
            self._look(self._onlooker.next)

    def _look(self, time: float) -> None:
        frame, self._unseen = self._unseen, None
        if frame is not None:
            size = shown_size(frame.width, frame.height, turn_of(frame), self._aspect)
            self._onlooker.look(time, size, lambda width, height: self._shower.draw(frame, width, height, "bgr24"))


class Sounds:
    """The examiners of the sound; they hear it as 16 kHz mono without gaps."""

    def __init__(self, order: Order) -> None:
        self._measure = order.sound
        self._ears = order.ears
        self._faults = order.faults
        self._mixer: Mixer | None = None
        self._start = order.start
        self._meter = SoundMeter(order.start)
        self._samples = 0
        self._channels = 1
        self._overlap: Fault | None = None

    @property
    def end(self) -> float:
        """Until when sound was heard."""
        return self._start + self._samples / RATE

    @property
    def settled(self) -> float:
        open_since = self._meter.open_since
        # A level is told a second after it began, a tone when a quarter is over.
        return min(self.end - 1.0, math.inf if open_since is None else open_since)

    def feed(self, frame: AudioFrame, time: float) -> list[Fact]:
        if self._mixer is None:
            self._begin(frame, time)
        away = time - self.end
        if away < -_AUDIO_DRIFT_S:
            self._leave_out(frame, time)
            return []
        facts = self._fill(away) if _AUDIO_DRIFT_S < away < _LONGEST_GAP_S else []
        return facts + self._hear(self._mixed(frame))

    def finish(self) -> list[Fact]:
        if self._mixer is None:
            return []
        self._tell_overlap()
        facts = self._hear(self._mixer.mix(None))
        return facts + (self._meter.finish() if self._measure else [])

    def _begin(self, frame: AudioFrame, time: float) -> None:
        self._mixer = Mixer(frame)
        self._start = time
        self._meter = SoundMeter(time)
        if self._ears:
            self._ears.begin(time)

    def _mixed(self, frame: AudioFrame) -> list[Mixed]:
        assert self._mixer is not None
        try:
            return self._mixer.mix(frame)
        except ValueError:  # the track goes on in another rate or with other channels
            rest = self._mixer.restart()
        try:
            return [*rest, *self._mixer.mix(frame)]
        except (ValueError, av.FFmpegError):
            self._faults.damaged("sound", self.end)
            return rest

    def _fill(self, seconds: float) -> list[Fact]:
        """Be silent where the track has no sound, a second at a time."""
        if seconds >= _TOLD_S:
            self._faults.add(Fault(self.end, self.end + seconds, "gap", "sound"))
        facts: list[Fact] = []
        left = round(seconds * RATE)
        while left > 0:
            channels = np.zeros((self._channels, min(left, RATE)), dtype=np.int16)
            facts += self._hear([Mixed(channels, channels[0])])
            left -= RATE
        return facts

    def _leave_out(self, frame: AudioFrame, time: float) -> None:
        """Pass over sound whose time is taken already."""
        length = frame.samples / (frame.sample_rate or RATE)
        known = self._overlap
        if known is None or known.start > self.end or time < known.start:
            self._tell_overlap()
            known = Fault(time, time, "overlap", "sound")
        self._overlap = replace(known, end=time + length)

    def _tell_overlap(self) -> None:
        known, self._overlap = self._overlap, None
        if known is not None and known.end - known.start >= _TOLD_S:
            self._faults.add(known)

    def _hear(self, mixed: list[Mixed]) -> list[Fact]:
        facts: list[Fact] = []
        for one in mixed:
            self._channels = len(one.channels)
            self._samples += len(one.mono)
            if self._ears:
                self._ears.hear(one.mono)
            if self._measure:
                facts += self._meter.feed(one.mono, one.channels)
        if mixed:
            self._tell_overlap()
        return facts


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
            # A shot comes after all else that ends with it: its reader already has its contents.
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
    spotter = order.spotter if clip.has_picture else None
    pictures = Pictures(order.start, order.part_s, order.sketcher) if order.picture and clip.has_picture else None
    sounds = Sounds(order) if clip.has_sound and (order.sound or ears) else None
    reader = _Reader(container, clip, order, bool(pictures or eyes or spotter), sounds is not None)
    gazes = [_Gaze(one, reader.aspect) for one in (eyes, spotter) if one]
    row = _InOrder(clip.duration)
    recognisers = [one for one in (ears, eyes, spotter) if one]
    for frame, time in reader.frames():
        if isinstance(frame, VideoFrame):
            row.add(_marked(pictures.feed(frame, time), spotter) if pictures else [])
            for gaze in gazes:
                gaze.feed(frame, time)
        else:
            assert sounds is not None
            row.add(sounds.feed(frame, time))
        row.add([*order.faults.take(reader.now)])
        yield from row.release(_settled(pictures, sounds))
        for recogniser in recognisers:
            yield from recogniser.read()
    if pictures is not None and pictures.frames == 0 and order.start == 0 < clip.duration:
        raise broken("none of its pictures can be decoded")
    missing = reader.missing()
    gone = {one.track: one.start for one in missing}
    end = min(order.end, clip.duration, gone.get("picture", math.inf))
    row.add(_marked(pictures.finish(end), spotter) if pictures else [])
    for gaze in gazes:
        gaze.finish(end)
    row.add(sounds.finish() if sounds else [])
    row.add([*order.faults.finish(missing)])
    yield from row.release(math.inf)
    yield Seen(math.inf)
    yield from _recognised(ears, eyes, spotter, end)


def _marked(facts: list[Fact], spotter: Spotter | None) -> list[Fact]:
    """Tell the spotter where shots begin: what it sees in one is not the same in the next."""
    for fact in facts:
        if spotter and isinstance(fact, Shot) and fact.opening != "continues":
            spotter.cut(fact.start)
    return facts


def _recognised(ears: Ears | None, eyes: Eyes | None, spotter: Spotter | None, end: float) -> Iterator[Fact]:
    """Yield what the recognisers still have to tell; all work on while one is waited for."""
    if ears:
        ears.finish()
    for onlooker in (eyes, spotter):
        if onlooker:
            onlooker.finish(end)
    while ears and not ears.done:
        yield from ears.read(wait=True)
    yield Heard(math.inf)
    while eyes and not eyes.done:
        yield from eyes.read(wait=True)
    yield Read(math.inf)
    while spotter and not spotter.done:
        yield from spotter.read(wait=True)
    yield Spotted(math.inf)


def _settled(pictures: Pictures | None, sounds: Sounds | None) -> float:
    return min(
        pictures.settled if pictures else math.inf,
        sounds.settled if sounds else math.inf,
    )


class _Reader:
    """Decode the wanted tracks, in the file's order, on one timeline; what is damaged is passed over.

    Attributes:
        now: how far it has come.
        aspect: that of the picture's pixels.
    """

    def __init__(self, container: InputContainer, clip: Clip, order: Order, picture: bool, sound: bool) -> None:
        self._container = container
        self._clip = clip
        self._order = order
        self._clock = Clock.of(container)
        self._video = video_of(container) if picture else None
        self._audio = audio_of(container) if sound else None
        self._ends: dict[Half, float] = {}
        self.aspect = self._video.sample_aspect_ratio if self._video else None
        self.now = order.start

    def frames(self) -> Iterator[tuple[VideoFrame | AudioFrame, float]]:
        """Yield frames with their times; the picture that stands at the start of the span comes with this time."""
        streams: list[Stream] = [stream for stream in (self._video, self._audio) if stream is not None]
        if self._video is not None:
            self._video.thread_type = "AUTO"
            self._video.codec_context.thread_count = 2  # each thread holds frames of its own
        start, end = self._order.start, self._order.end
        standing: VideoFrame | None = None
        past_end: set[int] = set()
        for packet in self._packets(streams):
            if packet.stream_index in past_end:
                continue
            for frame, time in self._decoded(packet):
                if isinstance(frame, VideoFrame):
                    if time < start:
                        standing = frame
                        continue
                    if standing is not None and time > start:
                        yield standing, start
                    standing = None
                if time >= end:
                    past_end.add(packet.stream_index)
                elif time >= start:
                    yield frame, time
            if streams and len(past_end) == len(streams):
                return
        if standing is not None and not any(one.track == "picture" for one in self.missing()):
            yield standing, start

    def missing(self) -> list[Fault]:
        """Return what was announced, within the span, and did not come."""
        found = []
        for track in self._wanted():
            announced = self._clip.picture_end if track == "picture" else self._clip.sound_end
            here = max(self._order.start, self._ends.get(track, 0.0))
            until = min(self._order.end, self._short() if announced is None else announced)
            if until - here > _MISSING_S:
                found.append(Fault(here, until, "missing", track))
        return found

    def _wanted(self) -> list[Half]:
        wanted: list[tuple[Half, object]] = [("picture", self._video), ("sound", self._audio)]
        return [half for half, stream in wanted if stream is not None]

    def _short(self) -> float:
        """Return the clip's end where all of its tracks end before it; 0 where one reaches it, or was not looked at."""
        all_looked_at = len(self._wanted()) == self._clip.has_picture + self._clip.has_sound
        reached = max(self._ends.values(), default=0.0)
        return self._clip.duration if all_looked_at and self._clip.duration - reached > 2 * _MISSING_S else 0.0

    def _packets(self, streams: list[Stream]) -> Iterator["Packet[Any]"]:
        """Read packets until the file ends, or cannot be read any further."""
        if not streams:
            return
        try:
            yield from packets_of(self._container, streams, self._clock, self._order.start)
        except av.FFmpegError:
            self._order.faults.packets += 1

    def _decoded(self, packet: "Packet[Any]") -> list[tuple[VideoFrame | AudioFrame, float]]:
        track: Half = "picture" if packet.stream.type == "video" else "sound"
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.time_base is not None:
            self.now = max(0.0, float(stamp * packet.time_base) - self._clock.begin)
        faults = self._order.faults
        faults.began_again(self._clock.restarts, self._order.start)
        frames: list[tuple[VideoFrame | AudioFrame, float]] = []
        try:
            for frame in packet.decode():
                if not isinstance(frame, VideoFrame | AudioFrame) or frame.time is None:
                    continue
                time = max(0.0, frame.time - self._clock.begin)
                # A damaged timestamp may lie years ahead: nothing stands until then.
                if time > self._clip.duration + _BEYOND_S or (frame.is_corrupt and track in self._ends):
                    self._damaged(track, min(time, self._clip.duration))
                    continue
                self._ends[track] = max(self._ends.get(track, 0.0), time + _length(frame))
                frames.append((frame, time))
        except av.EOFError:
            pass
        except av.FFmpegError:  # of any kind: decoders also fail with the numbers of system errors
            self._damaged(track, self.now)
        return frames

    def _damaged(self, half: Half, time: float) -> None:
        """Note damage; before the span it is that of a decoder which began in the middle."""
        if time >= self._order.start:
            self._order.faults.damaged(half, time)


def _length(frame: VideoFrame | AudioFrame) -> float:
    if isinstance(frame, AudioFrame):
        return frame.samples / (frame.sample_rate or RATE)
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return 0.04
