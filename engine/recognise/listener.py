"""A process that hears speech in sound: ``python -m engine.recognise.listener --whisper DIR [--threads N]``.

It finds voice, and reads one stretch of it after the other; of the first one the beginning ahead of the rest, and words
that were told then stand. It takes blocks (``engine.recognise.companion``) of
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
from engine.facts.samples import RATE
from engine.recognise.companion import read_block, send
from engine.recognise.reading import cut, whole_part
from engine.recognise.voice import Voice, VoiceFinder
from engine.recognise.whisper import Reader, Reading, Words, memory_of, reader_of

_HEARD_STEP_S = 0.25
_SHORTEST_S = 0.02  # of a word
# What is read this close to the end of a beginning may be half a word, or read otherwise with those that follow.
_UNSURE_S = 0.7


def listen(source: BinaryIO, read: Reader, finder: VoiceFinder, say: Callable[[dict[str, Any]], None]) -> None:
    """Read a sound track until it, or the near end, is over."""
    told, ahead = 0.0, 0.0  # until when words were told ahead
    while (block := read_block(source)) is not None:
        for voice in finder.feed(np.frombuffer(block, dtype=np.int16)) if block else finder.finish():
            for utterance in _told_ahead(voice, read) if voice.goes_on else _told(voice, read, ahead):
                say({"utterance": utterance})
                ahead = utterance[1] if voice.goes_on else ahead
        if not block:
            say({"done": True})
            return
        if finder.settled - told >= _HEARD_STEP_S:
            told = finder.settled
            say({"heard": told})


def _told(voice: Voice, read: Reader, ahead: float) -> Iterator[list[Any]]:
    """What was read of a stretch, a caption each; one that is muddled as a whole, or without a word, is told as one.

    Args:
        ahead: until when its words were told already.
    """
    reading = read(voice.samples)
    words = [word for word in _placed(voice, reading) if (word[1] + word[2]) / 2 > ahead]
    if not words and ahead > voice.start:
        return
    pieces = [words] if _muddled(words) or not words else list(cut(words))
    for n, piece in enumerate(pieces):
        # The voice knows best where the stretch begins and ends, the words what lies within.
        start = max(voice.start, ahead) if n == 0 else piece[0][1]
        end = voice.end if n + 1 == len(pieces) else piece[-1][2]
        yield [round(start, 3), round(max(start, end), 3), piece, reading.language]


def _told_ahead(voice: Voice, read: Reader) -> Iterator[list[Any]]:
    """What was read of the beginning of a stretch, without the words near its end; nothing where it is muddled."""
    reading = read(voice.samples)
    last = voice.offset + len(voice.samples) / RATE - _UNSURE_S
    words = whole_part([word for word in _placed(voice, reading) if word[2] <= last])
    for n, piece in enumerate(cut(words) if not _muddled(words) else ()):
        yield [round(voice.start if n == 0 else piece[0][1], 3), piece[-1][2], piece, reading.language]


def _placed(voice: Voice, reading: Reading) -> Words:
    """The words of a reading, with times in the track."""
    return [
        (word, round(voice.offset + start, 2), round(voice.offset + max(end, start + _SHORTEST_S), 2), round(sure, 4))
        for word, start, end, sure in reading.words
    ]


def _muddled(words: Words) -> bool:
    return sum(sure for *_, sure in words) < UNDERSTOOD * len(words)


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
