"""Open a media file without trusting it: local bytes only, known formats only, within the API's limits.

FFmpeg's demuxers can follow references to other files and to the network; playlists
(hls, concat, dash) consist of such references. The whitelists leave neither a playlist
format nor a network protocol to open.
"""

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from engine.errors import ApiError
from engine.facts.facts import Clip

if TYPE_CHECKING:
    from engine.measure.colour import Pixels

# Self-contained formats. Images only as pipes: image2 reads file name patterns.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "mpegts,mpeg,mpegvideo,avi,flv,asf,ogg,mxf,ivf",
    "mp3,aac,flac,wav,w64,aiff,amr,caf",
    "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,gif",
)
_IMAGES = {"png_pipe", "jpeg_pipe", "webp_pipe", "bmp_pipe", "gif"}

MIN_DURATION_S = 4.0
MAX_DURATION_S = 3600.0  # of an analysis, unless the job says otherwise
MAX_ASSET_DURATION_S = 4 * 3600.0
MIN_SIDE = 360
MAX_LONG_SIDE = 5184
MAX_SHORT_SIDE = 2160
MAX_ASPECT = 2.4
_THUMBNAIL_WIDTH = 320


def open_media(path: Path) -> InputContainer:
    """Open ``path`` for reading.

    Raises:
        ApiError: ``video_file_broken`` when no known format fits.
    """
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(_FORMATS),
        # A few bytes of header may claim a picture of gigabytes.
        "max_pixels": str(MAX_LONG_SIDE * MAX_LONG_SIDE),
    }
    try:
        return av.open(f"file:{path}", options=options)
    except (av.FFmpegError, ValueError) as exc:
        raise broken("no known media format fits its bytes") from exc


def broken(why: str) -> ApiError:
    """The file cannot be decoded."""
    return ApiError("video_file_broken", f"The media file cannot be used: {why}.")


def read_clip(container: InputContainer) -> Clip:
    """Say what is in the file.

    Raises:
        ApiError: there is neither picture nor sound in it.
    """
    video, audio = video_of(container), audio_of(container)
    if video is None and audio is None:
        raise broken("it holds neither picture nor sound")
    rate = video and (video.average_rate or video.guessed_rate)
    return Clip(
        duration=_duration(container),
        width=video.codec_context.width if video else None,
        height=video.codec_context.height if video else None,
        fps=round(float(rate), 3) if rate else None,
        video_codec=video.codec_context.name if video else None,
        audio_codec=audio.codec_context.name if audio else None,
        channels=audio.codec_context.channels if audio else None,
        sample_rate=audio.codec_context.sample_rate if audio else None,
        still_image=container.format.name in _IMAGES,
    )


def video_of(container: InputContainer) -> VideoStream | None:
    """Return the stream with the moving picture; the cover of a record does not count."""
    for stream in container.streams.video:
        cover = stream.disposition & av.stream.Disposition.attached_pic
        if stream.codec_context is not None and stream.codec_context.width and not cover:
            return stream
    return None


def audio_of(container: InputContainer) -> AudioStream | None:
    """Return the first sound track that has a decoder."""
    return next((stream for stream in container.streams.audio if stream.codec_context is not None), None)


def _duration(container: InputContainer) -> float:
    if container.duration:
        return float(container.duration / av.time_base)
    lengths = [
        float(stream.duration * stream.time_base)
        for stream in container.streams
        if stream.duration and stream.time_base
    ]
    return max(lengths, default=0.0) or _last_packet_s(Path(container.name.removeprefix("file:")))


def _last_packet_s(path: Path) -> float:
    """Read the whole file to find its end: a browser's recording has no length in its header."""
    end = 0.0
    with open_media(path) as container:
        offset = (container.start_time or 0) / av.time_base
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - offset)
    return end


def check_limits(clip: Clip, longest_s: float = MAX_DURATION_S) -> None:
    """Check a clip against the API's limits; still images have none here.

    Args:
        longest_s: how long it may be, which depends on its use.

    Raises:
        ApiError: with the code of the first limit that is passed.
    """
    if clip.still_image:
        return
    if clip.duration < MIN_DURATION_S:
        raise ApiError(
            "video_duration_too_short",
            f"The clip lasts {clip.duration:.2f} s; at least {MIN_DURATION_S:g} s are needed.",
        )
    if clip.duration > longest_s:
        raise ApiError(
            "video_duration_too_long",
            f"The clip lasts {clip.duration:.0f} s; at most {longest_s:.0f} s are taken.",
        )
    if clip.width is not None and clip.height is not None:
        _check_size(clip.width, clip.height)


def _check_size(width: int, height: int) -> None:
    short, long = sorted((width, height))
    if short < MIN_SIDE:
        raise ApiError(
            "video_resolution_too_low",
            f"The picture is {width}x{height}; at least {MIN_SIDE}x{MIN_SIDE} is needed.",
        )
    if long > MAX_LONG_SIDE or short > MAX_SHORT_SIDE:
        raise ApiError(
            "video_resolution_too_high",
            f"The picture is {width}x{height}; at most {MAX_LONG_SIDE}x{MAX_SHORT_SIDE} is taken.",
        )
    if long / short > MAX_ASPECT:
        raise ApiError(
            "video_resolution_invalid_aspect_ratio",
            f"The picture is {width}x{height}; its aspect must lie between 1:2.4 and 2.4:1.",
        )


def probe(path: Path) -> tuple[Clip, str]:
    """Open a file, decode the first frame of what it holds, and check the limits.

    Returns:
        What is in the file, and the name of its container format.

    Raises:
        ApiError: the reason why the file cannot be used.
    """
    with open_media(path) as container:
        clip = read_clip(container)
        check_limits(clip, MAX_ASSET_DURATION_S)
        stream = video_of(container) or audio_of(container)
        try:
            next(iter(container.decode(stream)))
        except (av.FFmpegError, StopIteration) as exc:
            raise broken("its first frame cannot be decoded") from exc
        return clip, container.format.name


def still_sketch(path: Path) -> bytes:
    """Return the sketch of an image, or of the first picture of a video.

    Raises:
        ApiError: ``video_file_broken``; there is no picture in it.
    """
    from engine.facts.sketches import HEIGHT, WIDTH, pack
    from engine.measure.sketch import sketch

    with open_media(path) as container:
        stream = video_of(container)
        if stream is None:
            raise broken("there is no picture in it")
        try:
            frame = next(iter(container.decode(stream)))
        except (av.FFmpegError, StopIteration) as exc:
            raise broken("its first frame cannot be decoded") from exc
        small = VideoReformatter().reformat(frame, width=WIDTH, height=HEIGHT, format="rgb24", interpolation="AREA")
        return pack(sketch(cast("Pixels", small.to_ndarray())))


def thumbnail(path: Path, at: float, widest: int = _THUMBNAIL_WIDTH) -> bytes:
    """Return the picture at a time as JPEG, at most ``widest`` pixels wide.

    Raises:
        ApiError: ``video_file_broken``; there is no picture there.
    """
    with open_media(path) as container:
        stream = video_of(container)
        if stream is None:
            raise broken("there is no picture in it")
        offset = (container.start_time or 0) / av.time_base
        try:
            container.seek(int((at + offset) * av.time_base), backward=True)
            frame = _frame_at(container, stream, at + offset)
        except av.FFmpegError as exc:
            raise broken("its picture cannot be decoded") from exc
    width = min(widest, frame.width) & ~1
    height = max(2, round(frame.height * width / frame.width) & ~1)
    small = VideoReformatter().reformat(frame, width=width, height=height, format="yuvj420p", interpolation="AREA")
    small.pts, small.time_base = 0, Fraction(1, 1)
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = width, height, "yuvj420p", Fraction(1, 1)
    return b"".join(bytes(packet) for packet in (*codec.encode(small), *codec.encode(None)))


def _frame_at(container: InputContainer, stream: VideoStream, time: float) -> VideoFrame:
    """Return the last picture that begins at ``time`` or before, or the first there is."""
    last: VideoFrame | None = None
    for frame in container.decode(stream):
        if last is not None and frame.time is not None and frame.time > time + 1e-3:
            break
        last = frame
    if last is None:
        raise broken("there is no picture at this time")
    return last
