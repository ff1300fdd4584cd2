"""How loud the sound is, where it is silent, and where it is one steady tone.

Levels and silences are those of the loudest channel: mixed together, channels may cancel
each other. Tones are found in the mixture.
"""

import numpy as np
from numpy.typing import NDArray

from engine.facts.facts import Fact, Level, Silence, Tone
from engine.facts.samples import RATE, Samples, level_dbfs

_LEVEL_SAMPLES = RATE  # a second
_STEP_SAMPLES = 512  # 32 ms
_SILENT_DBFS = -55.0
_SHORTEST_SILENCE_S = 0.5

_TONE_SAMPLES = 4096  # a quarter of a second, 3.9 Hz a bin
_TONE_SHARE = 0.92  # of the energy in five bins
_TONE_DBFS = -50.0
_TONE_DRIFT = 0.02
_SHORTEST_TONE_S = 0.5
_WINDOW = np.hanning(_TONE_SAMPLES)

Channels = NDArray[np.int16]  # channels x samples


class SoundMeter:
    """Turn samples into levels, silences and tones; each is told when it is over.

    Args:
        start: the time of the first sample.
    """

    def __init__(self, start: float) -> None:
        self._start = start
        self._levels = _Blocks(_LEVEL_SAMPLES)
        self._steps = _Blocks(_STEP_SAMPLES)
        self._tones = _Blocks(_TONE_SAMPLES)
        self._silence: _Span | None = None
        self._tone: _Span | None = None

    @property
    def open_since(self) -> float | None:
        """Start of the earliest span that is not told yet."""
        spans = [span.start for span in (self._silence, self._tone) if span]
        return min(spans, default=None)

    def feed(self, samples: Samples, channels: Channels | None = None) -> list[Fact]:
        """Take the mixture and the channels it was made of; without these, it is the one channel."""
        channels = samples[np.newaxis] if channels is None else channels
        facts: list[Fact] = [
            Level(self._at(at), self._at(at + _LEVEL_SAMPLES), _loudest_dbfs(block))
            for at, block in self._levels.cut(channels)
        ]
        for at, block in self._steps.cut(channels):
            facts += self._hush(at, _loudest_dbfs(block) < _SILENT_DBFS)
        for at, block in self._tones.cut(samples[np.newaxis]):
            facts += self._pitch(at, _steady_hz(block[0]))
        return facts

    def finish(self) -> list[Fact]:
        facts: list[Fact] = []
        at, rest = self._levels.rest()
        if rest.shape[1] >= RATE // 10:
            facts.append(Level(self._at(at), self._at(at + rest.shape[1]), _loudest_dbfs(rest)))
        return facts + self._hush(self._steps.position, False) + self._pitch(self._tones.position, None)

    def _at(self, samples: int) -> float:
        return self._start + samples / RATE

    def _hush(self, at: int, silent: bool) -> list[Fact]:
        now = self._at(at)
        if silent:
            if self._silence is None:
                self._silence = _Span(now)
            return []
        span, self._silence = self._silence, None
        if span is None or now - span.start < _SHORTEST_SILENCE_S:
            return []
        return [Silence(span.start, now)]

    def _pitch(self, at: int, hz: float | None) -> list[Fact]:
        now = self._at(at)
        span = self._tone
        if span is not None and hz is not None and abs(hz - span.hz) <= _TONE_DRIFT * span.hz:
            return []
        self._tone = _Span(now, hz) if hz is not None else None
        if span is None or now - span.start < _SHORTEST_TONE_S:
            return []
        return [Tone(span.start, now, round(span.hz, 1))]


class _Span:
    def __init__(self, start: float, hz: float = 0.0) -> None:
        self.start = start
        self.hz = hz


class _Blocks:
    """Cut channels, whose samples come in any amount, into blocks of one size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: Channels = np.empty((0, 0), dtype=np.int16)
        self.position = 0  # samples handed out so far

    def cut(self, channels: Channels) -> list[tuple[int, Channels]]:
        """Return the whole blocks with their positions; keep what is left over."""
        have = np.concatenate((self._kept, channels), axis=1) if self._kept.size else channels
        count = have.shape[1] // self._size
        blocks = [
            (self.position + index * self._size, have[:, index * self._size : (index + 1) * self._size])
            for index in range(count)
        ]
        self._kept = have[:, count * self._size :].copy()
        self.position += count * self._size
        return blocks

    def rest(self) -> tuple[int, Channels]:
        return self.position, self._kept


def _loudest_dbfs(block: Channels) -> float:
    return max(level_dbfs(channel) for channel in block)


def _steady_hz(block: Samples) -> float | None:
    """Return the frequency that holds nearly all of the block's energy, if one does."""
    if level_dbfs(block) < _TONE_DBFS:
        return None
    power = np.abs(np.fft.rfft(block * _WINDOW)) ** 2
    power[:3] = 0.0  # hum below 12 Hz is no tone
    peak = int(power.argmax())
    low, high = max(0, peak - 2), peak + 3
    near = power[low:high]
    if float(near.sum()) < _TONE_SHARE * float(power.sum()):
        return None
    return float((near * np.arange(low, low + len(near))).sum() / near.sum()) * RATE / _TONE_SAMPLES
