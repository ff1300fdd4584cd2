"""Where a file is damaged, has gaps, or its clock begins again: kept until it is told."""

from typing import Literal

from engine.facts.facts import Fault

# Damage that is nearer together is told as one.
_APART_S = 0.5

Half = Literal["picture", "sound"]  # of a clip


class Faults:
    """Collect what is wrong with a file while it is read.

    Attributes:
        packets: how many could not be decoded, or not rightly.
    """

    def __init__(self) -> None:
        self.packets = 0
        self._found: list[Fault] = []
        self._open: dict[Half, Fault] = {}
        self._restarts = 0

    def add(self, fault: Fault) -> None:
        self._found.append(fault)

    def damaged(self, track: Half, time: float) -> None:
        """Note that a packet was passed over."""
        self.packets += 1
        known = self._open.get(track)
        if known is not None and time - known.end > _APART_S:
            self._found.append(self._open.pop(track))
            known = None
        self._open[track] = Fault(
            known.start if known else time,
            max(time, known.end) if known else time,
            "damaged",
            track,
            known.packets + 1 if known else 1,
        )

    def began_again(self, restarts: list[float], start: float) -> None:
        """Note the restarts of a clock that are new, from ``start`` on."""
        for time in restarts[self._restarts :]:
            if time >= start:
                self._found.append(Fault(time, time, "restart", "file"))
        self._restarts = len(restarts)

    def take(self, now: float) -> list[Fault]:
        """Return what is settled: damage is, some time after it ended."""
        over = [track for track, fault in self._open.items() if now - fault.end > _APART_S]
        found, self._found = [*self._found, *(self._open.pop(track) for track in over)], []
        return found

    def finish(self, missing: list[Fault]) -> list[Fault]:
        """Return what is left, with the stretches that are missing: damage in these is no news."""
        rest = self.take(float("inf"))
        gone = {one.track: one.start for one in missing}
        return [
            *(one for one in rest if one.kind != "damaged" or one.end < gone.get(one.track, float("inf")) - _APART_S),
            *missing,
        ]
