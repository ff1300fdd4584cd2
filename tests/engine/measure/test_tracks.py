"""Of several tracks the one is examined that a player plays, and which it was is said."""

from pathlib import Path

import av
import pytest
from av.stream import Disposition

from engine.facts.facts import Clip, Shot, Tone, Track
from engine.measure.examine import Order, examine
from engine.measure.media import read_clip
from engine.measure.opening import open_media
from tests.engine.clips import (
    BLUE,
    RED,
    add_picture,
    add_sound,
    mux,
    picture_packets,
    plain,
    quiet,
    sound_packets,
    steadily,
    tone,
)

_LANGUAGES = ("eng", "deu", "fra")


def with_sounds(path: Path, flagged: tuple[bool, ...]) -> Path:
    """A clip whose sound tracks have tones of 300, 500 and 700 Hz."""
    with av.open(str(path), "w") as container:
        video = add_picture(container)
        tracks = [add_sound(container) for _ in flagged]
        for track, flag, language in zip(tracks, flagged, _LANGUAGES, strict=False):
            track.disposition = Disposition.default if flag else Disposition(0)
            track.metadata["language"] = language
        packets = picture_packets(video, steadily(5, (5.0, plain(RED))), 5.0)
        for place, track in enumerate(tracks):
            packets += sound_packets(track, tone(5.0, 300.0 + 200 * place))
        mux(container, packets)
    return path


def examined(path: Path) -> tuple[Clip, list[object]]:
    with open_media(path) as container:
        clip = read_clip(container)
        return clip, list(examine(container, clip, Order(True, clip.has_sound, None)))


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize(
    ("flagged", "hz", "track"),
    [
        ((True, False), 300, Track(1, 2, True, "eng")),
        ((False, True), 500, Track(2, 2, True, "deu")),
        ((False, True, True), 500, Track(2, 3, True, "deu")),
    ],
)
def test_the_sound_that_is_flagged_is_taken(
    tmp_path: Path, suffix: str, flagged: tuple[bool, ...], hz: int, track: Track
) -> None:
    clip, facts = examined(with_sounds(tmp_path / f"a.{suffix}", flagged))
    assert [round(one.hz) for one in facts if isinstance(one, Tone)] == [hz]
    assert clip.sound_track == track


def test_the_first_sound_is_taken_where_none_is_flagged(tmp_path: Path) -> None:
    clip, facts = examined(with_sounds(tmp_path / "a.mkv", (False, False)))
    assert [round(one.hz) for one in facts if isinstance(one, Tone)] == [300]
    assert clip.sound_track == Track(1, 2, False, "eng")


def test_the_picture_that_is_flagged_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        first, second, sound = add_picture(container), add_picture(container), add_sound(container)
        first.disposition, second.disposition = Disposition(0), Disposition.default
        packets = picture_packets(first, steadily(5, (5.0, plain(RED))), 5.0)
        packets += picture_packets(second, steadily(5, (5.0, plain(BLUE))), 5.0)
        mux(container, packets + sound_packets(sound, quiet(5.0)))
    clip, facts = examined(path)
    assert [one.look.colours[0].name for one in facts if isinstance(one, Shot)] == ["blue"]
    assert clip.picture_track == Track(2, 2, True)
    assert clip.sound_track == Track()
