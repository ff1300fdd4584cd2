"""The small files of faults that were found from outside: they are beside this repository, or else this is skipped."""

from pathlib import Path

import pytest

from engine.errors import ApiError
from engine.facts.facts import Clip, Fact, Fault, Motion, Shot, Silence, Tone
from engine.measure.examine import Order, examine
from engine.measure.media import probe, read_clip
from engine.measure.opening import open_media
from engine.measure.stills import thumbnail
from tests.engine.conftest import SHARED
from tests.engine.measure.test_upright import opened


def case(name: str) -> Path:
    path = SHARED.parent / "cases" / name
    if not path.exists():
        pytest.skip(f"the shared case {name} is not on this machine")
    return path


def told(name: str) -> tuple[Clip, list[Fact]]:
    with open_media(case(name)) as container:
        clip = read_clip(container)
        return clip, list(examine(container, clip, Order(True, clip.has_sound, None)))


def test_portrait_stands_upright() -> None:
    clip, facts = told("portrait.mp4")
    assert (clip.width, clip.height) == (360, 640)
    [motion] = [one for one in facts if isinstance(one, Motion)]
    assert (motion.origin, motion.goal) == ("lower middle", "upper middle")
    height, width = opened(thumbnail(case("portrait.mp4"), 1.0)).shape[:2]
    assert height > width


def test_slides_are_cut() -> None:
    _, facts = told("slides-1fps.mp4")
    assert [(one.start, one.end) for one in facts if isinstance(one, Shot)] == [(0, 2), (2, 4), (4, 6)]


def test_twice_is_twice_as_long() -> None:
    clip, facts = told("twice.ts")
    assert clip.duration == pytest.approx(14.1, abs=0.1)
    assert [(one.kind, round(one.start)) for one in facts if isinstance(one, Fault)] == [("restart", 7)]
    assert [round(one.start) for one in facts if isinstance(one, Shot)] == [0, 3, 7, 10]


def test_two_seconds_at_a_minute_are_two_seconds() -> None:
    with pytest.raises(ApiError) as caught:
        probe(case("short60.mkv"))
    assert caught.value.code == "video_duration_too_short"


def test_the_second_track_is_heard_where_it_is_flagged() -> None:
    clip, facts = told("second-track-default.mkv")
    assert clip.sound_track is not None
    assert (clip.sound_track.number, clip.sound_track.of, clip.sound_track.flagged) == (2, 2, True)
    assert [round(one.hz, -1) for one in facts if isinstance(one, Tone)] == [880]


def test_an_inverted_channel_is_no_silence() -> None:
    _, facts = told("phase.mp4")
    assert [round(one.end) for one in facts if isinstance(one, Silence)] == [1, 5]
    assert [round(one.hz, -1) for one in facts if isinstance(one, Tone)] == [880]
