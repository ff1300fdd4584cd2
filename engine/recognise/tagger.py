"""Say what a picture is of, in groups of EfficientNet-Lite0's thousand classes.

The network has to choose a class for every picture, and of breeds and makes it chooses wrongly; the chances of a group
together are right more often. Whole and middle of a picture are looked at, and mirrored where a group is likely. Some
groups are left out, for what is dark, gold, green or plain falls to them: musical instruments, insects, reptiles, small
sea life, furniture, clothes (docs/engine.md has figures).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from engine.recognise.pictures import Picture

SIZE = 224
LEAST = 0.45
# Of the first looks; the mirrored ones may add a little.
_WORTH = 0.4


def _classes(*spans: int | tuple[int, int]) -> tuple[int, ...]:
    """Numbers of classes out of single ones, and out of firsts and lasts."""
    rows = ((one, one) if isinstance(one, int) else one for one in spans)
    return tuple(number for first, last in rows for number in range(first, last + 1))


# By the kind (``engine.facts.things``) that a group is told as.
GROUPS = {
    "bird": _classes((7, 24), (80, 100), (127, 146)),
    "cat": _classes((281, 285)),
    # Mammals without cats: a horse is taken for a dog.
    "animal": _classes((101, 106), (147, 280), (286, 299), (330, 388)),
    "vehicle": _classes(
        407, 408, 436, 444, 450, 466, 468, 475, 479, 511, 537, 547, 555, 565, 569, 573, 575, 581, 586, 595, 603, 609,
        612, 627, 654, 656, 661, 665, 670, 671, 675, 690, 705, 717, 734, 751, 757, 779, 802, 803, 817, 820, 829, 847,
        864, 866, 867, 874,
    ),
    "boat": _classes(403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 833, 871, 914),
    "airplane": _classes(404, 895, 908),
    "food": _classes((923, 967)),  # without cups, which need not hold any
    "building": _classes(
        415, 425, 437, 442, 449, 454, 467, 483, 497, 498, 509, 580, 582, 624, 660, 663, 668, 698, 727, 743, 762, 788,
        832, 860, 865, 900,
    ),
    "mountain or shore": _classes(970, 972, (975, 978), 980),
    "flower": _classes((984, 986)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tag:
    """A kind of thing that a picture as a whole seems to be of."""

    kind: str
    score: float


Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def load(model: Path) -> Run:
    """Load the network; it runs on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session: Any = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


def tags_in(picture: Picture, run: Run) -> list[Tag]:
    """Return the groups that all looks together find likely, the likeliest first."""
    pixels = np.stack([_fitted(view) for view in _views(picture)])
    chances = run(pixels).mean(axis=0)
    if max(score for _, score in _by_group(chances)) < _WORTH:
        return []
    chances = (chances + run(np.ascontiguousarray(pixels[..., ::-1])).mean(axis=0)) / 2
    found = [Tag(kind, round(score, 3)) for kind, score in _by_group(chances) if score >= LEAST]
    return sorted(found, key=lambda one: -one.score)


def _by_group(chances: NDArray[np.float32]) -> Iterator[tuple[str, float]]:
    return ((kind, float(chances[list(classes)].sum())) for kind, classes in GROUPS.items())


def _views(picture: Picture) -> tuple[Picture, Picture]:
    """The whole picture, and the square in its middle."""
    height, width = picture.shape[:2]
    side = min(height, width)
    left, top = (width - side) // 2, (height - side) // 2
    return picture, picture[top : top + side, left : left + side]


def _fitted(picture: Picture) -> NDArray[np.float32]:
    """Fit a view into the network's square, as red, green and blue from -1 to 1."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
    interpolation = "AREA" if min(picture.shape[:2]) > SIZE else "BILINEAR"
    small = frame.reformat(SIZE, SIZE, format="rgb24", interpolation=interpolation).to_ndarray()
    return ((small.astype(np.float32) - 127.0) / 128.0).transpose(2, 0, 1)
