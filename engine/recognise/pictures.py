"""Pictures on their way to a process that looks at them, at most one a second."""

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.recognise.companion import Companion

Picture = NDArray[np.uint8]  # height x width x 3, blue first
HEAD = struct.Struct("<dII")  # time in seconds, width, height; then the picture's bytes
_STEP_S = 1.0


class Onlooker:
    """The near end: what the process says of the pictures is its heirs' business.

    Args:
        longest_side: pixels; larger pictures are handed over smaller.

    Attributes:
        next: pictures before this time are not looked at.
    """

    def __init__(self, companion: Companion, longest_side: int) -> None:
        self._companion = companion
        self._longest_side = longest_side
        self._end = 0.0
        self.next = 0.0
        self.done = False

    @property
    def pid(self) -> int:
        return self._companion.pid

    def look(self, time: float, size: tuple[int, int], draw: Callable[[int, int], Picture]) -> None:
        """Have a picture looked at, at most one a second; waits while too many are waiting.

        Args:
            size: width and height at which the picture is shown.
            draw: returns the picture as it is shown, at a width and a height.
        """
        if time < self.next:
            return
        self.next = time + _STEP_S
        shrink = max(1.0, max(size) / self._longest_side)
        width, height = round(size[0] / shrink), round(size[1] / shrink)
        self._companion.give(HEAD.pack(time, width, height) + draw(width, height).tobytes())

    def finish(self, end: float) -> None:
        """No more pictures will come; the last one stands until ``end``."""
        self._end = end
        self._companion.give(b"")

    def close(self) -> None:
        self._companion.close()


def picture_in(block: bytes) -> tuple[float, Picture]:
    """Return the time and the picture of a block, at the far end."""
    time, width, height = HEAD.unpack_from(block)
    return time, np.frombuffer(block, dtype=np.uint8, offset=HEAD.size).reshape(height, width, 3)
