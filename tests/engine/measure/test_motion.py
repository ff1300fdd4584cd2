"""Moving things: when, where, and how much of the picture."""

import numpy as np

from engine.facts.facts import Motion
from engine.measure.motion import MotionTracker
from engine.measure.shots import HEIGHT, WIDTH

FPS = 25


def field(at: int | None = None, row: int = 16) -> np.ndarray:
    """A grey picture with a white square whose left edge stands at a column."""
    pixels = np.full((HEIGHT, WIDTH, 3), 90, dtype=np.uint8)
    if at is not None:
        pixels[row : row + 6, at : at + 6] = 250
    return pixels


def track(pictures: list[np.ndarray]) -> list[Motion]:
    tracker = MotionTracker()
    motions = [motion for index, pixels in enumerate(pictures) for motion in tracker.feed(index / FPS, pixels)]
    return motions + tracker.finish()


def test_a_thing_that_crosses_the_picture_is_followed() -> None:
    still, crossing = [field(0)] * 50, [field(at) for at in range(58)]
    [motion] = track(still + crossing + [field(57)] * 50)
    assert abs(motion.start - 2.0) <= 0.25
    assert abs(motion.end - 4.3) <= 0.3
    assert (motion.extent, motion.origin, motion.goal) == ("part", "left side", "right side")


def test_a_still_picture_does_not_move() -> None:
    assert track([field()] * 100) == []


def test_noise_of_compression_is_no_motion() -> None:
    noise = np.random.default_rng(1)
    assert track([field() + noise.integers(0, 4, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(100)]) == []


def test_a_camera_that_turns_moves_much_of_the_picture() -> None:
    wide = np.random.default_rng(2).integers(0, 255, (9, 40, 3)).astype(np.uint8).repeat(4, axis=0).repeat(4, axis=1)
    [motion] = track([wide[:, shift : shift + WIDTH] for shift in range(80)])
    assert motion.extent == "much"


def test_a_cut_is_no_motion() -> None:
    assert track([field()] * 50 + [np.full((HEIGHT, WIDTH, 3), 240, dtype=np.uint8)] * 50) == []


def test_a_cut_between_slides_that_are_equally_bright_is_no_motion() -> None:
    tracker = MotionTracker()
    slides = [
        np.full((HEIGHT, WIDTH, 3), colour, dtype=np.uint8) for colour in ((250, 0, 0), (0, 130, 150), (0, 250, 30))
    ]
    assert [one for index, pixels in enumerate(slides) for one in tracker.feed(2.0 * index, pixels)] == []
    assert tracker.finish() == []


def test_what_moves_from_one_slow_picture_to_the_next_is_told() -> None:
    tracker = MotionTracker()
    told = [one for index in range(8) for one in tracker.feed(float(index), field(min(index, 4) * 12))]
    assert [(one.start, one.end, one.origin) for one in told] == [(0.0, 4.0, "left side")]


def test_a_short_pause_does_not_end_a_motion() -> None:
    moving = [field(at) for at in range(20)]
    [motion] = track(moving + [field(19)] * 10 + [field(at) for at in range(19, 40)] + [field(39)] * 50)
    assert motion.end > 1.5
