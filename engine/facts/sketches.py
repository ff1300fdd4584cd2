"""What a picture looks like, as a short row of numbers: for finding look-alikes, and nothing else.

A histogram of its colours and a coarse layout of them, taken from the same 64x36 pixels
as the shots. It knows nothing of what is shown, so it is never compared with words. A
worker takes it (``engine.measure.sketch``); the server keeps and compares it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Sketch = NDArray[np.floating[Any]]

# The name of the space in which these rows may be compared.
MODEL = "picture-sketch-1"
WIDTH, HEIGHT = 64, 36  # of the picture that is sketched
LEVELS = 4  # of each colour in the histogram
ROWS, COLUMNS = 4, 8  # of the layout
SIZE = LEVELS**3 + ROWS * COLUMNS * 3
# Colours come from anywhere in the picture, the layout from where they are: both count the same.
_LAYOUT_WEIGHT = 0.5


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
    split = LEVELS**3
    colours = np.abs(many[:, :split] - one[:split]).sum(axis=1) / 2
    layout = np.abs(many[:, split:] - one[split:]).mean(axis=1)
    mixed: NDArray[np.floating[Any]] = (1 - _LAYOUT_WEIGHT) * colours + _LAYOUT_WEIGHT * layout
    return mixed
