"""Pictures as they are shown: turned by their display matrix, and wide by the aspect of their pixels.

A camera that is held upright writes its pictures lying down, with a matrix that says how
they are to be turned. Nothing may be said of a picture before that was done.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from engine.measure.colour import Pixels


@dataclass(frozen=True, slots=True)
class Turn:
    """How a picture is turned: rows become columns first, then left and right, or top and bottom, change places."""

    rows_are_columns: bool = False
    mirrored: bool = False
    upended: bool = False

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return a size after the turn, or before it."""
        return (height, width) if self.rows_are_columns else (width, height)

    def applied(self, pixels: Pixels) -> Pixels:
        if self.rows_are_columns:
            pixels = pixels.transpose(1, 0, 2)
        if self.mirrored:
            pixels = pixels[:, ::-1]
        if self.upended:
            pixels = pixels[::-1]
        return np.ascontiguousarray(pixels)


# By quarters to the left.
_QUARTERS = (Turn(), Turn(True, False, True), Turn(False, True, True), Turn(True, True, False))


def turn_of(frame: VideoFrame) -> Turn:
    """Return how a frame says it is to be turned, to the nearest quarter."""
    try:
        matrix = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)
    except ValueError:  # the frame has something that PyAV has no name for, as the EXIF of a photo
        return _QUARTERS[round(frame.rotation / 90) % 4]
    if matrix is None or len(bytes(matrix)) < 36:
        return Turn()
    # A point (x, y) is shown at (a x + c y, b x + d y); tracks of MP4 and frames have the same matrix.
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(True, c < 0, b < 0)
    return Turn(False, a < 0, d < 0)


def shown_size(width: int, height: int, turn: Turn, aspect: Fraction | None) -> tuple[int, int]:
    """Return the size at which a picture is shown.

    Args:
        aspect: of a pixel as it is coded, before any turn.
    """
    return turn.size(max(1, round(width * aspect)) if aspect else width, height)


class Shower:
    """Draw frames as they are shown, at any size."""

    def __init__(self) -> None:
        self._scale = VideoReformatter()

    def draw(self, frame: VideoFrame, width: int, height: int, form: str = "rgb24") -> Pixels:
        """Return a frame as pixels of shape (height, width, 3)."""
        turn = turn_of(frame)
        across, down = turn.size(width, height)
        small = self._scale.reformat(frame, width=across, height=down, format=form, interpolation="AREA")
        return turn.applied(cast(Pixels, small.to_ndarray()))
