"""Take sketches of the picture: once a second, or of one image."""

import numpy as np

from engine.facts.sketches import COLUMNS, HEIGHT, LEVELS, ROWS, WIDTH, Sketch, pack
from engine.measure.colour import Pixels


def sketch(pixels: Pixels) -> Sketch:
    """Return the sketch of an RGB picture of shape (36, 64, 3); all parts are 0..1."""
    steps = (pixels.reshape(-1, 3) >> 6).astype(np.intp)
    names = (steps[:, 0] * LEVELS + steps[:, 1]) * LEVELS + steps[:, 2]
    histogram = np.bincount(names, minlength=LEVELS**3) / len(names)
    cells = pixels.reshape(ROWS, HEIGHT // ROWS, COLUMNS, WIDTH // COLUMNS, 3).mean(axis=(1, 3)) / 255
    return np.concatenate([histogram, cells.ravel()]).astype(np.float32)


class Sketcher:
    """Take a sketch of the picture once a second."""

    def __init__(self, step_s: float = 1.0) -> None:
        self._step_s = step_s
        self._next = 0.0
        self.taken: list[tuple[float, bytes]] = []

    def feed(self, time: float, pixels: Pixels) -> None:
        if time >= self._next:
            self.taken.append((time, pack(sketch(pixels))))
            self._next = time + self._step_s
