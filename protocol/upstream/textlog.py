"""One generation of a stream: a text that only grows, and where each event stands in it.

The text is canonical UTF-8. Beside it stand the text's end after each event (eight
bytes an event) and, for the few that are not plain fragments, the event itself: so
readers of the upstream's events, also late ones, get them one for one.
"""

import hashlib
import re
from array import array
from bisect import bisect_right
from itertools import accumulate
from typing import cast

import orjson

from protocol.ndjson import dumps, escape_separators
from protocol.upstream.events import EndOfBytes, ErrorObject, Event, Fragment, Members, StreamEnd

# Room for events beside even the smallest text.
BESIDE_BYTES = 1 << 20
# A plain fragment as the upstream says it, members in their usual order.
_FRAGMENT = b'{"event_type":"text_generation","text":%b}'
_SURROGATE = re.compile("[\ud800-\udfff]")


class TextTooLong(Exception):
    """The text, or what stands beside it, would pass the cap."""


class TextLog:
    """Append-only text with the events that made it. Offsets are in UTF-8 bytes.

    Attributes:
        size: the head, bytes of text so far.
        count: events so far; the ordinal of the next one.
        pending: a high surrogate whose pair may come with the next fragment, else empty.

    Args:
        max_bytes: cap on the text, and again (but at least `BESIDE_BYTES`) on what
            is kept for events: a stream of empty ones must not grow without bound.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._max_beside = max(max_bytes, BESIDE_BYTES)
        self._text = bytearray()
        self.size = 0
        self._ends = array("Q")  # the text's size after each event
        self.count = 0
        self._others: dict[int, Members] = {}  # events that are no plain fragments, by ordinal
        self._beside = 0  # bytes kept beside the text
        self.pending = ""
        self._sha256 = hashlib.sha256()
        self._hashed = 0

    def __repr__(self) -> str:
        return f"<TextLog {self.size} bytes, {self.count} events>"

    def append(self, event: Event) -> None:
        """Take one event; `EndOfBytes` and error objects are endings, not events of the log.

        Raises:
            TextTooLong: nothing of the event was taken.
        """
        if type(event) is str:
            encoded = event.encode() if not self.pending else self._join(event)
            if len(self._text) + len(encoded) > self._max_bytes or 8 * len(self._ends) > self._max_beside:
                raise TextTooLong
            self._text += encoded
            self.size += len(encoded)
        elif isinstance(event, EndOfBytes | ErrorObject):
            return
        else:
            assert not isinstance(event, str)
            self._append_other(event.members, event.text if isinstance(event, Fragment) else "")
        self._ends.append(self.size)
        self.count += 1

    def extend(self, events: list[Event]) -> None:
        """Take events in a row; the same as `append` for each, and much cheaper for plain fragments.

        Raises:
            TextTooLong: the events before the one that passed the cap were taken.
        """
        if len(events) == 1:
            self.append(events[0])
            return
        begin = 0
        for index, event in enumerate(events):
            if type(event) is not str:
                self._extend_plain(cast(list[str], events[begin:index]))
                self.append(event)
                begin = index + 1
        self._extend_plain(cast(list[str], events[begin:] if begin else events))

    def _extend_plain(self, fragments: list[str]) -> None:
        """Take plain fragments: one encoding for all of them."""
        whole = "".join(fragments).encode()
        count = len(self._ends) + len(fragments)
        too_long = len(self._text) + len(whole) > self._max_bytes or 8 * count > self._max_beside
        if self.pending or too_long:
            for fragment in fragments:
                self.append(fragment)
            return
        sizes = map(len, fragments if whole.isascii() else [fragment.encode() for fragment in fragments])
        ends = accumulate(sizes, initial=len(self._text))
        next(ends)  # where the first fragment begins
        self._ends.extend(ends)
        self._text += whole
        self.size, self.count = len(self._text), count

    def follow(self, other: "TextLog", count: int) -> None:
        """Become what ``other`` is up to its event ``count``, of which this is a beginning.

        Text behind the last event comes along with it, and so does half a pair that waits for the other.
        """
        begin, last = self.count, count == other.count
        self._text += other.encoded(self.size, other.size if last else other.end_of(count - 1) if count else 0)
        self._ends.extend(other._ends[begin:count])
        self._others.update({n: members for n, members in other._others.items() if begin <= n < count})
        self.size, self.count = len(self._text), len(self._ends)
        self._beside = other._beside
        self.pending = other.pending if last else ""

    def fits(self, event: StreamEnd) -> bool:
        """Whether there is room for what stands beside the text of one more event."""
        return self._beside + len(dumps(event.members)) <= self._max_beside

    def finish(self) -> None:
        """Give up waiting for the pair of a surrogate: it becomes U+FFFD."""
        if self.pending:
            self.pending = ""
            self._text += "\ufffd".encode()
            self.size = len(self._text)

    def slice(self, start: int, stop: int) -> str:
        """The text between two offsets, both on code-point boundaries."""
        return self._text[start:stop].decode()

    def encoded(self, start: int = 0, stop: int | None = None) -> bytes:
        """The text from ``start`` to ``stop`` (the head), as UTF-8."""
        return bytes(self._text[start:stop])

    def is_boundary(self, offset: int) -> bool:
        """Whether ``offset`` is in the text and not inside a code point."""
        if not 0 <= offset <= len(self._text):
            return False
        return offset == len(self._text) or self._text[offset] & 0xC0 != 0x80

    def boundary_before(self, offset: int) -> int:
        """The last code-point boundary at or before ``offset``."""
        while not self.is_boundary(offset):
            offset -= 1
        return offset

    def event(self, ordinal: int) -> Members:
        """The upstream's event of that ordinal, as it came."""
        other = self._others.get(ordinal)
        if other is not None:
            return other
        start = self._ends[ordinal - 1] if ordinal else 0
        return {"event_type": "text_generation", "text": self.slice(start, self._ends[ordinal])}

    def lines(self, start: int, stop: int) -> list[bytes]:
        """Those events as the upstream's JSON, encoded anew."""
        ends, others, text = self._ends, self._others, self._text
        lines: list[bytes] = []
        begin = ends[start - 1] if start else 0
        for ordinal in range(start, stop):
            end = ends[ordinal]
            if ordinal in others:
                lines.append(dumps(others[ordinal]))
            else:
                encoded = orjson.dumps(text[begin:end].decode())
                lines.append(_FRAGMENT % (encoded if encoded.isascii() else escape_separators(encoded)))
            begin = end
        return lines

    def end_of(self, ordinal: int) -> int:
        """The text's size just after that event."""
        return self._ends[ordinal]

    def events_up_to(self, start: int, size: int) -> int:
        """The ordinal at which about ``size`` bytes of events from ``start`` on stop; at least one if there is one."""
        offset = (self._ends[start - 1] if start else 0) + size
        most = start + max(1, size // 64)  # an event weighs something without text, too
        return min(max(start + 1, bisect_right(self._ends, offset)), most, len(self._ends))

    def events_within(self, offset: int) -> int:
        """How many events lie wholly within the first ``offset`` bytes."""
        return bisect_right(self._ends, offset)

    def sha256(self) -> str:
        """The digest of the text so far, as hex."""
        self._sha256.update(memoryview(self._text)[self._hashed :])
        self._hashed = len(self._text)
        return self._sha256.hexdigest()

    def _append_other(self, members: Members, text: str) -> None:
        beside = self._beside + len(dumps(members))
        encoded = self._join(text)
        if beside > self._max_beside or len(self._text) + len(encoded) > self._max_bytes:
            raise TextTooLong
        self._others[len(self._ends)] = members
        self._beside = beside
        self._text += encoded
        self.size += len(encoded)

    def _join(self, text: str) -> bytes:
        """Encode ``text`` behind a pending surrogate; keep back a new one at its end.

        Only text moves a pending surrogate: other events may stand between its halves.
        """
        if not text:
            return b""
        text, self.pending = self.pending + text, ""
        if not _SURROGATE.search(text):
            return text.encode()
        if "\ud800" <= text[-1] <= "\udbff":
            text, self.pending = text[:-1], text[-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
