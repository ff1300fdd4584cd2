"""Cuts, dissolves and fades on pictures whose changes are known."""

from itertools import pairwise

import numpy as np

from engine.facts.facts import Shot
from engine.measure.colour import Pixels
from engine.measure.shots import HEIGHT, WIDTH, ShotTracker

FPS = 25


def texture(seed: int, low: int = 20, high: int = 230) -> np.ndarray:
    """A picture of blurry structure, as floats."""
    coarse = np.random.default_rng(seed).integers(low, high, (9, 16, 3)).astype(np.float32)
    return coarse.repeat(HEIGHT // 9, axis=0).repeat(WIDTH // 16, axis=1)


def track(pictures: list[np.ndarray], part_s: float = 60.0) -> list[Shot]:
    tracker = ShotTracker(part_s=part_s)
    shots: list[Shot] = []
    for index, picture in enumerate(pictures):
        pixels: Pixels = np.clip(picture, 0, 255).astype(np.uint8)
        shots += tracker.feed(index / FPS, pixels)
    return shots + tracker.finish(len(pictures) / FPS)


def times(shots: list[Shot]) -> list[tuple[float, str]]:
    return [(round(shot.start, 2), shot.opening) for shot in shots]


def mixture(one: np.ndarray, other: np.ndarray, steps: int) -> list[np.ndarray]:
    return [one + (other - one) * (step + 1) / (steps + 1) for step in range(steps)]


def test_hard_cuts_are_found_at_their_frame() -> None:
    pictures = [texture(1)] * 50 + [texture(2)] * 30 + [texture(3)] * 70
    shots = track(pictures)
    assert times(shots) == [(0.0, "start"), (2.0, "cut"), (3.2, "cut")]
    assert shots[-1].end == 6.0


def test_shots_leave_no_gap() -> None:
    shots = track([texture(index // 20) for index in range(200)])
    assert all(one.end == other.start for one, other in pairwise(shots))
    assert len(shots) == 10


def test_a_flash_is_no_cut() -> None:
    pictures = [texture(1)] * 50 + [texture(1) + 200] * 2 + [texture(1)] * 50
    assert times(track(pictures)) == [(0.0, "start")]


def test_fast_motion_is_no_cut() -> None:
    wide = np.concatenate([texture(seed) for seed in range(8)], axis=1)
    pictures = [wide[:, shift : shift + WIDTH] for shift in range(0, 400, 4)]
    assert times(track(pictures)) == [(0.0, "start")]


def test_a_dissolve_is_one_change_near_its_middle() -> None:
    pictures = [texture(1)] * 60 + mixture(texture(1), texture(2), 25) + [texture(2)] * 75
    shots = track(pictures)
    assert [shot.opening for shot in shots] == ["start", "dissolve"]
    assert abs(shots[1].start - 2.9) <= 0.25


def test_a_light_that_is_switched_slowly_is_no_dissolve() -> None:
    dim, lit = texture(1) * 0.3, texture(1)
    assert times(track([dim] * 60 + mixture(dim, lit, 25) + [lit] * 75)) == [(0.0, "start")]


def test_a_title_that_fades_in_is_no_dissolve() -> None:
    titled = texture(1)
    titled[8:28, 4:60] = 250
    assert times(track([texture(1)] * 60 + mixture(texture(1), titled, 25) + [titled] * 75)) == [(0.0, "start")]


def test_a_fade_in_from_black_is_measured_and_opens_no_second_shot() -> None:
    black = np.zeros_like(texture(1))
    shots = track([black] * 5 + mixture(black, texture(1), 45) + [texture(1)] * 50)
    assert times(shots) == [(0.0, "start")]
    assert 1.4 <= shots[0].fade_in <= 2.2


def test_a_fade_through_black_opens_a_new_shot() -> None:
    black = np.zeros_like(texture(1))
    pictures = [texture(1)] * 50 + mixture(texture(1), black, 20) + [black] * 10
    pictures += mixture(black, texture(2), 20) + [texture(2)] * 75
    shots = track(pictures)
    assert [shot.opening for shot in shots] == ["start", "fade"]
    assert shots[0].fade_out > 0
    assert shots[1].fade_in > 0


def test_a_long_shot_is_told_in_parts_before_it_ends() -> None:
    tracker = ShotTracker(part_s=4.0)
    still = texture(1).astype(np.uint8)
    told = [shot for index in range(12 * FPS) for shot in tracker.feed(index / FPS, still)]
    assert [shot.opening for shot in told] == ["start", "continues"]
    last = tracker.finish(12.0)
    assert [shot.more for shot in told + last] == [True, True, False]


def test_a_still_picture_has_no_motion_and_a_moving_one_has() -> None:
    wide = np.concatenate([texture(1), texture(2), texture(3)], axis=1)
    [still] = track([texture(1)] * 75)
    [moving] = track([wide[:, shift : shift + WIDTH] for shift in range(75)])
    assert still.motion == 0.0
    assert moving.motion > 0.05


def test_no_picture_gives_no_shot() -> None:
    assert ShotTracker().finish(5.0) == []
