"""A process that names things in pictures: ``python -m engine.recognise.spotter --things DIR``.

It takes blocks (``engine.recognise.companion``), each a picture with its time, and answers:

    {"spotted": [time, [[name, score, [left, top, right, bottom]], ...], [[kind, score], ...]]}

    sides as shares, 0..1; kinds are those of the picture as a whole, where there are weights for it
    {"done": true}
"""

import argparse
import os
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine import confine
from engine.recognise import tagger
from engine.recognise.companion import read_block, send
from engine.recognise.detector import Run, load, things_in
from engine.recognise.pictures import picture_in
from engine.recognise.tagger import tags_in
from engine.weights import TAGS

MODEL, TAGGER = "nanodet.onnx", "lite0.onnx"


def spot(source: BinaryIO, sink: BinaryIO, run: Run, tag: tagger.Run | None) -> None:
    """Answer each block, until the row ends or the near end is gone."""
    while block := read_block(source):
        time, picture = picture_in(block)
        found = [[one.name, one.score, list(one.box)] for one in things_in(picture, run)]
        tags = [[one.kind, one.score] for one in tags_in(picture, tag)] if tag else []
        send(sink, {"spotted": [time, found, tags]})
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
    tag = tagger.load(options.things / TAGGER) if TAGS.lie_in(options.things) else None
    blank = np.zeros((64, 64, 3), dtype=np.uint8)
    things_in(blank, run)
    if tag:
        tags_in(blank, tag)
    spot(sys.stdin.buffer, own, run, tag)


if __name__ == "__main__":
    main()
