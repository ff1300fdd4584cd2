"""Readers made of bytes alone: HTTP requests as they are written, and WebSocket, SSE and NDJSON as they come.

Nothing here knows the service or a client library, so both can be held to it. What is not asked
for is not read: a reader that is left alone is a slow one.
"""

import asyncio
import base64
import os
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

PATIENCE_S = 20.0
_READ_BYTES = 1 << 14  # small, so that a reader that does not read soon holds the sender up


class Over(Exception):
    """The connection said its last word: ``how`` is ``clean`` or ``cut``, or a close code and its reason."""

    def __init__(self, how: str | tuple[int, str]) -> None:
        super().__init__(str(how))
        self.how = how


@dataclass
class Head:
    """The first part of an HTTP answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


class Wire:
    """One connection to the service, for one request.

    Args:
        url: the service's address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self.head = Head(0)
        self._writer: asyncio.StreamWriter | None = None

    def write(self, data: bytes) -> None:
        """Send something more."""
        assert self._writer is not None
        self._writer.write(data)

    async def open(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b"", version: str = "1.1"
    ) -> Head:
        """Send one request as it is given, read the head of its answer."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _READ_BYTES)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, (self._host, self._port))
        except BaseException:
            sock.close()
            raise
        self._reader, self._writer = await asyncio.open_connection(sock=sock, limit=_READ_BYTES)
        named = {name.lower() for name in headers or {}}
        lines = [f"{method} {target} HTTP/{version}"]
        if "host" not in named:
            lines.append(f"Host: 127.0.0.1:{self._port}")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body and "content-length" not in named:
            lines.append(f"Content-Length: {len(body)}")
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.head = await self._read_head()
        return self.head

    async def _read_head(self) -> Head:
        async with asyncio.timeout(PATIENCE_S):
            raw = await self._reader.readuntil(b"\r\n\r\n")
        first, *rest = raw.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        return Head(int(first.split()[1]), headers)

    async def body(self) -> bytes:
        """The whole body of a plain answer."""
        length = self.head.headers.get("content-length")
        if length is not None:
            return await self._reader.readexactly(int(length))
        if self.head.status in (204, 304):
            return b""
        parts = []
        try:
            while True:
                parts.append(await self.piece())
        except Over as over:
            assert over.how == "clean", f"the body was {over.how} behind {b''.join(parts)!r}"
        return b"".join(parts)

    async def piece(self) -> bytes:
        """The next part of a body without a length.

        Raises:
            Over: the body ended, cleanly or not.
        """
        async with asyncio.timeout(PATIENCE_S):
            try:
                if self.head.headers.get("transfer-encoding") != "chunked":
                    data = await self._reader.read(_READ_BYTES)
                    if not data:
                        raise Over("clean")
                    return data
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                data = await self._reader.readexactly(size + 2)
            except (asyncio.IncompleteReadError, ConnectionError):
                raise Over("cut") from None
        if not size:
            raise Over("clean")
        return data[:-2]

    def drop(self) -> None:
        """Be gone, without a word."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def close(self) -> None:
        """Be gone, and leave nothing behind."""
        if self._writer is not None:
            self._writer.close()
            self._writer.transport.abort()
            with suppress(ConnectionError):
                await self._writer.wait_closed()


class MessageReader:
    """A reader of messages over one transport.

    Attributes:
        ids: of Server-Sent Events, in order; None for a message without one.
    """

    suffix: str

    def __init__(self, url: str) -> None:
        self.wire = Wire(url)
        self.ids: list[str | None] = []

    async def open(self, target: str, headers: dict[str, str] | None = None) -> Head:
        """Attach; ``target`` is the path and query."""
        return await self.wire.open("GET", target, headers)

    async def next(self) -> dict[str, Any]:
        """The next message.

        Raises:
            Over: there is none.
        """
        raise NotImplementedError

    def drop(self) -> None:
        """Be gone, without a word."""
        self.wire.drop()

    async def close(self) -> None:
        """Be gone, and leave nothing behind."""
        await self.wire.close()


class _BodyReader(MessageReader):
    end: bytes  # what stands behind each message

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._rest = bytearray()

    async def _block(self) -> bytes:
        while (stop := self._rest.find(self.end)) < 0:
            self._rest += await self.wire.piece()
        block = bytes(self._rest[:stop])
        del self._rest[: stop + len(self.end)]
        return block


class LineReader(_BodyReader):
    """NDJSON."""

    suffix = "ndjson"
    end = b"\n"

    async def next(self) -> dict[str, Any]:
        while not (line := await self._block()):
            pass  # the stream lives
        return orjson.loads(line)


class EventReader(_BodyReader):
    """Server-Sent Events."""

    suffix = "events"
    end = b"\n\n"

    async def next(self) -> dict[str, Any]:
        while True:
            fields = [line.partition(b": ") for line in (await self._block()).split(b"\n")]
            named = {name: value for name, _, value in fields}
            if b"data" in named:
                self.ids.append(named[b"id"].decode() if b"id" in named else None)
                return orjson.loads(named[b"data"])


class SocketReader(MessageReader):
    """WebSocket, without a library (RFC 6455)."""

    suffix = "ws"

    async def open(self, target: str, headers: dict[str, str] | None = None) -> Head:
        key = base64.b64encode(os.urandom(16)).decode()
        return await self.wire.open(
            "GET",
            target,
            {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": key,
                **(headers or {}),
            },
        )

    async def next(self) -> dict[str, Any]:
        while True:
            opcode, payload = await self._frame()
            if opcode == 0x1:
                return orjson.loads(payload)
            if opcode == 0x8:
                self.send_frame(0x8, payload[:2])
                raise Over((int.from_bytes(payload[:2], "big"), payload[2:].decode()))
            if opcode == 0x9:
                self.send_frame(0xA, payload)

    async def _frame(self) -> tuple[int, bytes]:
        reader = self.wire._reader
        async with asyncio.timeout(PATIENCE_S):
            try:
                first, size = await reader.readexactly(2)
                if size == 126:
                    size = int.from_bytes(await reader.readexactly(2), "big")
                elif size == 127:
                    size = int.from_bytes(await reader.readexactly(8), "big")
                return first & 0x0F, await reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                raise Over("cut") from None

    def send(self, message: object) -> None:
        """Send one message."""
        self.send_frame(0x1, orjson.dumps(message))

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Send one frame, masked with zeros."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        if size >= 1 << 16:
            length = b"\xff" + size.to_bytes(8, "big")
        self.wire.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)


READERS: dict[str, type[MessageReader]] = {reader.suffix: reader for reader in (SocketReader, EventReader, LineReader)}
