"""A peer of the client made of bytes alone: it keeps no rule but those that a test has it keep."""

import asyncio
import base64
import hashlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import orjson

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Line:
    """One connection, seen from the peer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self._writer = reader, writer

    async def head(self) -> str:
        """The head of the next request."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def answer(self, status: int, body: bytes, *headers: str) -> None:
        """Answer the request whose head was read, and wait until the client closes."""
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", "Connection: close", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)
        await self.until_gone()

    @property
    def is_open(self) -> bool:
        """Whether the client is still there."""
        return not self._writer.is_closing()

    def send(self, data: bytes) -> None:
        """Send what it is."""
        self._writer.write(data)

    def shake(self, head: str) -> None:
        """Answer a WebSocket's handshake."""
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
        self.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )

    def say(self, *messages: Any) -> None:
        """Send messages, each as a frame; bytes are the text of one as they stand."""
        for message in messages:
            self.frame(message if isinstance(message, bytes) else orjson.dumps(message))

    def frame(self, payload: bytes, opcode: int = 1) -> None:
        """Send one frame."""
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        if size >= 1 << 16:
            length = b"\x7f" + size.to_bytes(8, "big")
        self.send(bytes([0x80 | opcode]) + length + payload)

    async def drain(self) -> None:
        """Wait while the client takes nothing."""
        await self._writer.drain()

    async def until_gone(self) -> None:
        """Read until the client is gone, and answer nothing."""
        with suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass

    def finish(self) -> None:
        """Close, behind what was sent."""
        self._writer.close()

    def cut(self) -> None:
        """Be gone, without a word."""
        self._writer.transport.abort()


Act = Callable[[Line, str], Awaitable[None]]


async def mute(_line: Line, _head: str) -> None:
    """Read nothing more, answer nothing, stay."""
    await asyncio.Event().wait()


def says(*messages: Any, then: Act = mute) -> Act:
    """Shake hands, say what it is, and then do something else."""

    async def act(line: Line, head: str) -> None:
        line.shake(head)
        line.say(*messages)
        await then(line, head)

    return act


def answers(status: int, body: bytes = b"", *headers: str) -> Act:
    """Answer, whatever was asked."""

    async def act(line: Line, _head: str) -> None:
        await line.answer(status, body, *headers)

    return act


async def gone(line: Line, _head: str) -> None:
    """Break the connection off."""
    line.cut()


class Peer:
    """Play one act for each connection, the last one for all that follow.

    Attributes:
        heads: of the requests, as they came.
        begun: set when the last act is being played.
        tasks: what plays.
    """

    def __init__(self, *acts: Act) -> None:
        self._acts = list(acts)
        self.heads: list[str] = []
        self.begun = asyncio.Event()
        self.tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "Peer":
        self._server = await asyncio.start_server(self._play, "127.0.0.1", 0, limit=1 << 16)
        # What is not read backs up at once, and not after megabytes.
        self._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self.tasks.add(task)
        line = Line(reader, writer)
        try:
            head = await line.head()
            self.heads.append(head)
            act = self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]
            if len(self._acts) == 1:
                self.begun.set()
            await act(line, head)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # what asyncio calls back for a cancelled connection it takes for a fault
        finally:
            self.tasks.discard(task)
            writer.close()

    @property
    def asked(self) -> list[str]:
        """What was asked for: methods and targets."""
        return [head.split(" HTTP/")[0] for head in self.heads]

    def clients(self) -> int:
        """How many sockets of this process lead here."""
        return sum(_leads_to(int(name), self.port) for name in os.listdir("/dev/fd"))


def _leads_to(fd: int, port: int) -> bool:
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return False
        with socket.socket(fileno=os.dup(fd)) as there:
            return there.family == socket.AF_INET and there.getpeername()[1] == port
    except OSError:
        return False


# -- messages


def attached(text: str = "", **members: Any) -> dict[str, Any]:
    """``attached``; a snapshot of generation 1 unless it is said otherwise."""
    start = members.get("from", 0)
    size = len(text.encode())
    return {
        "type": "attached", "gen": 1, "mode": "snapshot", "from": start, "to": start + size, "text": text,
        "status": "running", "view": "text", **members,
    }  # fmt: skip


def delta(start: int, text: str) -> dict[str, Any]:
    """``delta``."""
    return {"type": "delta", "from": start, "to": start + len(text.encode()), "text": text}


def end(text: str, **members: Any) -> dict[str, Any]:
    """``end`` of a whole text."""
    data = text.encode()
    return {
        "type": "end", "gen": 1, "to": len(data), "status": "completed", "finish_reason": "stop", "usage": None,
        "validation": None, "sha256": hashlib.sha256(data).hexdigest(), "error": None, **members,
    }  # fmt: skip
