"""What is in a media file, and whether it is within the API's limits."""

from contextlib import suppress
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame

from engine.errors import ApiError
from engine.facts.facts import Clip
from engine.measure.clock import extent_of
from engine.measure.opening import MAX_LONG_SIDE, broken, first_frame, open_media
from engine.measure.tracks import audio_of, picture_track, sound_track, video_of
from engine.measure.upright import Turn, shown_size, turn_of

_IMAGES = {"png_pipe", "jpeg_pipe", "webp_pipe", "bmp_pipe", "gif"}

MIN_DURATION_S = 4.0
MAX_DURATION_S = 3600.0  # of an analysis, unless the job says otherwise
MAX_ASSET_DURATION_S = 4 * 3600.0
MIN_SIDE = 360
MAX_SHORT_SIDE = 2160
MAX_ASPECT = 2.4


def read_clip(container: InputContainer) -> Clip:
    """Say what is in the file; its picture as it is shown.

    Raises:
        ApiError: there is neither picture nor sound in it.
    """
    video, audio = video_of(container), audio_of(container)
    if video is None and audio is None:
        raise broken("it holds neither picture nor sound")
    extent = extent_of(container)
    rate = video and (video.average_rate or video.guessed_rate)
    width, height = _shown_size(container) if video else (None, None)
    return Clip(
        duration=extent.duration,
        width=width,
        height=height,
        fps=round(float(rate), 3) if rate else None,
        video_codec=video.codec_context.name if video else None,
        audio_codec=audio.codec_context.name if audio else None,
        channels=audio.codec_context.channels if audio else None,
        sample_rate=audio.codec_context.sample_rate if audio else None,
        still_image=container.format.name in _IMAGES,
        picture_end=extent.picture_end,
        sound_end=extent.sound_end,
        picture_track=picture_track(container),
        sound_track=sound_track(container),
    )


def _shown_size(container: InputContainer) -> tuple[int, int]:
    """Return the size at which the picture is shown; how it is turned is told by its first frame only."""
    video = video_of(container)
    assert video is not None
    turn = Turn()
    with open_media(Path(container.name.removeprefix("file:"))) as again:
        same = video_of(again)
        assert same is not None
        with suppress(ApiError):  # whether it can be decoded at all is judged elsewhere
            frame = first_frame(again, same)
            turn = turn_of(frame) if isinstance(frame, VideoFrame) else turn
    return shown_size(video.codec_context.width, video.codec_context.height, turn, video.sample_aspect_ratio)


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
        assert stream is not None
        first_frame(container, stream)
        return clip, container.format.name
