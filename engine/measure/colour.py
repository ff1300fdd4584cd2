"""Names for colours: each pixel votes for one name, a stretch of picture is its tally.

A look-up table over five bits a channel turns naming into one indexing, so that a
frame costs microseconds.
"""

import numpy as np
from numpy.typing import NDArray

from engine.facts.facts import Colour, Look

Pixels = NDArray[np.uint8]

NAMES = (
    "black", "dark grey", "grey", "light grey", "white",
    "dark red", "red", "pink", "brown", "orange", "beige",
    "olive", "yellow", "dark green", "green", "light green",
    "dark teal", "teal", "light blue", "dark blue", "blue",
    "dark purple", "purple", "lilac", "magenta",
)  # fmt: skip
_INDEX = {name: index for index, name in enumerate(NAMES)}

# A colour under this share of the picture is not worth a word.
_MENTION = 0.08
_MOST = 4


def _name(red: float, green: float, blue: float) -> str:  # noqa: PLR0912 -- one table, read top to bottom
    high, low = max(red, green, blue), min(red, green, blue)
    saturation = (high - low) / high if high else 0.0
    if high < 0.13:
        return "black"
    if saturation < 0.12:
        for bound, grey in ((0.35, "dark grey"), (0.65, "grey"), (0.88, "light grey")):
            if high < bound:
                return grey
        return "white"
    if high == red:
        hue = 60 * ((green - blue) / (high - low)) % 360
    elif high == green:
        hue = 60 * ((blue - red) / (high - low)) + 120
    else:
        hue = 60 * ((red - green) / (high - low)) + 240
    dark, pale = high < 0.45, saturation < 0.45 and high > 0.7
    if hue < 15 or hue >= 345:
        return "pink" if pale else "dark red" if dark else "red"
    if hue < 45:
        return "beige" if pale else "brown" if high < 0.65 else "orange"
    if hue < 68:
        return "beige" if pale else "olive" if high < 0.6 else "yellow"
    if hue < 165:
        return "light green" if pale else "dark green" if dark else "green"
    if hue < 195:
        return "light blue" if pale else "dark teal" if dark else "teal"
    if hue < 255:
        return "light blue" if pale else "dark blue" if dark else "blue"
    if hue < 290:
        return "lilac" if pale else "dark purple" if dark else "purple"
    return "pink" if pale else "dark purple" if dark else "magenta"


def _table() -> NDArray[np.intp]:
    steps = [(level * 8 + 4) / 255 for level in range(32)]
    return np.array(
        [_INDEX[_name(red, green, blue)] for red in steps for green in steps for blue in steps],
        dtype=np.intp,
    )


_TABLE = _table()


class Palette:
    """The colours of a stretch of picture, added up frame by frame."""

    def __init__(self) -> None:
        self._votes = np.zeros(len(NAMES))
        self._sums = np.zeros((len(NAMES), 3))
        self._luma = 0.0
        self._saturation = 0.0
        self._frames = 0

    def add(self, pixels: Pixels) -> None:
        """Count one frame, an array of shape (height, width, 3)."""
        flat = pixels.reshape(-1, 3)
        steps = (flat >> 3).astype(np.intp)
        names = _TABLE[(steps[:, 0] << 10) | (steps[:, 1] << 5) | steps[:, 2]]
        size = len(NAMES)
        self._votes += np.bincount(names, minlength=size)
        for channel in range(3):
            self._sums[:, channel] += np.bincount(names, weights=flat[:, channel], minlength=size)
        floats = flat.astype(np.float32)
        high, low = floats.max(axis=1), floats.min(axis=1)
        self._saturation += float(((high - low) / np.maximum(high, 1.0)).mean())
        self._luma += float((floats @ np.array([0.299, 0.587, 0.114], dtype=np.float32)).mean())
        self._frames += 1

    def merge(self, other: "Palette") -> None:
        """Add what another palette has counted."""
        self._votes += other._votes
        self._sums += other._sums
        self._luma += other._luma
        self._saturation += other._saturation
        self._frames += other._frames

    def look(self) -> Look:
        """Return the means so far; most frequent colour first."""
        frames = max(self._frames, 1)
        total = max(float(self._votes.sum()), 1.0)
        order = np.argsort(-self._votes, kind="stable")[:_MOST]
        colours = tuple(
            self._colour(int(index), float(self._votes[index]) / total)
            for rank, index in enumerate(order)
            if self._votes[index] > 0 and (rank == 0 or self._votes[index] / total >= _MENTION)
        )
        return Look(colours, self._luma / frames / 255, self._saturation / frames)

    def _colour(self, index: int, share: float) -> Colour:
        red, green, blue = (round(float(value / self._votes[index])) for value in self._sums[index])
        return Colour(NAMES[index], f"#{red:02x}{green:02x}{blue:02x}", share)
