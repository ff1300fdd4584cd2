"""A thing is told where it stands every look, and not where one look is alone with it."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.recognise.detector import NAMES, SIZE, Outputs, look, things_in

Found = tuple[str, float, float, float]  # name, score, row and column in the coarsest grid of 13 x 13
SIDES = (52, 26, 13)


class Scripted:
    """A network that finds what it is told to, look by look; then nothing.

    Args:
        halves: half the width of what is found, in cells of the coarsest grid, look by look.
    """

    def __init__(self, *looks: Sequence[Found], halves: Sequence[float] = (2.0, 2.0)) -> None:
        self.looks, self.halves = list(looks), list(halves)
        self.asked: list[NDArray[np.float32]] = []

    def __call__(self, pixels: NDArray[np.float32]) -> Outputs:
        found = self.looks[len(self.asked)] if len(self.asked) < len(self.looks) else ()
        half = self.halves[min(len(self.asked), len(self.halves) - 1)]
        self.asked.append(pixels)
        outputs: list[NDArray[np.float32]] = []
        for side in SIDES:
            scores = np.zeros((1, side * side, len(NAMES)), dtype=np.float32)
            sides = np.full((1, side * side, 44), -50.0, dtype=np.float32)
            for name, score, row, column in found if side == 13 else ():
                place = int(row) * 13 + int(column)
                scores[0, place, NAMES.index(name)] = score
                bins = sides[0, place].reshape(4, 11)
                bins[:, int(half)], bins[:, int(half) + 1] = np.log(1 - half % 1 + 1e-9), np.log(half % 1 + 1e-9)
            outputs += [scores, sides]
        return outputs


def blank(width: int = SIZE, height: int = SIZE) -> NDArray[np.uint8]:
    return np.zeros((height, width, 3), dtype=np.uint8)


def test_a_box_comes_back_in_pixels_of_the_picture() -> None:
    # 6.5 cells of 32 pixels from the left and the top, 2 to each side, in a picture that is shown half as large.
    [spot] = look(blank(832, 416), Scripted([("person", 0.6, 6, 6)]))
    assert spot.name == "person"
    assert spot.box == pytest.approx((288.0, 80.0, 544.0, 336.0), abs=0.5)


def test_a_thing_that_is_found_twice_in_its_place_is_one() -> None:
    found = [("person", 0.6, 6, 6), ("person", 0.5, 6, 7), ("person", 0.5, 6, 11)]
    assert len(look(blank(), Scripted(found))) == 2


def looked_at(*names: tuple[str, float] | None) -> Scripted:
    """In the middle of the picture, as it is, mirrored, and from near twice: there it is larger."""
    looks = [[(*one, 6, 6)] if one else [] for one in names]
    return Scripted(*looks, halves=(2.0, 2.0, 2.6, 4.33))


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        ([("person", 0.6), ("person", 0.5), ("person", 0.5), ("person", 0.5)], ["person"]),
        ([("person", 0.6), ("person", 0.5), ("person", 0.5), None], ["person"]),
        ([("kite", 0.53), None, None, None], []),  # only as it is
        ([("sheep", 0.57), ("sheep", 0.68), ("bear", 0.5), None], []),  # not from near
        ([("cell phone", 0.6), ("cell phone", 0.6), ("cell phone", 0.6), ("parking meter", 0.6)], []),  # another name
        ([("clock", 0.45), ("clock", 0.44), ("clock", 0.44), None], []),  # each time, and never clearly
        ([None, ("person", 0.9), ("person", 0.9), None], []),
    ],
)
def test_a_thing_stands_three_looks_and_has_one_name(looks: list[tuple[str, float] | None], told: list[str]) -> None:
    assert [one.name for one in things_in(blank(), looked_at(*looks))] == told


def test_scores_are_the_best_of_a_look_and_boxes_shares() -> None:
    [cat] = things_in(blank(), looked_at(("cat", 0.5), ("cat", 0.7001), ("cat", 0.5), ("cat", 0.5)))
    assert cat.score == 0.7
    assert cat.box == pytest.approx((0.346, 0.346, 0.654, 0.654), abs=0.01)


def test_a_plain_picture_is_looked_at_once() -> None:
    network = Scripted()
    assert things_in(blank(640, 360), network) == []
    assert [one.shape for one in network.asked] == [(1, 3, SIZE, SIZE)]
