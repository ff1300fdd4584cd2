"""What is written on the screen: the near end of the pipe to ``engine.recognise.reader``.

Eyes are made only where the extra ``ocr`` is installed (``engine.senses``).
"""

from collections.abc import Callable

from engine.facts.facts import Read, Writing
from engine.recognise.companion import Companion
from engine.recognise.reader import HEAD, Picture
from engine.recognise.sightings import Line, Sightings

_STEP_S = 1.0
_LONGEST_SIDE = 1280  # pixels: what is too small to be read at that size is not read
_WAITING_PICTURES = 16  # of 2.8 MB at most


class Eyes:
    """A reader process, warming up from the moment it is made; good for one clip.

    Attributes:
        next: pictures before this time are not read.
    """

    def __init__(self) -> None:
        self._reader = Companion("engine.recognise.reader", (), "reader of on-screen text", _WAITING_PICTURES)
        self._sightings = Sightings()
        self._lines: list[Line] = []
        self.next = 0.0
        self._end = 0.0
        self.done = False

    @property
    def pid(self) -> int:
        return self._reader.pid

    def look(self, time: float, size: tuple[int, int], draw: Callable[[int, int], Picture]) -> None:
        """Have a picture read, at most one a second; waits while too many are unread.

        Args:
            size: width and height at which the picture is shown.
            draw: returns the picture as it is shown, at a width and a height.
        """
        if time < self.next:
            return
        self.next = time + _STEP_S
        shrink = max(1.0, max(size) / _LONGEST_SIDE)
        width, height = round(size[0] / shrink), round(size[1] / shrink)
        self._reader.give(HEAD.pack(time, width, height) + draw(width, height).tobytes())

    def finish(self, end: float) -> None:
        """No more pictures will come; the last one stands until ``end``."""
        self._end = end
        self._reader.give(b"")

    def read(self, wait: bool = False) -> list[Writing | Read]:
        """Return the texts that are gone since the last call; with ``wait``, all that are left.

        Raises:
            ApiError: the reader died.
        """
        gone: list[Writing | Read] = []
        while not self.done and (message := self._reader.take(wait)) is not None:
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

    def close(self) -> None:
        self._reader.close()
