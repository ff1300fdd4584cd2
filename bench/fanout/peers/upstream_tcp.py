"""Newline-separated fragments over TCP, for the Python peers."""

import asyncio
from collections.abc import Callable, Coroutine

import uvloop


async def listen(port: int, told: Callable[[list[bytes]], None]) -> None:
    """Call ``told`` with the lines that arrived together."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tail = b""
        while data := await reader.read(1 << 16):
            *lines, tail = (tail + data).split(b"\n")
            if lines:
                told(lines)
        writer.close()

    await asyncio.start_server(serve, "127.0.0.1", port)


def run(main: Coroutine[None, None, None], on_uvloop: bool) -> None:
    """Run a peer to its end."""
    (uvloop.run if on_uvloop else asyncio.run)(main)
