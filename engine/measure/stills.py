"""Single pictures: what an image looks like, and a video's picture at a time. Both as they are shown."""

from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import VideoFrame

from engine.facts.sketches import HEIGHT, WIDTH, pack
from engine.measure.clock import Clock, packets_of
from engine.measure.opening import broken, first_frame, open_media
from engine.measure.sketch import sketch
from engine.measure.tracks import video_of
from engine.measure.upright import Shower, shown_size, turn_of

_THUMBNAIL_WIDTH = 320


def still_sketch(path: Path) -> bytes:
    """Return the sketch of an image, or of the first picture of a video.

    Raises:
        ApiError: ``video_file_broken``; there is no picture in it.
    """
    with open_media(path) as container:
        stream = video_of(container)
        if stream is None:
            raise broken("there is no picture in it")
        frame = first_frame(container, stream)
        assert isinstance(frame, VideoFrame)
        return pack(sketch(Shower().draw(frame, WIDTH, HEIGHT)))


def thumbnail(path: Path, at: float, widest: int = _THUMBNAIL_WIDTH) -> bytes:
    """Return the picture at a time as JPEG, at most ``widest`` pixels wide.

    Raises:
        ApiError: ``video_file_broken``; there is no picture there.
    """
    frame, aspect = _frame_at(path, at)
    whole_width, whole_height = shown_size(frame.width, frame.height, turn_of(frame), aspect)
    width = max(2, min(widest, whole_width) & ~1)
    height = max(2, round(whole_height * width / whole_width) & ~1)
    return drawn_jpeg(VideoFrame.from_ndarray(Shower().draw(frame, width, height), format="rgb24"))


def _frame_at(path: Path, time: float) -> tuple[VideoFrame, Fraction | None]:
    """Return the last picture that begins at ``time`` or before, or the first there is; and its pixels' aspect."""
    last: VideoFrame | None = None
    with open_media(path) as container:
        stream = video_of(container)
        if stream is None:
            raise broken("there is no picture in it")
        clock = Clock.of(container)
        try:
            for packet in packets_of(container, [stream], clock, time):
                for frame in packet.decode():
                    if frame.is_corrupt and last is not None:
                        continue
                    if last is not None and frame.time is not None and frame.time - clock.begin > time + 1e-3:
                        return last, stream.sample_aspect_ratio
                    last = frame
        except av.FFmpegError as exc:
            if last is None:
                raise broken("its picture cannot be decoded") from exc
        if last is None:
            raise broken("there is no picture at this time")
        return last, stream.sample_aspect_ratio


def drawn_jpeg(picture: VideoFrame) -> bytes:
    """Return a picture as JPEG."""
    full = picture.reformat(format="yuvj420p")
    full.pts, full.time_base = 0, Fraction(1, 1)
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = full.width, full.height, "yuvj420p", Fraction(1, 1)
    return b"".join(bytes(packet) for packet in (*codec.encode(full), *codec.encode(None)))
