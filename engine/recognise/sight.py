"""What is written on the screen: the near end of the pipe to ``engine.recognise.reader``.

Eyes are made only where the extra ``ocr`` is installed (``engine.senses``).
"""

from engine.facts.facts import Read, Writing
from engine.recognise.companion import Companion
from engine.recognise.pictures import Onlooker
from engine.recognise.sightings import Line, Sightings

_LONGEST_SIDE = 1280  # pixels: what is too small to be read at that size is not read
_WAITING_PICTURES = 16  # of 2.8 MB at most


class Eyes(Onlooker):
    """A reader process, warming up from the moment it is made; good for one clip."""

    def __init__(self) -> None:
        reader = Companion("engine.recognise.reader", (), "reader of on-screen text", _WAITING_PICTURES)
        super().__init__(reader, _LONGEST_SIDE)
        self._sightings = Sightings()
        self._lines: list[Line] = []

    def read(self, wait: bool = False) -> list[Writing | Read]:
        """Return the texts that are gone since the last call; with ``wait``, all that are left.

        Raises:
            ApiError: the reader died.
        """
        gone: list[Writing | Read] = []
        while not self.done and (message := self._companion.take(wait)) is not None:
            if "done" in message:
                self.done = True
                gone += self._sightings.finish(self._end)
                continue
            if "seen" in message:
                time, lines = message["seen"]
                self._lines = [Line(text, (box[0], box[1], box[2], box[3]), sure) for text, box, sure in lines]
            else:
                time = message["same"]
            gone += self._sightings.look(time, self._lines)
        return gone
