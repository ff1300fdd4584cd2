"""A process that hears speech in sound: ``python -m engine.recognise.listener --whisper DIR [--threads N]``.

It finds voice, and reads one stretch of it after the other. It takes blocks (``engine.recognise.companion``) of
16 kHz mono 16 bit samples, and answers, with times in seconds from the first sample:

    {"utterance": [start, end, [[word, start, end, confidence], ...], language]}
    {"heard": time}      no utterance that starts before this time is still to come
    {"done": true}
    {"failed": name}     the recogniser is gone; nothing comes after that

A process of its own, for a model takes more memory and time than whoever decodes a stranger's file may take.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine import confine
from engine.facts.facts import UNDERSTOOD
from engine.recognise.companion import read_block, send
from engine.recognise.reading import cut
from engine.recognise.voice import Voice, VoiceFinder
from engine.recognise.whisper import Reader, memory_of, reader_of

_HEARD_STEP_S = 0.25
_SHORTEST_S = 0.02  # of a word


def listen(source: BinaryIO, read: Reader, finder: VoiceFinder, say: Callable[[dict[str, Any]], None]) -> None:
    """Read a sound track until it, or the near end, is over."""
    told = 0.0
    while (block := read_block(source)) is not None:
        for voice in finder.feed(np.frombuffer(block, dtype=np.int16)) if block else finder.finish():
            for utterance in _told(voice, read):
                say({"utterance": utterance})
        if not block:
            say({"done": True})
            return
        if finder.settled - told >= _HEARD_STEP_S:
            told = finder.settled
            say({"heard": told})


def _told(voice: Voice, read: Reader) -> Iterator[list[Any]]:
    """What was read of a stretch, a caption each; one that is muddled as a whole, or without a word, is told as one."""
    reading = read(voice.samples)
    words = [
        (word, round(voice.offset + start, 2), round(voice.offset + max(end, start + _SHORTEST_S), 2), round(sure, 4))
        for word, start, end, sure in reading.words
    ]
    muddled = sum(sure for *_, sure in words) < UNDERSTOOD * len(words)
    pieces = [words] if muddled or not words else list(cut(words))
    for n, piece in enumerate(pieces):
        # The voice knows best where the stretch begins and ends, the words what lies within.
        start = voice.start if n == 0 else piece[0][1]
        end = voice.end if n + 1 == len(pieces) else piece[-1][2]
        yield [round(start, 3), round(max(start, end), 3), piece, reading.language]


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine.recognise.listener")
    parser.add_argument("--whisper", type=Path, required=True, help="directory of a CTranslate2 Whisper model")
    parser.add_argument("--threads", type=int, default=1, help="cores that read")
    options = parser.parse_args()
    read, finder = reader_of(options.whisper, options.threads), VoiceFinder()
    confine.limit(memory_bytes=confine.LISTENER_MEMORY + memory_of(options.whisper), cpu_s=None)
    out = sys.stdout.buffer
    try:
        listen(sys.stdin.buffer, read, finder, lambda message: send(out, message))
    except Exception as exc:
        send(out, {"failed": type(exc).__name__})
    # Threads of the model's need no orderly end.
    os._exit(0)


if __name__ == "__main__":
    main()
