"""Put a message on a transport: WebSocket frame (RFC 6455), SSE event, NDJSON line, HTTP chunk.

A framing is applied once per message, never per subscriber: readers in the same
place are written the very same bytes.
"""

from typing import Protocol

CLOSE_TIMEOUT_S = 5.0


class Framing(Protocol):
    """How one kind of transport carries messages."""

    name: str

    def message(self, payload: bytes, cursor: str | None) -> bytes:
        """Frame one message; ``cursor`` is where a reader that has seen it resumes, or None."""

    def body(self, framed: bytes) -> bytes:
        """Wrap framed messages that leave together."""

    keep_alive: bytes  # said when there was nothing to say
    last: bytes  # what ends the carrier cleanly, behind the last message


def ws_header(opcode: int, size: int) -> bytes:
    """The header of an unmasked, final frame (RFC 6455, section 5.2)."""
    if size < 126:
        return bytes((0x80 | opcode, size))
    first = bytes((0x80 | opcode,))
    if size < 1 << 16:
        return first + b"\x7e" + size.to_bytes(2, "big")
    return first + b"\x7f" + size.to_bytes(8, "big")


TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def ws_frame(opcode: int, payload: bytes) -> bytes:
    """One whole frame as a server sends it."""
    return ws_header(opcode, len(payload)) + payload


def ws_close(code: int, reason: str = "") -> bytes:
    """A close frame; the reason is cut to what a control frame can hold (125 bytes)."""
    return ws_frame(CLOSE, code.to_bytes(2, "big") + reason.encode()[:123])


class WebSocketFraming:
    """One text frame a message."""

    name = "ws"
    keep_alive = b""  # pings are the connection's own business
    last = b""  # so is the closing handshake

    def message(self, payload: bytes, cursor: str | None) -> bytes:
        return ws_header(TEXT, len(payload)) + payload

    def body(self, framed: bytes) -> bytes:
        return framed


LAST_CHUNK = b"0\r\n\r\n"


class _HttpFraming:
    """Base of the framings inside an HTTP body: chunked, or (HTTP/1.0) as it is.

    Args:
        chunked: whether the body is.
        outlives: the body goes on after a stream's ending, as a channel's does.
    """

    kind: str
    beat: bytes  # the keep-alive before it is wrapped

    def __init__(self, chunked: bool, outlives: bool = False) -> None:
        self.chunked = chunked
        self.last = LAST_CHUNK if chunked and not outlives else b""
        self.name = f"{self.kind}{'' if chunked else '/1.0'}{'+' if outlives else ''}"
        self.keep_alive = self.body(self.beat) if self.beat else b""

    def body(self, framed: bytes) -> bytes:
        # RFC 9112, section 7.1: one chunk.
        return b"%x\r\n%b\r\n" % (len(framed), framed) if self.chunked and framed else framed


class SseFraming(_HttpFraming):
    """Server-Sent Events (WHATWG HTML, section 9.2): ``data:`` and, where one may resume, ``id:``."""

    kind = "sse"
    beat = b":\n\n"

    def message(self, payload: bytes, cursor: str | None) -> bytes:
        if cursor is None:
            return b"data: %b\n\n" % payload
        return b"id: %b\ndata: %b\n\n" % (cursor.encode(), payload)


class LineFraming(_HttpFraming):
    """One message a line."""

    kind = "ndjson"
    beat = b"\n"

    def message(self, payload: bytes, cursor: str | None) -> bytes:
        return payload + b"\n"


class BareFraming(_HttpFraming):
    """The payload itself, with nothing around it; there is nothing to say in a silence."""

    kind = "text"
    beat = b""

    def message(self, payload: bytes, cursor: str | None) -> bytes:
        return payload


WEBSOCKET = WebSocketFraming()
SSE = {chunked: SseFraming(chunked) for chunked in (True, False)}
NDJSON = {chunked: LineFraming(chunked) for chunked in (True, False)}
CHANNEL_SSE = {chunked: SseFraming(chunked, outlives=True) for chunked in (True, False)}
CHANNEL_NDJSON = {chunked: LineFraming(chunked, outlives=True) for chunked in (True, False)}
BARE = {chunked: BareFraming(chunked) for chunked in (True, False)}
