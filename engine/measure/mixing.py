"""One channel out of several, so that what is spoken survives; and the channels as they are, to be measured.

A channel may carry the others upside down (a cable with crossed wires): added up, they
cancel each other, and a clip that is loud on any two loudspeakers would be told as silent.
So each channel is turned to agree with the loudest one before they are added.
"""

from dataclasses import dataclass
from typing import cast

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from engine.facts.samples import RATE, Samples
from engine.measure.sound import Channels

_Floats = NDArray[np.float64]

# As broadcasters mix: the voice is in the middle, and the lowest channel is for effects.
_WEIGHTS = {"FC": 1.0, "FL": 0.707, "FR": 0.707, "LFE": 0.0}
_SURROUND = 0.5
# More channels than that are mixed by the library, which knows their layout.
_MOST_CHANNELS = 8
# Correlation with the loudest channel below which a channel is upside down; above the second, it is not any more.
_INVERTED, _UPRIGHT = -0.5, -0.2
_MEMORY = 0.9  # how much of the past counts, from block to block


@dataclass(frozen=True, slots=True)
class Mixed:
    """A stretch of sound: its channels, and all of them in one."""

    channels: Channels
    mono: Samples


class Mixer:
    """Resample frames to 16 kHz and mix them; frames of other layouts are brought to that of the first."""

    def __init__(self, first: AudioFrame) -> None:
        names = [channel.name for channel in first.layout.channels]
        one = len(names) > _MOST_CHANNELS
        self._layout = "mono" if one else first.layout.name
        weights = [1.0] if one else [_WEIGHTS.get(name, _SURROUND) for name in names]
        self._weights = np.array(weights if any(weights) else [1.0] * len(weights))
        self._products: _Floats = np.zeros((len(weights), len(weights)))
        self._signs: _Floats = np.ones(len(weights))
        self._resampler = self._new()

    def mix(self, frame: AudioFrame | None) -> list[Mixed]:
        """Return what a frame gives; None ends the row, and what is left comes out.

        Raises:
            ValueError: the frame has another rate or layout than those before it: ``restart``.
        """
        return [self._mixed(cast(Channels, one.to_ndarray())) for one in self._resampler.resample(frame)]

    def restart(self) -> list[Mixed]:
        """Return what is left, and take frames of any rate and layout from now on."""
        rest = self.mix(None)
        self._resampler = self._new()
        return rest

    def _new(self) -> AudioResampler:
        return AudioResampler(format="s16p", layout=self._layout, rate=RATE)

    def _mixed(self, channels: Channels) -> Mixed:
        if len(channels) == 1:
            return Mixed(channels, channels[0])
        floats = channels.astype(np.float64)
        self._listen(floats)
        factors = self._signs * self._weights / self._weights.sum()
        return Mixed(channels, np.clip(np.round(factors @ floats), -32768, 32767).astype(np.int16))

    def _listen(self, floats: _Floats) -> None:
        """Find out which channels are upside down, from the last half second or so."""
        self._products = _MEMORY * self._products + floats @ floats.T
        powers = np.diag(self._products) * (self._weights > 0)
        loudest = int(powers.argmax())
        scale = np.sqrt(powers * powers[loudest])
        alike = np.divide(self._products[loudest], scale, out=np.zeros_like(scale), where=scale > 0)
        agreed = float(self._signs[loudest])
        self._signs[alike < _INVERTED] = -agreed
        self._signs[alike > _UPRIGHT] = agreed
