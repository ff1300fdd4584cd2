"""A process that hears English in sound: ``python -m engine.listener``.

It is a process of its own because both its parts hold the interpreter lock, the
recogniser for up to a second at a time. On standard input it takes samples (a length in
eight bytes, then that many bytes of 16 kHz mono 16 bit; length 0 ends them), on standard
output it writes lines of JSON, times in seconds from the first sample:

    {"utterance": [start, end, [[word, start, end, confidence], ...] | null]}
    {"heard": time}      no utterance that starts before this time is still to come
    {"done": true}
"""

import json
import sys
from typing import Any, BinaryIO

import numpy as np

from engine import confine
from engine.voice import Voice, VoiceFinder

_FRAME_S = 0.01
# Bounds the search: measured a third faster than without, with no more errors.
_ACTIVE_STATES = 6000


def make_decoder() -> Any:
    """Load pocketsphinx with its own US English model; None where it is not installed.

    Means are taken over the whole utterance (``batch``): the running mean knows nothing
    at a clip's beginning, where it lost most words, and would make an answer depend on
    what was read before.
    """
    try:
        from pocketsphinx import Decoder
    except ImportError:
        return None
    return Decoder(loglevel="FATAL", cmn="batch", maxhmmpf=_ACTIVE_STATES)


def read_words(decoder: Any, voice: Voice) -> list[list[Any]]:
    """Return the words of a stretch of voice; noises and pauses are left out."""
    decoder.start_utt()
    decoder.process_raw(voice.samples.tobytes(), full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return []
    return [
        [
            word,
            round(voice.offset + segment.start_frame * _FRAME_S, 2),
            round(voice.offset + (segment.end_frame + 1) * _FRAME_S, 2),
            round(min(1.0, max(0.0, float(segment.prob))), 4),
        ]
        for segment in decoder.seg()
        if (word := _spoken(segment.word))
    ]


def _spoken(word: str) -> str:
    """Strip the mark of a second pronunciation; empty for ``<sil>``, ``[NOISE]`` and their kind."""
    plain = word.partition("(")[0]
    return "" if plain[:1] in ("<", "[", "+", "") else plain


class Listener:
    """Listen to one sound track."""

    def __init__(self, decoder: Any, sink: BinaryIO) -> None:
        self._decoder = decoder
        self._finder = VoiceFinder()
        self._sink = sink
        self._told = 0.0

    def run(self, source: BinaryIO) -> None:
        """Answer what comes in until it ends."""
        while len(head := source.read(8)) == 8:
            size = int.from_bytes(head, "little")
            if size == 0:
                self._tell_all(self._finder.finish())
                self._send({"done": True})
                return
            self._tell_all(self._finder.feed(np.frombuffer(source.read(size), dtype=np.int16)))
            if self._finder.settled - self._told >= 0.25:
                self._told = self._finder.settled
                self._send({"heard": self._told})

    def _tell_all(self, voices: list[Voice]) -> None:
        for voice in voices:
            words = read_words(self._decoder, voice) if self._decoder is not None else None
            self._send({"utterance": [round(voice.start, 3), round(voice.end, 3), words]})

    def _send(self, message: dict[str, Any]) -> None:
        self._sink.write(json.dumps(message).encode() + b"\n")
        self._sink.flush()


def main() -> None:
    listener = Listener(make_decoder(), sys.stdout.buffer)
    confine.limit(memory_bytes=confine.LISTENER_MEMORY, cpu_s=None)
    listener.run(sys.stdin.buffer)


if __name__ == "__main__":
    main()
