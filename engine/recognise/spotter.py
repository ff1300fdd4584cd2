"""A process that names things in pictures: ``python -m engine.recognise.spotter --things DIR``.

It takes blocks (``engine.recognise.companion``), each a picture with its time, and answers:

    {"spotted": [time, [[name, score, [left, top, right, bottom]], ...]]}    sides as shares, 0..1
    {"done": true}
"""

import argparse
import os
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine import confine
from engine.recognise.companion import read_block, send
from engine.recognise.detector import Run, load, things_in
from engine.recognise.pictures import picture_in

MODEL = "nanodet.onnx"


def spot(source: BinaryIO, sink: BinaryIO, run: Run) -> None:
    """Answer each block, until the row ends or the near end is gone."""
    while block := read_block(source):
        time, picture = picture_in(block)
        found = [[one.name, one.score, list(one.box)] for one in things_in(picture, run)]
        send(sink, {"spotted": [time, found]})
    if block is not None:
        send(sink, {"done": True})


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine.recognise.spotter")
    parser.add_argument("--things", type=Path, required=True, help="directory of the weights")
    options = parser.parse_args()
    # Libraries print as they like: the pipe is for messages alone.
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    import onnxruntime  # noqa: F401 -- loads its libraries while it may still open any file

    confine.limit(memory_bytes=confine.SPOTTER_MEMORY, cpu_s=None)
    run = load(options.things / MODEL)
    things_in(np.zeros((64, 64, 3), dtype=np.uint8), run)
    spot(sys.stdin.buffer, own, run)


if __name__ == "__main__":
    main()
