"""Which pictures of a video a model is shown."""

import itertools
import math
from collections.abc import Sequence

Span = tuple[float, float]


def picture_times(shots: Sequence[Span], budget: int) -> list[float]:
    """Return at most ``budget`` times, in order: one a shot, then more where shots are long.

    Of more shots than pictures every so many is shown. A time lies within its shot, never at a cut.
    """
    if not shots or budget < 1:
        return []
    if len(shots) >= budget:
        chosen = [shots[(2 * n + 1) * len(shots) // (2 * budget)] for n in range(budget)]
        return [(start + end) / 2 for start, end in chosen]
    counts = [1] * len(shots)
    for _ in range(budget - len(shots)):
        longest = max(range(len(shots)), key=lambda n: (shots[n][1] - shots[n][0]) / (counts[n] + 1))
        counts[longest] += 1
    return [
        start + (end - start) * (n + 0.5) / count
        for (start, end), count in zip(shots, counts, strict=True)
        for n in range(count)
    ]


def windows(duration: float, longest_s: float) -> list[Span]:
    """Cut a long video into equal windows, none longer than ``longest_s``."""
    count = max(1, math.ceil(duration / longest_s))
    cuts = [duration * n / count for n in range(count)] + [duration]
    return list(itertools.pairwise(cuts))
