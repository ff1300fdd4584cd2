"""A WebSocket server that says everything back, on the service's own reader and frames: for conformance suites.

The service itself answers commands and refuses binary, so a suite that wants an echo cannot talk to it.
Loopback only; from the repository's root:

    python -m tests.fakes.echo 9101

Autobahn's fuzzing client (`autobahntestsuite` runs on Python 2.7, and needs nothing else) is then pointed at it:

    wstest -m fuzzingclient -s spec.json

with a `spec.json` of `{"outdir": "reports", "servers": [{"agent": "fanlight", "url": "ws://127.0.0.1:9101"}],
"cases": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"], "exclude-cases": [], "exclude-agent-cases": {}}`.
"""

import asyncio
import sys

from protocol.wire.frames import BINARY, CLOSE, PING, PONG, TEXT, ws_close, ws_frame
from protocol.wire.websocket import Incoming, WebSocketReader, accept_key

MAX_MESSAGE = 16 << 20  # what the suite's largest messages need
FRAMES_A_TURN, BYTES_A_TURN = 64, 1 << 16


class EchoReader(WebSocketReader):
    """Takes binary messages as well."""

    __slots__ = ()
    takes = (TEXT, BINARY)


class Echo(asyncio.Protocol):
    """One connection: a handshake, then each message back; a bounded number of frames in a turn of the loop."""

    def __init__(self) -> None:
        self._reader = EchoReader(MAX_MESSAGE)
        self._head = b""
        self._is_open = False
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._accept(head.decode("latin-1"))
        self._reader.feed(data)
        self._turn()

    def _accept(self, head: str) -> None:
        headers = dict(line.lower().split(": ", 1)[:1] + line.split(": ", 1)[1:] for line in head.split("\r\n")[1:])
        accept = accept_key(headers["sec-websocket-key"])
        self._transport.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self._is_open = True

    def _turn(self) -> None:
        if self._transport.is_closing():
            return
        messages, error = self._reader.take(FRAMES_A_TURN, BYTES_A_TURN)
        for message in messages:
            self._answer(message)
        if error is not None:
            self._transport.write(ws_close(error.code, error.reason))
            self._transport.close()
        elif self._reader.waiting:
            self._loop.call_soon(self._turn)

    def _answer(self, message: Incoming) -> None:
        if message.opcode == CLOSE:
            code = message.payload[:2] or (1000).to_bytes(2, "big")
            self._transport.write(ws_frame(CLOSE, code))
            self._transport.close()
        elif message.opcode != PONG:
            self._transport.write(ws_frame(PONG if message.opcode == PING else message.opcode, message.payload))


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
