"""Read what a WebSocket client sends (RFC 6455), sans-I/O: bytes in, messages out.

The service leaves aiohttp's objects after the handshake (an idle reader then costs a
quarter of the memory), so the little that clients say is read here. Only what a
server needs: masked frames, fragments, control frames, no extensions.
"""

import base64
import hashlib
from dataclasses import dataclass

from protocol.frames import BINARY, CLOSE, PING, PONG, TEXT

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


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
class Message:
    """One whole message: text, ping, pong or close, by its opcode."""

    opcode: int
    payload: bytes


class WebSocketReader:
    """Cut a client's bytes into messages.

    Args:
        max_message: longest message accepted, in bytes; more is close code 1009.
    """

    __slots__ = ("_buffer", "_fragments", "_max")

    def __init__(self, max_message: int) -> None:
        self._max = max_message
        self._buffer = b""
        self._fragments: list[bytes] | None = None

    def feed(self, data: bytes) -> tuple[list[Message], WebSocketError | None]:
        """Return the messages that ``data`` completes, and the error that stopped them, if any."""
        self._buffer += data
        messages: list[Message] = []
        try:
            while (frame := self._take_frame()) is not None:
                message = self._assemble(*frame)
                if message is not None:
                    messages.append(message)
                    if message.opcode == CLOSE:
                        break
        except WebSocketError as error:
            return messages, error
        return messages, None

    def _take_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        opcode, size, offset = first & 0x0F, second & 0x7F, 2
        self._check_header(first, second, opcode, size)
        if size >= 126:
            offset = 4 if size == 126 else 10
            if len(buffer) < offset:
                return None
            size = int.from_bytes(buffer[2:offset], "big")
        if size + sum(map(len, self._fragments or ())) > self._max:
            raise WebSocketError(1009, "too_large")
        end = offset + 4 + size
        if len(buffer) < end:
            return None
        payload = _unmask(buffer[offset + 4 : end], buffer[offset : offset + 4])
        self._buffer = buffer[end:]
        return bool(first & 0x80), opcode, payload

    @staticmethod
    def _check_header(first: int, second: int, opcode: int, size: int) -> None:
        if first & 0x70:
            raise WebSocketError(1002, "reserved bits are set")
        if not second & 0x80:
            raise WebSocketError(1002, "a client's frame is not masked")
        if opcode >= CLOSE and (size > 125 or not first & 0x80):
            raise WebSocketError(1002, "a control frame is fragmented or too long")
        if opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG):
            raise WebSocketError(1002, "unknown opcode")

    def _assemble(self, final: bool, opcode: int, payload: bytes) -> Message | None:
        if opcode >= CLOSE:
            return Message(opcode, payload)
        if opcode == BINARY:
            raise WebSocketError(1003, "invalid_request")
        if (opcode == 0) != (self._fragments is not None):
            raise WebSocketError(1002, "a fragment is out of order")
        if self._fragments is None:
            self._fragments = []
        # An endless train of empty fragments would grow the list, not the message.
        if payload or final:
            self._fragments.append(payload)
        if not final:
            return None
        whole, self._fragments = b"".join(self._fragments), None
        try:
            whole.decode()
        except UnicodeDecodeError as exc:
            raise WebSocketError(1007, "a text message is not UTF-8") from exc
        return Message(TEXT, whole)


def _unmask(payload: bytes, mask: bytes) -> bytes:
    if not payload:
        return payload
    # One big integer XOR: as fast as it gets without C.
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")
