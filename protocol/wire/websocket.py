"""Read what a WebSocket client sends (RFC 6455), sans-I/O: bytes in, messages out.

The service leaves aiohttp's objects after the handshake (an idle reader then costs a
quarter of the memory), so the little that clients say is read here. Only what a
server needs: masked frames, fragments, control frames, no extensions.

What a stranger sends costs time and memory in proportion to its bytes, whatever the
frames and however the bytes were cut; and no more of it at once than the caller asks for.
"""

import base64
import hashlib
import sys
from codecs import utf_8_decode
from dataclasses import dataclass

from protocol.wire.frames import BINARY, CLOSE, PING, PONG, TEXT

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CONTINUATION = 0x0
# The first bytes that a frame may have: no reserved bit, a known opcode, a control frame whole.
_FIRST = frozenset(
    {_CONTINUATION, TEXT, BINARY, *(0x80 | one for one in (_CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))}
)
_LONGEST_CONTROL = 125
# Those of the registry that may be sent (section 7.4 and what was registered since); 3000 to 4999 are anybody's.
_CLOSE_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


def accept_key(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` for a ``Sec-WebSocket-Key`` (section 4.2.2).

    Raises:
        ValueError: the key is not 16 bytes in base64.
    """
    if len(base64.b64decode(key, validate=True)) != 16:
        raise ValueError("Sec-WebSocket-Key is not 16 bytes")
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class WebSocketError(Exception):
    """The client broke the rules; ``code`` is the close code to answer with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Incoming:
    """One whole message: text, ping, pong or close, by its opcode."""

    opcode: int
    payload: bytes


class WebSocketReader:
    """Cut a client's bytes into messages: feed what came, take what it says.

    After a close frame or an error nothing is read any more, nor kept (sections 1.4 and 7.1.7).

    Args:
        max_message: longest message accepted, in bytes; more is close code 1009.
    """

    __slots__ = ("_at", "_buffer", "_checked", "_is_over", "_max", "_message", "_opcode", "_waiting")

    # The kinds of data understood; a frame of another one is close code 1003.
    takes: tuple[int, ...] = (TEXT,)

    def __init__(self, max_message: int) -> None:
        self._max = max_message
        self._buffer: bytes | bytearray = b""
        self._at = 0  # how much of it has been taken
        self._waiting = False
        self._is_over = False
        # Of the message in fragments: one buffer, or a train of tiny ones would be as many objects.
        self._message: bytearray | None = None
        self._opcode = 0
        self._checked = 0  # bytes of it that are UTF-8 for certain

    @property
    def buffered(self) -> int:
        """Bytes that were fed and not taken yet."""
        return len(self._buffer) - self._at

    @property
    def waiting(self) -> bool:
        """Whether `take` may find more without more being fed.

        Pause reading because much is buffered only while this holds: what is
        left otherwise is the beginning of a frame, which needs the rest.
        """
        return self._waiting

    def feed(self, data: bytes) -> None:
        """Keep what came, until it is taken."""
        if self._is_over or not data:
            return
        if self._at == len(self._buffer):
            # Nearly always: what came before was whole frames. Nothing is copied then.
            self._buffer, self._at = data, 0
        else:
            if isinstance(self._buffer, bytes):
                self._buffer, self._at = bytearray(self._buffer[self._at :]), 0
            self._buffer += data
        self._waiting = True

    def take(self, frames: int = sys.maxsize, size: int = sys.maxsize) -> tuple[list[Incoming], WebSocketError | None]:
        """Return the messages that the next frames complete, and the error that stopped them, if any.

        Args:
            frames: how many are read at most, fragments and control frames among them.
            size: bytes of frames after which no further one is read; the first one always is.
        """
        messages: list[Incoming] = []
        stop = self._at + size
        try:
            while self._waiting and frames > 0 and self._at < stop:
                self._waiting = self._take_frame(messages)
                frames -= 1
        except WebSocketError as error:
            self._end()
            return messages, error
        if messages and messages[-1].opcode == CLOSE:
            self._end()
        else:
            self._let_go()
        return messages, None

    def _take_frame(self, messages: list[Incoming]) -> bool:
        """Read one frame, if all of it has come; return whether there may be another one."""
        buffer, at = self._buffer, self._at
        have = len(buffer)
        if have < at + 2:
            return False
        first, second = buffer[at], buffer[at + 1]
        opcode, size, begin = first & 0x0F, second & 0x7F, at + 6
        if first not in _FIRST or second < 0x80 or (opcode >= CLOSE and size > _LONGEST_CONTROL):
            raise _header_error(first, second)
        if opcode < CLOSE:
            self._check_order(opcode)
        if size >= 126:
            begin = at + (8 if size == 126 else 14)
            if have < begin - 4:
                return False
            size = int.from_bytes(buffer[at + 2 : begin - 4], "big")
        # Known from the header: what is too long is not waited for.
        if opcode < CLOSE and size + (len(self._message) if self._message is not None else 0) > self._max:
            raise WebSocketError(1009, "too_large")
        end = begin + size
        if have < end:
            return False
        payload = _unmasked(buffer, begin, end)
        self._at = end
        if opcode >= CLOSE:
            if opcode == CLOSE:
                _check_close(payload)
            messages.append(Incoming(opcode, payload))
        elif (whole := self._assembled(opcode, payload, final=first >= 0x80)) is not None:
            messages.append(whole)
        return opcode != CLOSE and end < have

    def _check_order(self, opcode: int) -> None:
        """A continuation continues something, and nothing else begins meanwhile (section 5.4)."""
        if (opcode == _CONTINUATION) != (self._message is not None):
            raise WebSocketError(1002, "a fragment is out of order")
        if opcode != _CONTINUATION and opcode not in self.takes:
            raise WebSocketError(1003, "invalid_request")

    def _assembled(self, opcode: int, payload: bytes, *, final: bool) -> Incoming | None:
        """Add a payload to its message; return the message when that was the last one."""
        if self._message is None:
            if final:
                if opcode == TEXT:
                    _check_text(payload, final=True)
                return Incoming(opcode, payload)
            self._message, self._opcode, self._checked = bytearray(), opcode, 0
        message = self._message
        message += payload
        if self._opcode == TEXT and (payload or final):
            # At most three bytes, the beginning of a character, are looked at again.
            self._checked += _check_text(message[self._checked :], final=final)
        if not final:
            return None
        self._message = None
        return Incoming(self._opcode, bytes(message))

    def _let_go(self) -> None:
        """Keep no more than about twice of what is still to be taken."""
        left = len(self._buffer) - self._at
        if not left:
            self._buffer, self._at = b"", 0
        elif self._at > left:  # then what is moved is less than what was taken: linear in all
            self._buffer, self._at = self._buffer[self._at :], 0

    def _end(self) -> None:
        self._is_over, self._waiting = True, False
        self._buffer, self._at, self._message = b"", 0, None


def _header_error(first: int, second: int) -> WebSocketError:
    if first & 0x70:
        return WebSocketError(1002, "reserved bits are set")
    if second < 0x80:
        return WebSocketError(1002, "a client's frame is not masked")
    if first & 0x0F in (CLOSE, PING, PONG):
        return WebSocketError(1002, "a control frame is fragmented or too long")
    return WebSocketError(1002, "unknown opcode")


def _check_text(text: bytes | bytearray, *, final: bool) -> int:
    """Return how many bytes are whole characters; all of them where the text is ``final``."""
    try:
        return utf_8_decode(text, "strict", final)[1]
    except UnicodeDecodeError as exc:
        raise WebSocketError(1007, "a text message is not UTF-8") from exc


def _check_close(payload: bytes) -> None:
    """A close frame says nothing, or a code that may be sent and a reason in UTF-8 (sections 5.5.1 and 7.4)."""
    if not payload:
        return
    try:
        payload[2:].decode()
    except UnicodeDecodeError as exc:
        raise WebSocketError(1007, "a close reason is not UTF-8") from exc
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 0
    if code not in _CLOSE_CODES and not 3000 <= code <= 4999:
        raise WebSocketError(1002, "a close frame has no valid code")


def _unmasked(buffer: bytes | bytearray, begin: int, end: int) -> bytes:
    """The payload between two positions; its mask stands before it (section 5.3)."""
    size = end - begin
    if not size:
        return b""
    mask = buffer[begin - 4 : begin]
    # One big integer XOR: as fast as it gets without C, for tiny payloads and for large ones.
    repeated = mask[:size] if size <= 4 else (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(buffer[begin:end], "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")
