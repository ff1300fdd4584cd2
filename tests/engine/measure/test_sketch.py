"""When sketches are taken."""

import numpy as np

from engine.facts.sketches import HEIGHT, WIDTH
from engine.measure.sketch import Sketcher


def test_one_sketch_is_taken_a_second() -> None:
    sketcher = Sketcher()
    for tick in range(50):
        sketcher.feed(tick / 10, np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert [round(at) for at, _ in sketcher.taken] == [0, 1, 2, 3, 4]
