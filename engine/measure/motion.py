"""When and where the picture changes within a shot: a moving thing, or much of the picture at once.

The picture is divided into cells of 4 x 4 points; a cell moves when it differs from
itself a fifth of a second before. That comparison does not depend on the frame rate and
sees slow things too.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from engine.facts.facts import Motion
from engine.facts.places import place
from engine.measure.colour import Pixels

_BACK_S = 0.2
_CELL = 4
_CHANGED = 7.0  # mean difference of a cell, 0..255; compression noise stays below 4
_LEAST = 0.012  # share of cells below which nothing moves (a cell or two flicker)
_MUCH = 0.4
_REPLACED = 14.0  # difference to the frame just before: not motion, but another picture
_SPARSE_S = 0.25  # between pictures that are farther apart, also their colours say whether one was replaced
_GAP_S = 0.7  # a pause shorter than this does not end a motion
_SHORTEST_S = 0.4


class MotionTracker:
    """Turn frames into spans of motion; a cut ends every span."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, NDArray[np.float32]]] = deque()
        self._pixels: Pixels | None = None  # of the last frame
        self._start: float | None = None
        self._last = 0.0
        self._shares: list[float] = []
        self._places: list[tuple[float, float]] = []

    @property
    def open_since(self) -> float | None:
        """Start of the motion that is not told yet; None when all is still."""
        return self._start

    def feed(self, time: float, pixels: Pixels) -> list[Motion]:
        """Take the next frame; return the motions that ended before it."""
        grey = pixels.astype(np.float32).mean(axis=2)
        ended: list[Motion] = []
        if self._past and self._is_replaced(time, pixels, grey):
            ended = self._cut()
        self._pixels = pixels
        self._past.append((time, grey))
        while len(self._past) > 1 and self._past[1][0] <= time - _BACK_S:
            self._past.popleft()
        changed = _changed(self._past[0][1], grey)
        share = float(changed.mean())
        if share >= _LEAST and len(self._past) > 1:
            if self._start is None:
                self._start = self._past[0][0]
            self._last = time
            self._shares.append(share)
            self._places.append(_centre(changed))
            return ended
        return ended + self._end() if time - self._last > _GAP_S else ended

    def finish(self) -> list[Motion]:
        """Return the motion that lasted to the end."""
        return self._end()

    def _is_replaced(self, time: float, pixels: Pixels, grey: NDArray[np.float32]) -> bool:
        last, before = self._past[-1]
        if time - last > _SPARSE_S and self._pixels is not None:
            return float(np.abs(pixels.astype(np.float32) - self._pixels).mean()) >= _REPLACED
        return float(np.abs(grey - before).mean()) >= _REPLACED

    def _cut(self) -> list[Motion]:
        """The picture was replaced: end the current motion, and compare with no earlier frame."""
        self._past.clear()
        return self._end()

    def _end(self) -> list[Motion]:
        start, self._start = self._start, None
        shares, places = self._shares, self._places
        self._shares, self._places = [], []
        if start is None or self._last - start < _SHORTEST_S:
            return []
        few = max(1, len(places) // 8)
        return [
            Motion(
                start=start,
                end=self._last,
                extent="much" if float(np.median(shares)) >= _MUCH else "part",
                origin=_place(places[:few]),
                goal=_place(places[-few:]),
            )
        ]


def _changed(before: NDArray[np.float32], now: NDArray[np.float32]) -> NDArray[np.bool_]:
    height, width = now.shape
    cells = np.abs(now - before).reshape(height // _CELL, _CELL, width // _CELL, _CELL).mean(axis=(1, 3))
    moved: NDArray[np.bool_] = cells > _CHANGED
    return moved


def _centre(changed: NDArray[np.bool_]) -> tuple[float, float]:
    rows, columns = np.nonzero(changed)
    height, width = changed.shape
    return float((rows.mean() + 0.5) / height), float((columns.mean() + 0.5) / width)


def _place(centres: list[tuple[float, float]]) -> str:
    return place(sum(x for _, x in centres) / len(centres), sum(y for y, _ in centres) / len(centres))
