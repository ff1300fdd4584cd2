"""Sound as who measures it and who hears it take it: 16 kHz mono, 16 bit.

Levels are plain RMS below full scale, no loudness model: a number that anyone can check.
"""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

RATE = 16_000
_FLOOR_DBFS = -96.0  # what 16 bits can tell from nothing


def level_dbfs(samples: Samples) -> float:
    """Return the RMS level of ``samples`` in dB below full scale."""
    if not len(samples):
        return _FLOOR_DBFS
    power = float(np.mean(samples.astype(np.float64) ** 2)) / 32768.0**2
    return max(_FLOOR_DBFS, 10 * float(np.log10(power))) if power > 0 else _FLOOR_DBFS
