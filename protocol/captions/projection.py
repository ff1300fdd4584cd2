"""The view ``captions``: cues from a JSON document where there is one, from marks in plain text elsewhere."""

from contextlib import suppress

from protocol.captions.cues import CueBoard
from protocol.captions.plain import PlainCues
from protocol.captions.structured import CueNames, StructuredCues
from protocol.json.push import JsonRefused
from protocol.views.projections import Told

__all__ = ["CaptionProjection", "CueNames"]


class CaptionProjection:
    """Messages ``{at, id, rev, state, start, end, text, speaker?, pointer?}``.

    Args:
        names: where the request says that captions stand.
    """

    def __init__(self, names: CueNames | None = None) -> None:
        self._board = CueBoard()
        self._structured = StructuredCues(self._board, names or CueNames())
        self._plain = PlainCues(self._board)
        self._undecided: list[str] = []  # prose or document
        self._undecided_at = 0  # offset where it begins
        self._has_document = False
        self._is_refused = False

    def feed(self, fragment: str) -> list[Told]:
        """Take the next piece of text; return what it tells, in order of ``at``."""
        if not self._is_refused:
            try:
                self._structured.parser.feed(fragment)
            except JsonRefused:
                self._is_refused = True
            if not self._has_document:
                self._undecided.append(fragment)
                self._plain.grew(self._structured.parser.offset)
                self._feed_plain(self._structured.parser.prose_end)
                self._has_document = self._structured.parser.has_document
        return self._board.taken()

    def close(self) -> list[Told]:
        """The text is over; return what only its end tells."""
        self._board.over()
        if not self._is_refused:
            self._is_refused = True
            parser = self._structured.parser
            with suppress(JsonRefused):
                parser.close()
            if not self._has_document:
                self._feed_plain(parser.prose_end if parser.has_document else parser.offset)
        self._plain.close()
        return self._board.taken()

    def _feed_plain(self, until: int) -> None:
        """Give the text up to an offset, which is known to be prose, to the parser of marks."""
        if until > self._undecided_at:
            encoded = "".join(self._undecided).encode()
            prose = encoded[: until - self._undecided_at]
            self._undecided = [encoded[len(prose) :].decode()]
            self._undecided_at = until
            self._plain.feed(prose.decode())

    def state(self, start: int) -> list[Told]:
        """Return the latest of each cue that changed after offset ``start``."""
        return self._board.state(start)

    def finals(self) -> list[Told]:
        """Return the final cues, for exports."""
        return self._board.finals()
