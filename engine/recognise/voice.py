"""Where a voice speaks: stretches of voice, found by silero, with a little air around them.

The first stretch is given twice: its beginning as soon as it is long enough to be read, so that there are words to see,
and then as a whole.

Samples are 16 kHz mono, 16 bit.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from engine.facts.samples import RATE, Samples

_CHUNK = 512  # samples the detector takes, 32 ms
_CHUNK_S = _CHUNK / RATE
_CONTEXT = 64
_VOICE_ON = 0.5
_VOICE_CHUNKS = 3  # that many in a row end a pause; a door or a note of music is shorter
_LEAST_CHUNKS = 8  # 0.25 s of voice
_PAD_CHUNKS = 8  # air kept before and after: the first consonant is often unvoiced
_LONGEST_CHUNKS = 470  # 15 s; the recogniser's time grows faster than an utterance
_SPLIT_FROM = 250  # a longer one is split at its least voiced place after 8 s
_HEAD_CHUNKS = 125  # 4 s; read in 3 s or 5 s, more words at its end were wrong


def _pause_chunks(spoken: int) -> int:
    """Return how long a pause ends a stretch of ``spoken`` chunks.

    A breath ends a long one; a short one is worth waiting for, since the recogniser
    needs words around a word. (Measured: the fewest errors on three recordings.)
    """
    return 45 if spoken < 200 else 20


@dataclass(frozen=True, slots=True)
class Voice:
    """A stretch of voice: ``start`` to ``end`` in seconds; ``samples`` begin at ``offset``.

    Attributes:
        goes_on: it is the beginning of a stretch alone, which comes as a whole later.
    """

    start: float
    end: float
    offset: float
    samples: Samples
    goes_on: bool = False


def silero() -> Callable[[Samples], float]:
    """Load the detector that comes with faster-whisper; it remembers what it heard before, so each track needs its own.

    Silero 6 as ONNX: 64 samples from before the chunk, the chunk, and a state of two times 128 numbers.
    """
    import onnxruntime
    from faster_whisper.utils import get_assets_path

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.log_severity_level = 4
    path = f"{get_assets_path()}/silero_vad_v6.onnx"
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    state = [np.zeros((1, 1, 128), dtype=np.float32), np.zeros((1, 1, 128), dtype=np.float32)]
    before = np.zeros(_CONTEXT, dtype=np.float32)

    def chance(chunk: Samples) -> float:
        nonlocal before
        heard = np.concatenate((before, chunk.astype(np.float32) / 32768.0))
        before = heard[-_CONTEXT:]
        found, state[0], state[1] = session.run(None, {"input": heard[None], "h": state[0], "c": state[1]})
        return float(found.reshape(-1)[0])

    return chance


class VoiceFinder:
    """Cut samples into stretches of voice; times count from the first sample.

    Args:
        detect: returns the chance of voice in a chunk, 0..1; silero by default.
    """

    def __init__(self, detect: Callable[[Samples], float] | None = None) -> None:
        self._detect = detect or silero()
        self._rest = np.empty(0, dtype=np.int16)
        self._chunks: deque[Samples] = deque()  # the stretch in progress, or the air before one
        self._chances: list[float] = []  # of the stretch in progress
        self._first = 0  # index of the first kept chunk
        self._heard = 0  # chunks since the start
        self._pause = 0  # chunks since the last voice of some length
        self._streak = 0  # voiced chunks in a row
        self._speaking = False
        self._begun = False  # something was given

    @property
    def settled(self) -> float:
        """No stretch that is still to come starts before this time."""
        return (self._first if self._speaking else max(0, self._heard - _PAD_CHUNKS)) * _CHUNK_S

    def feed(self, samples: Samples) -> list[Voice]:
        """Take samples in any amount; return the stretches that ended."""
        have = np.concatenate((self._rest, samples)) if len(self._rest) else samples
        whole = len(have) // _CHUNK * _CHUNK
        self._rest = have[whole:].copy()
        found: list[Voice] = []
        for at in range(0, whole, _CHUNK):
            found += self._hear(have[at : at + _CHUNK])
        return found

    def finish(self) -> list[Voice]:
        return self._close() if self._speaking else []

    def _hear(self, chunk: Samples) -> list[Voice]:
        chance = self._detect(chunk)
        self._heard += 1
        self._chunks.append(chunk)
        if not self._speaking:
            if chance < _VOICE_ON:
                while len(self._chunks) > _PAD_CHUNKS:
                    self._chunks.popleft()
                return []
            self._speaking, self._pause, self._streak = True, 0, 0
            self._first = self._heard - len(self._chunks)
            self._chances = [0.0] * (len(self._chunks) - 1)
        self._chances.append(chance)
        self._streak = self._streak + 1 if chance >= _VOICE_ON else 0
        self._pause = 0 if self._streak >= _VOICE_CHUNKS else self._pause + 1
        if self._pause >= _pause_chunks(len(self._chunks)):
            return self._close()
        if len(self._chunks) == _HEAD_CHUNKS and not self._begun:
            return [replace(head, goes_on=True) for head in self._voice(list(self._chunks), self._chances)]
        return self._split() if len(self._chunks) >= _LONGEST_CHUNKS else []

    def _split(self) -> list[Voice]:
        """End an over-long stretch where it is least like voice; go on with the rest."""
        at = _SPLIT_FROM + int(np.argmin(self._chances[_SPLIT_FROM:-1])) + 1
        head = [self._chunks.popleft() for _ in range(at)]
        found = self._voice(head, self._chances[:at])
        self._first += at
        self._chances = self._chances[at:]
        return found

    def _close(self) -> list[Voice]:
        self._speaking = False
        kept = list(self._chunks)[: len(self._chunks) - max(0, self._pause - _PAD_CHUNKS)]
        self._chunks = deque(list(self._chunks)[-_PAD_CHUNKS:])
        return self._voice(kept, self._chances)

    def _voice(self, chunks: list[Samples], chances: list[float]) -> list[Voice]:
        voiced = [index for index, chance in enumerate(chances) if chance >= _VOICE_ON]
        if len(voiced) < _LEAST_CHUNKS:
            return []
        self._begun = True
        return [
            Voice(
                start=(self._first + voiced[0]) * _CHUNK_S,
                end=(self._first + voiced[-1] + 1) * _CHUNK_S,
                offset=self._first * _CHUNK_S,
                samples=np.concatenate(chunks),
            )
        ]
