"""Which things are to be seen: the near end of the pipe to ``engine.recognise.spotter``.

A spotter is made only where its weights are (``engine.senses``).
"""

from pathlib import Path

from engine.facts.facts import Spotted, Thing
from engine.recognise.companion import Companion
from engine.recognise.detector import Spot
from engine.recognise.pictures import Onlooker
from engine.recognise.spots import Spots
from engine.recognise.tagger import Tag

_LONGEST_SIDE = 960  # pixels: things are looked at from near, so more than the network's own 416
_WAITING_PICTURES = 16  # of 1.6 MB at most


class Spotter(Onlooker):
    """A spotter process, warming up from the moment it is made; good for one clip.

    Args:
        weights: the directory of the network.
    """

    def __init__(self, weights: Path) -> None:
        arguments = ("--things", str(weights))
        spotter = Companion("engine.recognise.spotter", arguments, "spotter of things", _WAITING_PICTURES)
        super().__init__(spotter, _LONGEST_SIDE)
        self._spots = Spots()

    def cut(self, time: float) -> None:
        """Say that a shot begins."""
        self._spots.cut(time)

    def read(self, wait: bool = False) -> list[Thing | Spotted]:
        """Return the things of the clip once all pictures were looked at; with ``wait``, wait for it.

        Raises:
            ApiError: the spotter died.
        """
        while not self.done and (message := self._companion.take(wait)) is not None:
            if "done" in message:
                self.done = True
                return [*self._spots.finish(self._end)]
            time, spots, tags = message["spotted"]
            found = [Spot(name, sure, (box[0], box[1], box[2], box[3])) for name, sure, box in spots]
            self._spots.look(time, found, [Tag(kind, sure) for kind, sure in tags])
        return []
