"""A link between a node and its Redis that can be parted: nothing passes, nothing is lost on it, and it heals."""

import asyncio
from pathlib import Path


class Link:
    """Pass bytes between a TCP port of its own and a Unix socket.

    While it is parted connections stay open and are silent; what was said into them arrives when it heals,
    as after a real partition: an old command may come very late.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def part(self) -> None:
        """Let nothing pass."""
        self._whole.clear()

    def heal(self) -> None:
        """Let everything pass, what waits as well."""
        self._whole.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            await self._whole.wait()
            back, far = await asyncio.open_unix_connection(str(self._target))
            await asyncio.gather(self._pass(reader, far), self._pass(back, writer))
        except (OSError, asyncio.CancelledError):
            pass  # what asyncio calls back for a cancelled connection it takes for a fault
        finally:
            self._tasks.discard(task)
            for side in (writer, far):
                if side is not None:
                    side.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()
        await self._whole.wait()
        writer.close()  # what was written before goes first
