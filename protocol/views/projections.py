"""What every view of a text has in common: fed with it once per stream, never per subscriber.

A projection is deterministic: the same text gives the same messages, however it was cut, but for strings
that grow, which are told as they come. Messages are without ``type`` and ``stream``; values are live and
must be encoded before the next piece is fed.
"""

from contextlib import suppress
from typing import Any, Protocol

from protocol.json.push import JsonPush, JsonRefused, Kind

Told = dict[str, Any]  # a message of a view, without ``type`` and ``stream``

# Each message below a name repeats it, so a long one around many elements would come to the square of the
# text. Nothing more is told from there on, as of a text that is nested too deep.
MAX_NAMES = 1000


class Projection(Protocol):
    """A view of one growing text. Section 3 of the contract says what it tells."""

    def feed(self, fragment: str) -> list[Told]:
        """Take the next piece of text; return what it proves, in order of ``at``."""

    def close(self) -> list[Told]:
        """The text is over; return what only its end proves."""

    def state(self, start: int) -> Any:
        """Return what a reader who has everything up to offset ``start`` (0: nothing) needs now."""


class JsonProjection:
    """The part of a projection that parses; a text that is no JSON tells what came before it was none.

    Also the listener that hears nothing: views override what they care for.
    """

    def __init__(self) -> None:
        self.parser = JsonPush(self, max_names=MAX_NAMES)
        self._told: list[Told] = []
        self._is_refused = False

    def feed(self, fragment: str) -> list[Told]:
        """Take the next piece of text; return what it proves, in order of ``at``."""
        if not self._is_refused:
            try:
                self.parser.feed(fragment)
            except JsonRefused:
                self._is_refused = True
        return self._taken()

    def close(self) -> list[Told]:
        """The text is over; return what only its end proves."""
        if not self._is_refused:
            self._is_refused = True
            # What came before a refusal stands.
            with suppress(JsonRefused):
                self.parser.close()
        return self._taken()

    def _taken(self) -> list[Told]:
        told, self._told = self._told, []
        return told

    def began(self, kind: Kind, at: int) -> None:
        """See `protocol.json.scan.JsonListener`."""

    def named(self, name: str, at: int) -> None:
        """See `protocol.json.scan.JsonListener`."""

    def grew(self, text: str, at: int) -> None:
        """See `protocol.json.scan.JsonListener`."""

    def more(self, at: int) -> None:
        """See `protocol.json.scan.JsonListener`."""

    def closed(self, value: Any, at: int) -> None:
        """See `protocol.json.scan.JsonListener`."""

    def withdrawn(self, at: int) -> None:
        """See `protocol.json.scan.JsonListener`."""
