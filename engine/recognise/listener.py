"""A process that hears English in sound: ``python -m engine.recognise.listener [--recognisers N] [--whisper DIR]``.

It finds voice, and has each utterance read by whichever recogniser is free. It takes
blocks (``engine.recognise.companion``) of 16 kHz mono 16 bit samples, and answers, with times in
seconds from the first sample:

    {"utterance": [start, end, [[word, start, end, confidence], ...]]}
    {"heard": time}      no utterance that starts before this time is still to come
    {"done": true}
    {"failed": name}     a recogniser is gone; nothing comes after that
"""

import argparse
import os
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine import confine
from engine.recognise import sphinx
from engine.recognise.companion import read_block, send
from engine.recognise.crew import Crew, Forked, Reader
from engine.recognise.voice import Voice, VoiceFinder

_HEARD_STEP_S = 0.25


def listen(source: BinaryIO, crew: Crew, finder: VoiceFinder) -> None:
    """Have a sound track read until it, or the near end, is over."""
    told = 0.0
    while (block := read_block(source)) is not None:
        voices: list[Voice] = finder.feed(np.frombuffer(block, dtype=np.int16)) if block else finder.finish()
        for voice in voices:
            crew.read(voice)
        if not block:
            crew.finish()
            return
        if finder.settled - told >= _HEARD_STEP_S:
            told = finder.settled
            crew.say({"heard": told})


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine.recognise.listener")
    parser.add_argument("--recognisers", type=int, default=1, help="utterances read at once")
    parser.add_argument("--whisper", type=Path, help="directory of a CTranslate2 Whisper model")
    options = parser.parse_args()
    readers = _whisper(options.whisper, options.recognisers) if options.whisper else _sphinx(options.recognisers)
    listen(sys.stdin.buffer, Crew(readers, lambda message: send(sys.stdout.buffer, message)), VoiceFinder())
    # Threads may be deep in a read that nobody waits for any more.
    os._exit(0)


def _sphinx(recognisers: int) -> list[Reader]:
    decoder = sphinx.make_decoder()
    confine.limit(memory_bytes=confine.LISTENER_MEMORY, cpu_s=None)
    return [Forked(lambda samples: sphinx.read_words(decoder, samples)) for _ in range(recognisers)]


def _whisper(directory: Path, threads: int) -> list[Reader]:
    """One reader with threads of its own: the model would be copied into each process."""
    from engine.recognise.whisper import memory_of, reader_of

    reader = reader_of(directory, threads)
    confine.limit(memory_bytes=confine.LISTENER_MEMORY + memory_of(directory), cpu_s=None)
    return [reader]


if __name__ == "__main__":
    main()
