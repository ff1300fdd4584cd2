"""Name things in a picture with NanoDet, looked at in three ways so that what only seems to be one falls through.

A picture is looked at as it is and mirrored, and each thing that may be there once more from near. A true thing is
found each time; spots and shadows that the network takes for a kite or a sheep are not (docs/engine.md has figures).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from engine.facts.facts import Box
from engine.recognise.pictures import Picture

Outputs = Sequence[NDArray[np.float32]]

SIZE = 416
_STRIDES = (8, 16, 32)
_MEAN = np.array([103.53, 116.28, 123.675], dtype=np.float32)
_DEVIATION = np.array([57.375, 57.12, 58.395], dtype=np.float32)
_BINS = np.arange(11, dtype=np.float32)

# Scores that count: at first sight; over the first two looks, to be worth a third; and in the mean of all.
_FIRST, _WORTH, _LEAST = 0.4, 0.42, 0.45
# Of one look, what scores less is nothing.
_FAINT = 0.25
_SAME = 0.4  # of two boxes' union, to be of one thing
_MOST = 5  # things of a picture that are looked at from near
# How much wider than the thing it is looked at: with what stands around it, and almost alone.
_AROUND, _ALONE = 2.5, 1.5

# COCO's, in the network's order.
NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spot:
    """A thing as one look found it; the box is in pixels of what was looked at."""

    name: str
    score: float
    box: Box


Run = Callable[[NDArray[np.float32]], Outputs]


def load(model: Path) -> Run:
    """Load the network; it runs on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"input_1": pixels})


def things_in(picture: Picture, run: Run) -> list[Spot]:
    """Return what stands three looks, the surest first; boxes as shares of the picture, scores the best of a look."""
    height, width = picture.shape[:2]
    at_first = look(picture, run, _FIRST)
    mirrored = [_mirrored(one, width) for one in look(picture[:, ::-1], run)] if at_first else []
    found: list[Spot] = []
    for first in at_first:
        scores = [first.score, _score_of(first, mirrored)]
        if sum(scores) < 2 * _WORTH or len(found) == _MOST:
            continue
        scores.append(_score_of(first, _from_near(picture, first, _AROUND, run)))
        if sum(scores) < 3 * _LEAST or _has_another_name(first, _from_near(picture, first, _ALONE, run)):
            continue
        found.append(Spot(first.name, round(max(scores), 3), _shares(first.box, width, height)))
    return found


def look(picture: Picture, run: Run, least: float = _FAINT) -> list[Spot]:
    """Return what one look finds, the surest first, each thing once."""
    fitted, shrink, left, top = _fitted(picture)
    pixels = ((fitted.astype(np.float32) - _MEAN) / _DEVIATION).transpose(2, 0, 1)[None]
    found: list[Spot] = []
    for one in sorted(_decoded(run(np.ascontiguousarray(pixels)), least), key=lambda one: -one.score):
        if all(one.name != other.name or _shared(one.box, other.box) < 0.5 for other in found):
            found.append(one)
    return [
        Spot(
            one.name,
            one.score,
            (
                (one.box[0] - left) / shrink,
                (one.box[1] - top) / shrink,
                (one.box[2] - left) / shrink,
                (one.box[3] - top) / shrink,
            ),
        )
        for one in found
    ]


def _fitted(picture: Picture) -> tuple[Picture, float, int, int]:
    """Fit a picture into the network's square, black around it; also how, to find the way back."""
    height, width = picture.shape[:2]
    shrink = SIZE / max(height, width)
    inner = max(2, round(width * shrink)), max(2, round(height * shrink))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
    small = frame.reformat(*inner, format="bgr24", interpolation="AREA" if shrink < 1 else "BILINEAR").to_ndarray()
    left, top = (SIZE - inner[0]) // 2, (SIZE - inner[1]) // 2
    fitted = np.zeros((SIZE, SIZE, 3), dtype=np.uint8)
    fitted[top : top + inner[1], left : left + inner[0]] = small
    return fitted, shrink, left, top


def _decoded(outputs: Outputs, least: float) -> list[Spot]:
    """Read the network's places: a score for each name, and a distribution of the distance to each side."""
    found = []
    for scores, sides, stride in zip(outputs[::2], outputs[1::2], _STRIDES, strict=True):
        for place in np.flatnonzero(scores[0].max(axis=1) >= least):
            bins = np.exp(sides[0, place].reshape(4, 11))
            left, top, right, bottom = (bins @ _BINS / bins.sum(axis=1) * stride).tolist()
            row, column = divmod(int(place), SIZE // stride)
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            name = int(scores[0, place].argmax())
            box = (x - left, y - top, x + right, y + bottom)
            found.append(Spot(NAMES[name], float(scores[0, place, name]), box))
    return found


def _from_near(picture: Picture, thing: Spot, wider: float, run: Run) -> list[Spot]:
    height, width = picture.shape[:2]
    left, top, right, bottom = thing.box
    half = max(right - left, bottom - top) * wider / 2
    x, y = (left + right) / 2, (top + bottom) / 2
    x0, y0 = max(0, int(x - half)), max(0, int(y - half))
    x1, y1 = min(width, int(x + half)), min(height, int(y + half))
    if min(x1 - x0, y1 - y0) < 2:
        return []
    return [
        Spot(one.name, one.score, (one.box[0] + x0, one.box[1] + y0, one.box[2] + x0, one.box[3] + y0))
        for one in look(picture[y0:y1, x0:x1], run)
    ]


def _score_of(thing: Spot, others: Sequence[Spot]) -> float:
    same = (one.score for one in others if one.name == thing.name and _shared(one.box, thing.box) > _SAME)
    return max(same, default=0.0)


def _has_another_name(thing: Spot, others: Sequence[Spot]) -> bool:
    """Whether what stands in its place is surer to be something else."""
    there = [one for one in others if _shared(one.box, thing.box) > _SAME]
    return bool(there) and max(there, key=lambda one: one.score).name != thing.name


def _mirrored(thing: Spot, width: int) -> Spot:
    left, top, right, bottom = thing.box
    return Spot(thing.name, thing.score, (width - right, top, width - left, bottom))


def _shared(one: Box, other: Box) -> float:
    """Return how much of their union two boxes share, 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both)


def _shares(box: Box, width: int, height: int) -> Box:
    left, top, right, bottom = (
        round(min(1.0, max(0.0, side / size)), 4) for side, size in zip(box, (width, height) * 2, strict=True)
    )
    return left, top, right, bottom
