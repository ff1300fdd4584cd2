"""A process that reads text in pictures: ``python -m engine.recognise.reader``.

It takes blocks (``engine.recognise.companion``), each a picture with its time, and answers:

    {"seen": [time, [[text, [left, top, right, bottom], confidence], ...]]}    sides as shares, 0..1
    {"same": time}      nothing changed since the picture before: what it showed still stands
    {"done": true}

The models come inside the wheel of rapidocr (from 3.10: PP-OCRv6 small). They are loaded
after the network is gone, so that nothing can ever be fetched in their place.
"""

import os
import sys
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from engine import confine
from engine.recognise.companion import read_block, send
from engine.recognise.pictures import Picture, picture_in

_CELL = 8  # pixels
# Cells of a still card change by at most 2 of 255 with its coding; a letter changes them by tens.
_CHANGE = 8.0


def make_reader() -> Any:
    """Load rapidocr with the models it brings along.

    One thread: two took nearly twice as long on two cores that also decode. Pictures
    are searched at no more than 960 pixels: at its own default of 736 for the shorter
    side it enlarges most videos, which took four times as long and found nothing more
    on the shared clips. The direction of lines is not examined: film is upright.
    """
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Det.limit_type": "max",
            "Det.limit_side_len": 960,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def read_lines(reader: Any, picture: Picture) -> list[tuple[str, list[float], float]]:
    """Return the lines of a picture: text, box, confidence."""
    found = reader(picture)
    if found.txts is None:
        return []
    height, width = picture.shape[:2]
    return [
        (" ".join(text.split()), _box(corners, width, height), round(min(1.0, float(sure)), 4))
        for corners, text, sure in zip(found.boxes, found.txts, found.scores, strict=True)
    ]


def _box(corners: Any, width: int, height: int) -> list[float]:
    xs, ys = [float(x) / width for x, _ in corners], [float(y) / height for _, y in corners]
    return [round(min(1.0, max(0.0, side)), 4) for side in (min(xs), min(ys), max(xs), max(ys))]


def cells_of(picture: Picture) -> NDArray[np.float32]:
    """Return the mean green of each cell: it shows whether text appeared or went away."""
    height, width = (size // _CELL for size in picture.shape[:2])
    green = picture[: height * _CELL, : width * _CELL, 1]
    cells: NDArray[np.float32] = green.reshape(height, _CELL, width, _CELL).mean(axis=(1, 3), dtype=np.float32)
    return cells


def changed(before: NDArray[np.float32] | None, now: NDArray[np.float32]) -> bool:
    return before is None or before.shape != now.shape or float(np.abs(before - now).max()) > _CHANGE


def read(source: BinaryIO, sink: BinaryIO, reader: Any) -> None:
    """Answer each block, until the row ends or the near end is gone."""
    before = None
    while block := read_block(source):
        time, picture = picture_in(block)
        cells = cells_of(picture)
        if changed(before, cells):
            before = cells
            send(sink, {"seen": [time, read_lines(reader, picture)]})
        else:
            send(sink, {"same": time})
    if block is not None:
        send(sink, {"done": True})


def main() -> None:
    # Libraries print as they like: the pipe is for messages alone.
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import cv2
    import rapidocr  # noqa: F401 -- loads its libraries while it may still open any file

    cv2.setNumThreads(1)
    confine.limit(memory_bytes=confine.READER_MEMORY, cpu_s=None)
    reader = make_reader()
    reader(np.zeros((64, 64, 3), dtype=np.uint8))  # loads the models
    read(sys.stdin.buffer, own, reader)


if __name__ == "__main__":
    main()
