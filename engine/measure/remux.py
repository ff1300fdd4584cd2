"""A video in pieces that a player can fetch one by one: MPEG-TS, without encoding anything again.

HTTP Live Streaming (RFC 8216, section 3.2) wants each piece to begin with a picture that
needs none before it. So pieces begin at such pictures of the file itself, and its
packets are only wrapped again: that is exact, and costs next to nothing. What MPEG-TS
cannot say is not streamed: that a picture is to be turned, or is wider than its codec says.
"""

import io
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from engine.errors import ApiError
from engine.measure.clock import Clock, packets_of
from engine.measure.opening import broken, first_frame, open_media
from engine.measure.tracks import audio_of, video_of
from engine.measure.upright import Turn, turn_of

# Pieces are cut at the first fitting picture after this time.
PIECE_S = 6.0
# A file with few such pictures has long pieces; a piece of more bytes than this is not served.
MAX_PIECE_BYTES = 256 * 1024**2
# What MPEG-TS carries, and browsers' players read.
_CODECS = {"video": {"h264", "hevc"}, "audio": {"aac", "mp3"}}


def plan(path: Path) -> list[tuple[float, float]]:
    """Return begin and end of each piece, in seconds of the clip.

    Raises:
        ApiError: ``video_file_broken``; ``parameter_invalid``, its codecs do not fit, or not as it is to be shown.
    """
    _check_shown(path)
    with open_media(path) as container:
        leading = _streams(container)[0]
        begins: list[float] = []
        end = 0.0
        for packet in _packets(container, [leading], Clock.of(container)):
            begin = _seconds(packet, packet.pts)
            end = max(end, begin + _seconds(packet, packet.duration or 0))
            if packet.is_keyframe and (not begins or begin - begins[-1] >= PIECE_S):
                begins.append(begin)
    if not begins:
        raise broken("there is nothing in it to begin with")
    first = begins[0]
    places = [round(begin - first, 6) for begin in begins]
    return list(zip(places, [*places[1:], round(max(end - first, places[-1] + 0.001), 6)], strict=True))


def piece(path: Path, begin: float | None, end: float | None) -> bytes:
    """Return what lies between two places of the plan as MPEG-TS; times go on from piece to piece.

    Args:
        begin, end: None for the first piece's begin and the last one's end, so that sound
            that begins before the picture or ends after it is there.

    Raises:
        ApiError: ``video_file_broken``.
    """
    sink = io.BytesIO()
    try:
        with open_media(path) as container:
            streams = _streams(container)
            # The numbers of packets start again in each piece, and the piece must say so. What is due before 0 moves
            # all pieces: left to itself the muxer would move the first one alone.
            options = {"mpegts_flags": "initial_discontinuity", "avoid_negative_ts": "disabled"}
            options["output_ts_offset"] = f"{_lead(path):.6f}"
            with av.open(sink, "w", format="mpegts", options=options) as out:
                copies = {stream.index: out.add_stream_from_template(stream) for stream in streams}
                size = 0
                for packet in _between(container, streams, begin, end, _first_time(path)):
                    size += packet.size
                    if size > MAX_PIECE_BYTES:
                        raise broken("a piece of it is larger than a player should fetch")
                    packet.stream = copies[packet.stream.index]
                    out.mux(packet)
    except av.FFmpegError as exc:
        raise broken("a piece of it cannot be wrapped again") from exc
    return sink.getvalue()


def _streams(container: InputContainer) -> list[Stream]:
    """The streams that are served, the one that is cut by first."""
    streams = [stream for stream in (video_of(container), audio_of(container)) if stream is not None]
    if not streams:
        raise broken("it holds neither picture nor sound")
    fitting: list[Stream] = [s for s in streams if s.codec_context.name in _CODECS[s.type]]
    if not fitting or fitting[0] is not streams[0]:
        raise ApiError(
            "parameter_invalid", f"A video in {streams[0].codec_context.name} cannot be streamed without encoding it."
        )
    return fitting


def _check_shown(path: Path) -> None:
    """Refuse a picture that a player of MPEG-TS would show otherwise than one of the file."""
    with open_media(path) as container:
        video = video_of(container)
        if video is None:
            return
        aspect = video.sample_aspect_ratio or 1
        frame = first_frame(container, video)
        assert isinstance(frame, VideoFrame)
        if turn_of(frame) != Turn() or aspect != (video.codec_context.sample_aspect_ratio or 1):
            raise ApiError("parameter_invalid", "A picture that its file has turned or widened cannot be streamed.")


def _packets(
    container: InputContainer, streams: list[Stream], clock: Clock, start: float = 0.0
) -> Iterator["Packet[Stream]"]:
    """Read packets that have all their times; those that are decoded first may lack one (matroska)."""
    undated: dict[int, list[Packet[Stream]]] = {}
    try:
        for packet in packets_of(container, streams, clock, start):
            if packet.pts is None:
                continue
            if packet.dts is None:
                undated.setdefault(packet.stream_index, []).append(packet)
                continue
            early = undated.pop(packet.stream_index, [])
            for place, one in enumerate(early):
                one.dts = packet.dts - (len(early) - place) * max(1, one.duration or 0)
            yield from (*early, packet)
    except av.FFmpegError as exc:
        raise broken("it cannot be read to its end") from exc
    for early in undated.values():
        for one in early:
            one.dts = one.pts
            yield one


def _between(
    container: InputContainer, streams: list[Stream], begin: float | None, end: float | None, first: float
) -> Iterator["Packet[Stream]"]:
    """The packets of a piece, in the order of the file; ``first`` is the file's own time of the plan's 0."""
    leading = streams[0]
    offset = first - 1e-6
    clock = Clock.of(container)
    start = 0.0 if begin is None else begin + first - clock.begin + 1e-4
    begin = -math.inf if begin is None else begin + offset
    end = math.inf if end is None else end + offset
    inside = False
    over: set[int] = set()
    for packet in _packets(container, streams, clock, start):
        at = _seconds(packet, packet.pts)
        if packet.stream is leading:
            if packet.is_keyframe:
                inside = begin <= at < end
            if at >= end and packet.is_keyframe:
                over.add(packet.stream.index)
            if inside:
                yield packet
        elif at >= end:
            over.add(packet.stream.index)
        elif at >= begin:
            yield packet
        if len(over) == len(streams):
            return


def _lead(path: Path) -> float:
    """By how much the file's first packets are due before 0: pictures are decoded, and sound begins, early."""
    first: dict[int, float] = {}
    with open_media(path) as container:
        streams = _streams(container)
        for packet in _packets(container, streams, Clock.of(container)):
            first.setdefault(packet.stream.index, _seconds(packet, packet.dts))
            if len(first) == len(streams):
                break
    return max(0.0, *(-due for due in first.values()))


def _first_time(path: Path) -> float:
    """When the leading stream's first piece begins, in the file's own time."""
    with open_media(path) as container:
        for packet in _packets(container, _streams(container)[:1], Clock.of(container)):
            if packet.is_keyframe:
                return _seconds(packet, packet.pts)
    raise broken("there is nothing in it to begin with")


def _seconds(packet: "Packet[Stream]", ticks: int | None) -> float:
    return float((ticks or 0) * (packet.time_base or Fraction(1, 90_000)))
