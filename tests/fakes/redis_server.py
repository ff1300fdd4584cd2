"""A Redis of a test's own, on a Unix socket; left out in words where the machine has none."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

SERVER = shutil.which("redis-server")
needs_redis = pytest.mark.skipif(SERVER is None, reason="no redis-server here; scripts/system-packages installs it")


class RedisServer:
    """One server process: it can be killed, stopped, and be there again, with what it kept or without."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Be there, and answer."""
        assert SERVER is not None
        self.socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            SERVER, "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", "",
            *self._arguments, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        async with asyncio.timeout(20):
            while not await self._answers():
                await asyncio.sleep(0.01)

    async def _answers(self) -> bool:
        try:
            return bool(await self.command("PING"))
        except RedisError:
            return False

    async def kill(self) -> None:
        """Be gone, as after a crash."""
        if self._process is not None:
            self.resume()
            self._process.kill()
            await self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Answer nothing for now."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Answer again."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    async def command(self, *command: str) -> object:
        """Say something to it."""
        async with Redis.from_url(self.url) as redis:
            return await redis.execute_command(*command)


@asynccontextmanager
async def redis_server(*arguments: str) -> AsyncIterator[RedisServer]:
    """A server until the context is left."""
    with tempfile.TemporaryDirectory(prefix="fanlight-redis-") as folder:  # paths of sockets are short
        server = RedisServer(Path(folder), *arguments)
        await server.start()
        try:
            yield server
        finally:
            await server.kill()


class Line:
    """A way to a server that can be cut for those who use it, and mended."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._socket = server.folder / "line.sock"
        self.url = f"unix://{self._socket}?db=0"
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Line":
        self._listening = await asyncio.start_unix_server(self._serve, self._socket)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._listening.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Nothing passes any more."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """What comes from now on passes."""
        self._is_cut = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_unix_connection(str(self._server.socket))
        self._writers |= {writer, back}
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        target.close()
        self._writers.discard(target)
