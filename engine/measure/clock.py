"""One timeline for all tracks of a file, from the container's start: what its timestamps mean.

The clock of a file may begin again in its middle (recordings that were joined), or jump
ahead (MPEG-TS is allowed to). Players go on; so times go on here. Packets are corrected
as they are read, so that whatever looks at a file sees the same times.
"""

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from engine.measure.opening import open_media, packets_in
from engine.measure.tracks import audio_of, video_of

# A track that falls back by more begins again; by less, it overlaps itself.
_BACK_S = 1.0
# A track whose format lets its clock jump, and that jumps ahead by more, goes on under another clock.
_AHEAD_S = 10.0
_JUMPING = {"mpegts", "mpeg"}
# Their headers say how long they were to be; of a file that is cut off, that is not what is there.
_ANNOUNCING = {"avi", "flv", "flac", "wav", "asf"}
_CUT_OFF_S = 1.0
# A matroska that begins later may count its length from its start, or from 0: that is not laid down.
_BEGINS_S = 0.5
# More is not kept back while the way to a time is looked for.
_MOST_HELD, _MOST_HELD_BYTES = 20_000, 64 * 1024**2


@dataclass(slots=True)
class _Track:
    epoch: int
    last: float  # seconds of the file


@dataclass(slots=True)
class _Epoch:
    shift: float  # seconds from the file's time to the clip's
    last: float  # seconds of the file


@dataclass(slots=True)
class Clock:
    """Correct the timestamps of packets, which come in the order of the file.

    Attributes:
        begin: the file's own time of the clip's start.
        jumps: whether the format lets a clock jump ahead.
        end: where the latest packet ended, in seconds of the clip.
        ends: the same for each track, by its index.
        restarts: when the clock began again.
    """

    begin: float
    jumps: bool = False
    end: float = 0.0
    ends: dict[int, float] = field(default_factory=dict)
    restarts: list[float] = field(default_factory=list)
    _tracks: dict[int, _Track] = field(default_factory=dict)
    _epochs: list[_Epoch] = field(default_factory=list)

    @classmethod
    def of(cls, container: InputContainer) -> "Clock":
        return cls(begin_of(container), _name(container) in _JUMPING)

    def correct(self, packet: "Packet[Any]") -> float | None:
        """Move a packet's timestamps to where they belong; return its time in the clip, None where it has none."""
        if (packet.dts is None and packet.pts is None) or packet.time_base is None:
            return None
        shift = self._shift(packet)
        moved = round((shift + self.begin) / packet.time_base)  # 0 where the clock never began again
        if moved:
            packet.dts = None if packet.dts is None else packet.dts + moved
            packet.pts = None if packet.pts is None else packet.pts + moved
        shown = packet.pts if packet.pts is not None else packet.dts
        assert shown is not None
        time = float(shown * packet.time_base) - self.begin
        end = time + float((packet.duration or 0) * packet.time_base)
        self.ends[packet.stream_index] = max(end, self.ends.get(packet.stream_index, 0.0))
        self.end = max(self.end, end)
        return time

    def _shift(self, packet: "Packet[Any]") -> float:
        track = self._tracks.get(packet.stream_index)
        if packet.dts is None or packet.time_base is None:
            # Pictures come in the order of their decoding: the time at which one is shown may go back.
            return self._epochs[track.epoch].shift if track else -self.begin
        now = float(packet.dts * packet.time_base)
        if not self._epochs:
            self._epochs.append(_Epoch(-self.begin, now))
        if track is None:
            track = self._tracks[packet.stream_index] = _Track(len(self._epochs) - 1, now)
        elif now < track.last - _BACK_S or self._jumped(track, now):
            track.epoch = self._entered(track.epoch, packet, now)
        track.last = now
        epoch = self._epochs[track.epoch]
        epoch.last = max(epoch.last, now)
        return epoch.shift

    def _jumped(self, track: _Track, now: float) -> bool:
        """Whether a track is ahead of all that was read; a slow one is behind the others, and catches up."""
        return self.jumps and now > self._epochs[track.epoch].last + _AHEAD_S

    def _entered(self, left: int, packet: "Packet[Any]", now: float) -> int:
        """Return the epoch that a track goes on in: one that another track has opened, or a new one."""
        for place in range(left + 1, len(self._epochs)):
            if abs(self._epochs[place].last - now) <= _AHEAD_S:
                return place
        shown = packet.pts if packet.pts is not None else packet.dts
        assert shown is not None
        assert packet.time_base is not None
        self._epochs.append(_Epoch(self.end - float(shown * packet.time_base), now))
        self.restarts.append(self.end)
        return len(self._epochs) - 1


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a file is, and how long its picture and its sound are; None where nothing says so."""

    duration: float
    picture_end: float | None = None
    sound_end: float | None = None


def begin_of(container: InputContainer) -> float:
    """Return the file's own time of the clip's start, in seconds."""
    return (container.start_time or 0) / av.time_base


def extent_of(container: InputContainer) -> Extent:
    """Say how long a file is: by its tables where it has some, else by reading all its packets once."""
    tracks = [stream for stream in (video_of(container), audio_of(container)) if stream is not None]
    if _name(container) == "mov" and all(stream.frames for stream in tracks):
        return _tabled(container)
    if _name(container) == "matroska" and container.duration and begin_of(container) < _BEGINS_S and _tables(container):
        return _tagged(container)
    return _surveyed(container)


def _tables(container: InputContainer) -> bool:
    """Whether the file has tables of where everything is: these may be trusted, and it may be jumped about in."""
    return _name(container) == "mov" or (_name(container) == "matroska" and is_one_segment(_path(container)))


def _tabled(container: InputContainer) -> Extent:
    begin = begin_of(container)
    ends = {
        stream.index: float(((stream.start_time or 0) + stream.duration) * stream.time_base) - begin
        for stream in (video_of(container), audio_of(container))
        if stream is not None and stream.duration and stream.time_base
    }
    whole = (container.duration or 0) / av.time_base
    return _extent(container, whole or max(ends.values(), default=0.0), ends)


def _tagged(container: InputContainer) -> Extent:
    """Return what a matroska's header says; most writers note the end of each track in a tag."""
    begin = begin_of(container)
    ends = {
        stream.index: sum(float(part) * 60**place for place, part in enumerate(reversed(tag.split(":")))) - begin
        for stream in container.streams
        if re.fullmatch(r"\d+:\d\d:\d\d(\.\d+)?", tag := str(stream.metadata.get("DURATION", "")), re.ASCII)
    }
    assert container.duration is not None
    return _extent(container, container.duration / av.time_base - begin, ends)


def _surveyed(container: InputContainer) -> Extent:
    clock = Clock.of(container)
    with open_media(_path(container)) as again:
        tracks = [stream for stream in again.streams if stream.type in ("video", "audio")]
        with suppress(av.FFmpegError):  # what follows cannot be had
            for packet in packets_in(again, tracks):
                clock.correct(packet)
    announced = (container.duration or 0) / av.time_base if _name(container) in _ANNOUNCING else 0.0
    if announced > clock.end + _CUT_OFF_S:
        return Extent(announced)
    if not clock.end:  # no packet has a time: the library's guess is all there is
        return Extent((container.duration or 0) / av.time_base)
    return _extent(container, clock.end, clock.ends)


_EBML, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")


def is_one_segment(path: Path) -> bool:
    """Whether a matroska's header speaks of all that is in the file: none was recorded live, or written behind it."""
    with path.open("rb") as file:
        if file.read(4) != _EBML:
            return False
        file.seek(_number(file) or 0, os.SEEK_CUR)
        if file.read(4) != _SEGMENT:
            return False
        size = _number(file)
        return size is not None and file.tell() + size >= path.stat().st_size


def _number(file: BinaryIO) -> int | None:
    """Read a length of EBML (RFC 8794, 4); None where it is not known, or is none."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(width - 1), "big") & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 else value


def _extent(container: InputContainer, duration: float, ends: dict[int, float]) -> Extent:
    video, audio = video_of(container), audio_of(container)
    ends = {index: round(end, 6) for index, end in ends.items()}
    return Extent(
        duration=round(duration, 6),
        picture_end=None if video is None else ends.get(video.index),
        sound_end=None if audio is None else ends.get(audio.index),
    )


def packets_of(
    container: InputContainer, streams: Sequence[Stream], clock: Clock, start: float = 0.0
) -> Iterator["Packet[Any]"]:
    """Read packets with corrected times, from the last place at or before ``start`` that pictures can be decoded from.

    Raises:
        av.FFmpegError: the file cannot be read any further.
    """
    if start > 0 and _tables(container):
        container.seek(int((start + clock.begin) * av.time_base), backward=True)
        start = 0.0
    leading = streams[0].index
    held: list[tuple[float, Packet[Any]]] = []
    waiting, size = start > 0, 0
    for packet in packets_in(container, streams):
        time = clock.correct(packet)
        if not waiting:
            yield packet
            continue
        time = math.inf if time is None else time
        if packet.is_keyframe and packet.stream_index == leading and time <= start:
            # Sound may lie before its picture, and its decoders want a little of what was before.
            held = [one for one in held if one[1].stream.type == "audio" and one[0] >= start - _BACK_S]
            size = sum(one.size for _, one in held)
        held.append((time, packet))
        size += packet.size
        if time >= start + _BACK_S or len(held) > _MOST_HELD or size > _MOST_HELD_BYTES:
            waiting = False
            yield from (one for _, one in held)
    if waiting:
        yield from (one for _, one in held)


def _path(container: InputContainer) -> Path:
    return Path(container.name.removeprefix("file:"))


def _name(container: InputContainer) -> str:
    return container.format.name.partition(",")[0]
