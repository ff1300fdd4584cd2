"""Which picture and which sound of a file are examined: those that a player shows and plays."""

from typing import TypeVar

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from engine.facts.facts import Track

S = TypeVar("S", bound=Stream)
# The cover of a record, and the small pictures of a file browser, are no moving picture.
_STILL = Disposition.attached_pic | Disposition.timed_thumbnails


def video_of(container: InputContainer) -> VideoStream | None:
    """Return the stream with the moving picture: the first that the file flags as its default, else the first."""
    return _chosen(_videos(container))


def audio_of(container: InputContainer) -> AudioStream | None:
    """Return the sound track that is played: the first that the file flags as its default, else the first."""
    return _chosen(_audios(container))


def picture_track(container: InputContainer) -> Track | None:
    """Say which of the pictures ``video_of`` returns."""
    return _told(_videos(container))


def sound_track(container: InputContainer) -> Track | None:
    """Say which of the sound tracks ``audio_of`` returns."""
    return _told(_audios(container))


def _videos(container: InputContainer) -> list[VideoStream]:
    decoded = [stream for stream in container.streams.video if stream.codec_context is not None]
    return [stream for stream in decoded if stream.codec_context.width and not stream.disposition & _STILL]


def _audios(container: InputContainer) -> list[AudioStream]:
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


def _chosen(streams: list[S]) -> S | None:
    flagged = [stream for stream in streams if stream.disposition & Disposition.default]
    return next(iter(flagged or streams), None)


def _told(streams: list[S]) -> Track | None:
    chosen = _chosen(streams)
    if chosen is None:
        return None
    flags = [bool(stream.disposition & Disposition.default) for stream in streams]
    language = str(chosen.metadata.get("language", ""))
    return Track(
        number=streams.index(chosen) + 1,
        of=len(streams),
        flagged=any(flags) and not all(flags),
        language="" if language == "und" else language,
    )
