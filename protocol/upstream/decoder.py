"""Upstream bytes to events: the line buffer, the event parser and the state table in a row."""

from protocol.upstream.events import (
    EndOfBytes,
    Event,
    RemoteProtocolError,
    parse_event,
    plain_text,
    plain_texts,
    seems_plain,
)
from protocol.upstream.lines import LineBuffer, LineTooLong
from protocol.upstream.states import State, advance

# Lines that are worth reading together.
TOGETHER = 4


class Decoder:
    """Decode the body of one ``POST /analyze`` answer.

    Attributes:
        state: where the stream stands after what was fed.
        blank_lines: empty lines seen; proof of life, no events.
        ignored: events after the first ``stream_end``; tolerated and counted.

    Args:
        max_line: longest line accepted, in bytes.
    """

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._lines = LineBuffer(max_line)
        self.state = State.IDLE
        self.blank_lines = 0
        self.ignored = 0

    def feed(self, data: bytes) -> tuple[list[Event], RemoteProtocolError | None]:
        """Return the events that ``data`` completes, and the error that stopped them, if any.

        Events before an error are not lost: both are returned. After an error
        or an ending the decoder is not to be fed again.
        """
        if self.state is State.STREAMING and self._lines.is_between and len(data) <= self._max_line:
            text = plain_text(data)
            if text is not None:
                return [text], None  # nearly all that comes
        try:
            lines, error = self._lines.feed(data), None
        except LineTooLong as exc:
            lines, error = exc.lines, RemoteProtocolError(str(exc))
        events, earlier = self._parse(lines)
        return events, earlier or error

    def end(self) -> tuple[list[Event], RemoteProtocolError | None]:
        """Return the events at the end of the bytes, `EndOfBytes` last, or the error there."""
        events, error = self._parse([self._lines.end()])
        if error is None and self.state is not State.FAILED:
            events.append(EndOfBytes())
            self.state = advance(self.state, events[-1])
        return events, error

    def _parse(self, lines: list[bytes]) -> tuple[list[Event], RemoteProtocolError | None]:
        if len(lines) < TOGETHER:
            return self._parse_each(lines)
        # In the middle, between the stream's beginning and its end, there are plain fragments alone.
        begin, stop = int(self.state is State.IDLE), len(lines)
        while stop > begin and not seems_plain(lines[stop - 1]):
            stop -= 1
        events, error = self._parse_each(lines[:begin])
        if error is not None or self.state is State.FAILED:
            return events, error
        if self.state is State.STREAMING and stop - begin >= TOGETHER:
            texts = plain_texts(lines[begin:stop])
            if texts is not None:
                events += texts
                begin = stop
        more, error = self._parse_each(lines[begin:])
        return events + more, error

    def _parse_each(self, lines: list[bytes]) -> tuple[list[Event], RemoteProtocolError | None]:
        state = self.state
        events: list[Event] = []
        streaming, parse = State.STREAMING, parse_event
        try:
            for line in lines:
                if not line or line.isspace():
                    self.blank_lines += 1
                    continue
                if state is State.ENDED:
                    self.ignored += 1
                    continue
                event = parse(line)
                events.append(event)
                if type(event) is str and state is streaming:
                    continue  # nearly every event there is
                state = advance(state, event)
                if state is State.FAILED:
                    break
        except RemoteProtocolError as error:
            return events, error
        finally:
            self.state = state
        return events, None
