"""Slides, time lapse, surveillance: few pictures a second, each of which stands until the next."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from engine.facts.facts import Fact, Motion, Shot
from engine.facts.sketches import distances, unpack
from engine.measure.colour import Pixels
from engine.measure.examine import Order, Pictures, examine
from engine.measure.media import read_clip
from engine.measure.opening import open_media
from engine.measure.shots import HEIGHT, WIDTH
from engine.measure.sketch import Sketcher
from engine.measure.stills import still_sketch, thumbnail
from engine.measure.upright import Shower
from tests.engine.clips import BLUE, GREEN, GREY, RED, Canvas, Picture, plain, steadily, tone, write
from tests.engine.conftest import shared_clip
from tests.engine.measure.test_upright import opened

FPS = [0.2, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0]


def told(path: Path, **options: float) -> list[Fact]:
    with open_media(path) as container:
        clip = read_clip(container)
        return list(examine(container, clip, Order(True, clip.has_sound, None, **options)))  # type: ignore[arg-type]


def shots_of(path: Path, **options: float) -> list[Shot]:
    return [one for one in told(path, **options) if isinstance(one, Shot)]


def scene(seed: int) -> Canvas:
    """A picture with structure, of one of a few tints."""
    noise = np.random.default_rng(seed).integers(40, 200, (9, 16, 1)).repeat(40, axis=0).repeat(40, axis=1)
    tint = np.array([RED, GREEN, BLUE][seed % 3]) / 250
    return (noise * (0.3 + 0.7 * tint)).astype(np.uint8)


@pytest.mark.parametrize("fps", FPS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_cuts_are_found_at_any_rate(tmp_path: Path, fps: float, suffix: str) -> None:
    lasts = max(2.0, 1 / fps)
    scenes = [(lasts, plain(RED)), (lasts, plain(BLUE)), (lasts, plain(GREEN))]
    found = shots_of(write(tmp_path / f"a.{suffix}", steadily(fps, *scenes), 3 * lasts))
    assert [(round(one.start, 1), one.opening) for one in found] == [
        (0.0, "start"), (round(lasts, 1), "cut"), (round(2 * lasts, 1), "cut"),
    ]  # fmt: skip
    assert all(one.end == other.start for one, other in pairwise(found))
    assert found[-1].end == pytest.approx(3 * lasts, abs=0.1)


@pytest.mark.parametrize("fps", FPS)
def test_scenes_with_structure_are_told_apart_at_any_rate(tmp_path: Path, fps: float) -> None:
    lasts = max(4.0, 1 / fps)
    found = shots_of(write(tmp_path / "a.mp4", steadily(fps, *((lasts, scene(seed)) for seed in range(4))), 4 * lasts))
    assert [round(one.start, 1) for one in found] == [round(lasts * place, 1) for place in range(4)]


def test_slides_that_stand_for_different_times_are_cut_where_they_change(tmp_path: Path) -> None:
    """One picture a slide: the rate is not constant."""
    times = [0.0, 4.0, 4.6, 12.0, 13.1]
    slides = [(time, scene(seed)) for seed, time in enumerate(times)]
    for suffix in ("mp4", "mkv"):
        found = shots_of(write(tmp_path / f"a.{suffix}", slides, 20.0, tone(20.0)))
        assert [round(one.start, 1) for one in found] == times
        assert found[-1].end == pytest.approx(20.0, abs=0.1)


def test_the_last_picture_lasts_until_the_end_of_the_clip(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", [(0.0, plain(RED)), (2.0, plain(BLUE))], 2.2, tone(9.0))
    first, second = shots_of(path)
    assert (first.end, second.start, second.end) == (2.0, 2.0, pytest.approx(9.0, abs=0.1))


def test_a_single_picture_is_a_shot_of_its_clip(tmp_path: Path) -> None:
    [shot] = shots_of(write(tmp_path / "a.mp4", [(0.0, plain(RED))], 8.0, tone(8.0)))
    assert (shot.start, round(shot.end, 1), shot.motion) == (0.0, 8.0, 0.0)


def test_colours_count_by_how_long_they_stand(tmp_path: Path) -> None:
    titled = plain(GREY)
    titled[:, :320] = 120
    [shot] = shots_of(write(tmp_path / "a.mp4", [(0.0, plain(GREY)), (1.0, titled)], 9.0))
    assert shot.look.light == pytest.approx((90 + 8 * 105) / 9 / 255, abs=0.02)


def test_a_picture_that_stands_is_seen_in_a_span_that_begins_later(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [(0.0, scene(0)), (10.0, scene(1))], 20.0)
    assert [(one.start, one.end) for one in shots_of(path, start=5.0, end=8.0)] == [(5.0, 8.0)]
    assert [(one.start, one.end) for one in shots_of(path, start=7.0, end=14.0)] == [(7.0, 10.0), (10.0, 14.0)]
    assert [(one.start, one.end) for one in shots_of(path, start=15.0, end=18.0)] == [(15.0, 18.0)]


def test_a_time_lapse_of_one_place_is_one_shot(tmp_path: Path) -> None:
    """A square of another tint wanders over a fixed view, and the light changes."""
    pictures: list[Picture] = []
    for index in range(20):
        canvas = (scene(4) * (0.7 + 0.02 * index)).astype(np.uint8)
        canvas[100:200, index * 25 : index * 25 + 100] = RED
        pictures.append((index * 2.0, canvas))
    facts = told(write(tmp_path / "a.mp4", pictures, 40.0))
    assert len([one for one in facts if isinstance(one, Shot)]) == 1
    assert [(round(one.start), round(one.end)) for one in facts if isinstance(one, Motion)] == [(0, 38)]


def test_a_picture_whose_time_is_far_ahead_is_not_waited_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [(0.0, plain(RED)), (2.0, plain(BLUE)), (40_000.0, plain(RED))], 40_001.0)
    with open_media(path) as container:
        clip = replace(read_clip(container), duration=5.0, picture_end=5.0)
        found = [one for one in examine(container, clip, Order(True, False, None)) if isinstance(one, Shot)]
    assert [(one.start, one.end) for one in found] == [(0.0, 2.0), (2.0, 5.0)]


def test_pictures_that_stand_are_sketched_every_second() -> None:
    sketcher = Sketcher()
    pictures = Pictures(0.0, 60.0, sketcher)
    for time, canvas in ((0.0, scene(0)), (5.0, scene(1))):
        pictures.feed(av.VideoFrame.from_ndarray(canvas, format="rgb24"), time)
    pictures.finish(8.0)
    assert [round(time) for time, _ in sketcher.taken] == list(range(8))


def test_a_slide_is_found_by_its_picture_and_drawn_as_a_thumbnail(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", [(0.0, plain(RED)), (5.0, plain(BLUE))], 15.0)
    assert opened(thumbnail(path, 4.5))[90, 160, 0] > 200
    assert opened(thumbnail(path, 14.0))[90, 160, 2] > 200
    sketcher = Sketcher()
    with open_media(path) as container:
        list(examine(container, read_clip(container), Order(True, False, None, sketcher=sketcher)))
    red = unpack(still_sketch(path))[0]
    near = [time for time, taken in sketcher.taken if distances(red, unpack(taken))[0] < 0.1]
    assert [round(time) for time in near] == [0, 1, 2, 3, 4]


def test_a_slide_that_came_soon_after_another_is_read_while_it_stands(tmp_path: Path) -> None:
    class Eyes:
        def __init__(self) -> None:
            self.next, self.looks, self.done = 0.0, list[tuple[float, str]](), True

        def look(self, time: float, size: tuple[int, int], draw: Callable[[int, int], Pixels]) -> None:
            pixel = draw(*size)[0, 0].tolist()
            self.looks.append((round(time, 1), "bgr"[pixel.index(max(pixel))]))
            self.next = time + 1.0

        def read(self, wait: bool = False) -> list[Fact]:
            return []

        def finish(self, end: float) -> None:
            assert end == pytest.approx(10.0)

    slides = [(0.0, plain(RED)), (0.4, plain(BLUE)), (6.0, plain(RED)), (6.5, plain(BLUE))]
    eyes = Eyes()
    with open_media(write(tmp_path / "a.mp4", slides, 10.0)) as container:
        list(examine(container, read_clip(container), Order(False, False, None, eyes)))  # type: ignore[arg-type]
    assert eyes.looks == [(0.0, "r"), (1.0, "b"), (6.0, "r"), (7.0, "b")]


CUTS = {"reel.mp4": [3.0, 14.04, 20.04], "bunny.mp4": [11.88, 15.75, 23.04], "flower.mp4": []}


@pytest.mark.parametrize("fps", [1.0, 2.0, 3.0, 5.0, 8.0])
@pytest.mark.parametrize("name", CUTS)
def test_real_clips_keep_their_cuts_when_most_pictures_are_left_out(name: str, fps: float) -> None:
    """What comes out of black may be taken for a cut: that is left out of this."""
    drawn: list[tuple[float, Pixels]] = []
    shower, pictures, facts = Shower(), Pictures(0.0, 60.0), list[Fact]()
    next_at, end = 0.0, 0.0
    with open_media(shared_clip(name)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            end = frame.time + 0.04
            if frame.time >= next_at - 1e-3:
                drawn.append((frame.time, shower.draw(frame, WIDTH, HEIGHT)))
                next_at += 1 / fps
    for time, pixels in drawn:
        facts += pictures.feed(av.VideoFrame.from_ndarray(pixels, format="rgb24"), time)
    facts += pictures.finish(end)
    found = [one.start for one in facts if isinstance(one, Shot) and one.start > 2.0]
    seen = [min(time for time, _ in drawn if time >= cut - 0.01) for cut in CUTS[name]]
    assert found == [pytest.approx(time, abs=0.05) for time in seen]
