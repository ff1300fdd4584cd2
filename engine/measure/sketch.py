"""What a picture looks like, as a short row of numbers: for finding look-alikes, and nothing else.

A histogram of its colours and a coarse layout of them, taken from the same 64x36 pixels
as the shots. It knows nothing of what is shown, so it is never compared with words.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.measure.colour import Pixels

Sketch = NDArray[np.floating[Any]]

# The name of the space in which these rows may be compared.
MODEL = "picture-sketch-1"
WIDTH, HEIGHT = 64, 36
_LEVELS = 4
_ROWS, _COLUMNS = 4, 8
# Colours come from anywhere in the picture, the layout from where they are: both count the same.
_LAYOUT_WEIGHT = 0.5
SIZE = _LEVELS**3 + _ROWS * _COLUMNS * 3


def sketch(pixels: Pixels) -> Sketch:
    """Return the sketch of an RGB picture of shape (36, 64, 3); all parts are 0..1."""
    steps = (pixels.reshape(-1, 3) >> 6).astype(np.intp)
    names = (steps[:, 0] * _LEVELS + steps[:, 1]) * _LEVELS + steps[:, 2]
    histogram = np.bincount(names, minlength=_LEVELS**3) / len(names)
    cells = pixels.reshape(_ROWS, HEIGHT // _ROWS, _COLUMNS, WIDTH // _COLUMNS, 3).mean(axis=(1, 3)) / 255
    return np.concatenate([histogram, cells.ravel()]).astype(np.float32)


def pack(one: Sketch) -> bytes:
    """Return a sketch in two bytes a number."""
    return bytes(np.round(one * 65535).astype("<u2"))


def unpack(raw: bytes) -> Sketch:
    """Rebuild what ``pack`` made, or several of them in a row as a matrix."""
    return (np.frombuffer(raw, "<u2") / np.float32(65535)).astype(np.float32).reshape(-1, SIZE)


def mean_of(raw: bytes) -> list[float]:
    """Return the mean of packed sketches: what a stretch looks like as a whole."""
    mean: list[float] = unpack(raw).mean(axis=0).tolist()
    return mean


def distances(one: Sketch, many: Sketch) -> NDArray[np.floating[Any]]:
    """Return how far each of ``many`` is from ``one``: 0 is the same picture, 1 as far as can be."""
    split = _LEVELS**3
    colours = np.abs(many[:, :split] - one[:split]).sum(axis=1) / 2
    layout = np.abs(many[:, split:] - one[split:]).mean(axis=1)
    mixed: NDArray[np.floating[Any]] = (1 - _LAYOUT_WEIGHT) * colours + _LAYOUT_WEIGHT * layout
    return mixed


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
