"""Open a media file without trusting it: local bytes only, known formats only.

FFmpeg's demuxers can follow references to other files and to the network; playlists
(hls, concat, dash) consist of such references. The whitelists leave neither a playlist
format nor a network protocol to open.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from engine.errors import ApiError

# Self-contained formats. Images only as pipes: image2 reads file name patterns.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "mpegts,mpeg,mpegvideo,avi,flv,asf,ogg,mxf,ivf",
    "mp3,aac,flac,wav,w64,aiff,amr,caf",
    "png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,gif",
)
_LONGEST_STANDING_S = 60
# A few bytes of header may claim a picture of gigabytes.
MAX_LONG_SIDE = 5184


def open_media(path: Path) -> InputContainer:
    """Open ``path`` for reading.

    Raises:
        ApiError: ``video_file_broken`` when no known format fits.
    """
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(_FORMATS),
        # A transport stream tells the size of a picture only when the next one comes.
        "analyzeduration": str(_LONGEST_STANDING_S * 1_000_000),
        "max_pixels": str(MAX_LONG_SIDE * MAX_LONG_SIDE),
    }
    try:
        return av.open(f"file:{path}", options=options)
    except (av.FFmpegError, ValueError) as exc:
        raise broken("no known media format fits its bytes") from exc


def broken(why: str) -> ApiError:
    """The file cannot be decoded."""
    return ApiError("video_file_broken", f"The media file cannot be used: {why}.")


def packets_in(container: InputContainer, streams: Sequence[Stream]) -> Iterator["Packet[Any]"]:
    """Read the packets of some streams; one that begins in the middle of a file, unannounced, is passed over.

    Raises:
        av.FFmpegError: the file cannot be read any further.
    """
    while True:
        try:
            yield from container.demux(streams)
            return
        except IndexError:  # PyAV has no stream for this packet; reading goes on behind it
            continue


def first_frame(container: InputContainer, stream: Stream) -> VideoFrame | AudioFrame:
    """Decode the first frame of a stream.

    Raises:
        ApiError: ``video_file_broken``; there is none.
    """
    try:
        for packet in packets_in(container, [stream]):
            for frame in packet.decode():
                if isinstance(frame, VideoFrame | AudioFrame):
                    return frame
    except av.FFmpegError as exc:
        raise broken("its first frame cannot be decoded") from exc
    raise broken("its first frame cannot be decoded")
