"""Where a figure lay how often: one search among a dozen bounds, with no lock, so that a fragment can be measured.

One thread alone counts; who reads it makes of it what Prometheus or OpenTelemetry want.
"""

from bisect import bisect_left

# Seconds. What takes part of a millisecond, what takes part of a second, and what takes a while.
FINE = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
MIDDLE = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COARSE = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)


class Histogram:
    """One figure.

    Args:
        bounds: upper bounds, inclusive and rising; one further place is for what is larger.

    Attributes:
        counts: by place, each alone.
        exemplars: the last one of each place with a trace: its value and the trace's id.
    """

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.exemplars: dict[int, tuple[float, str]] = {}

    def __repr__(self) -> str:
        return f"<Histogram {self.count} of {self.sum:.6f}>"

    def observe(self, value: float, trace_id: str = "") -> None:
        """Count one."""
        place = bisect_left(self.bounds, value)
        self.counts[place] += 1
        self.sum += value
        if trace_id:
            self.exemplars[place] = value, trace_id

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)
