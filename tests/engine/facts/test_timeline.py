"""A row of facts that is measured on demand, and read more than once."""

from collections.abc import Iterator

import pytest

from engine.facts.facts import Clip, Examination, Fact, Heard, Level, Seen
from engine.facts.timeline import Timeline, mean_look
from tests.engine.conftest import CLIP, GREEN, NIGHT, scripted, shot, spoken


def test_a_second_reader_starts_again_without_measuring_twice() -> None:
    timeline = scripted(shot(0, 4), shot(4, 10))
    assert list(timeline.facts()) == list(timeline.facts())


def test_only_as_much_is_measured_as_is_read() -> None:
    measured: list[float] = []

    def source() -> Iterator[Fact]:
        for end in (3.0, 6.0, 10.0):
            measured.append(end)
            yield shot(end - 3, end)
        yield Seen(float("inf"))

    timeline = Timeline(CLIP, {"picture": Examination("made")}, source())
    assert next(timeline.sections()).end == 3.0
    assert measured == [3.0]


def test_sections_join_shots_that_are_too_short() -> None:
    clip = Clip(60.0, 640, 360, 25.0, "h264")
    cuts = [shot(start, start + 1) for start in range(60)]
    sections = list(scripted(*cuts, clip=clip).sections())
    assert [len(one.shots) for one in sections] == [5] * 12
    assert sections[0].start == 0
    assert sections[-1].end == 60


def test_scenes_are_shots_with_the_parts_of_a_long_one_joined() -> None:
    parts = [shot(0, 4, more=True), shot(4, 8, opening="continues"), shot(8, 10)]
    scenes = list(scripted(*parts).scenes())
    assert [(one.start, one.end) for one in scenes] == [(0, 8), (8, 10)]


def test_without_a_picture_sections_are_made_of_sound() -> None:
    levels = [Level(float(at), at + 1.0, -20.0) for at in range(10)]
    timeline = scripted(*levels, clip=Clip(10.0, audio_codec="flac"), picture="not_available")
    assert [(one.start, one.end) for one in timeline.sections()] == [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]


def test_what_is_said_belongs_to_the_section_in_which_it_starts() -> None:
    timeline = scripted(shot(0, 4), spoken(1, "one"), shot(4, 10), spoken(3.9, "two three"), spoken(6, "four"))
    texts = [[one.text for one in timeline.said_in(section)] for section in timeline.sections()]
    assert texts == [["one", "two three"], ["four"]]


def test_a_section_does_not_wait_for_later_speech() -> None:
    def source() -> Iterator[Fact]:
        yield shot(0, 4)
        yield spoken(1, "one")
        yield Heard(5.0)
        pytest.fail("measured further than needed")

    timeline = Timeline(CLIP, {"picture": Examination("made")}, source())
    section = next(timeline.sections())
    assert [one.text for one in timeline.said_in(section)] == ["one"]


def test_a_look_over_shots_counts_each_by_its_length() -> None:
    look = mean_look([shot(0, 9, GREEN), shot(9, 10, NIGHT)])
    assert [colour.name for colour in look.colours] == ["green", "black"]
    assert look.light == pytest.approx(0.9 * 0.4 + 0.1 * 0.02)
