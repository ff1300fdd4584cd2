"""How alike pictures look."""

import numpy as np

from engine.facts.sketches import HEIGHT, SIZE, WIDTH, distances, pack, unpack
from engine.measure.sketch import sketch


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def plain(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), (red, green, blue), dtype=np.uint8)


def test_the_same_picture_is_at_no_distance() -> None:
    packed = unpack(pack(sketch(picture(1))))
    assert packed.shape == (1, SIZE)
    assert distances(sketch(picture(1)), packed)[0] < 0.002


def test_black_and_white_are_as_far_apart_as_can_be() -> None:
    black, white = sketch(plain(0, 0, 0)), sketch(plain(255, 255, 255))
    assert distances(black, white[None])[0] == 1.0


def test_where_colours_are_counts() -> None:
    left, right = plain(0, 0, 0), plain(0, 0, 0)
    left[:, :32], right[:, 32:] = 255, 255
    assert 0 < distances(sketch(left), sketch(right)[None])[0] <= 0.5
