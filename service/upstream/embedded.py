"""The embedded engine's process: started, watched, and ended with the service.

To the hub it is an upstream like any other, at the address of a Unix socket. The child
lives in a session of its own, so that Ctrl-C reaches the gateway first; it ends when
the pipe to it closes, so that it can never be left behind. Where several processes serve,
their parent keeps the engine, and each of them looks whether it answers.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import structlog

log = structlog.get_logger()

STOP_S = 5.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
# Who lived this long has not failed at its start.
SETTLED_S = 10.0
PROBE_S = 0.05
LOOK_S = 1.0


def next_pause(pause_s: float, lived_s: float) -> float:
    """How long to wait before starting again what ended after ``lived_s``; ``pause_s`` was the wait before."""
    return FIRST_PAUSE_S if lived_s > SETTLED_S else min(pause_s * 2, LONGEST_PAUSE_S)


class EmbeddedEngine:
    """Keep one engine process running; an async context manager.

    Args:
        data_dir: where it keeps its files; its socket stands in it.
        arguments: further command line arguments.
        secret: the first line of its standard input: an argument would be for everybody to read.
        sleep: how to wait between starts.
    """

    def __init__(
        self,
        data_dir: Path,
        arguments: Sequence[str] = (),
        *,
        secret: str | None = None,
        sleep: Callable[[float], "asyncio.Future[None]"] | None = None,
    ) -> None:
        # Paths of sockets are short (108 bytes on Linux): long data directories need a link.
        self.socket = socket_path(data_dir)
        self._data_dir = data_dir
        self._arguments = arguments
        self._secret = secret
        self._sleep = sleep or asyncio.sleep
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.ready = False

    async def __aenter__(self) -> Self:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._keeper = asyncio.create_task(self._keep(), name="engine keeper")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._keeper

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            began = asyncio.get_running_loop().time()
            code = await self._run_once()
            self.ready = False
            lived = asyncio.get_running_loop().time() - began
            pause = next_pause(pause, lived)
            log.error("engine_ended", exit_code=code, again_in_s=pause)
            await self._sleep(pause)

    async def _run_once(self) -> int:
        """Run the engine to its end; cancelling ends it."""
        command = [sys.executable, "-m", "engine", "--socket", self.socket, "--data-dir", str(self._data_dir)]
        process = self._process = await asyncio.create_subprocess_exec(
            *command,
            "--parent-pipe",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
            env=_environment(),
        )
        try:
            if self._secret is not None and process.stdin is not None:
                process.stdin.write(self._secret.encode() + b"\n")
            probe = asyncio.create_task(self._probe(), name="engine probe")
            try:
                return await process.wait()
            finally:
                probe.cancel()
                with suppress(asyncio.CancelledError):
                    await probe
        finally:
            await self._stop(process)

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()  # its sign to leave
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _probe(self) -> None:
        """Ask until the engine answers."""
        async with _calls_to(self.socket) as session:
            while not self.ready:
                self.ready = await _answers(session)
                if not self.ready:
                    await self._sleep(PROBE_S)
        log.info("engine_ready")


class SharedEngine:
    """An engine that another process keeps, looked at for as long as this is open; an async context manager.

    Args:
        socket: where it listens; the same after each of its restarts.
    """

    def __init__(self, socket: str) -> None:
        self.socket = socket
        self.ready = False
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watcher = asyncio.create_task(self._watch(), name="engine watcher")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._watcher is not None
        self._watcher.cancel()
        with suppress(asyncio.CancelledError):
            await self._watcher

    async def _watch(self) -> None:
        async with _calls_to(self.socket) as session:
            while True:
                self.ready = await _answers(session)
                await asyncio.sleep(LOOK_S if self.ready else PROBE_S)


def _calls_to(socket: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket), trust_env=False)


async def _answers(session: aiohttp.ClientSession) -> bool:
    """Whether the engine gives a page of assets."""
    with suppress(aiohttp.ClientError, OSError):
        async with session.get("http://localhost/v1.3/assets?page_limit=1") as answer:
            return answer.status == 200
    return False


def socket_path(data_dir: Path) -> str:
    """Where the engine's socket stands."""
    path = str(data_dir.resolve() / "engine.sock")
    if len(path.encode()) < 100:
        return path
    import hashlib
    import tempfile

    name = hashlib.sha256(path.encode()).hexdigest()[:16]
    return str(Path(tempfile.gettempdir()) / f"fanlight-{os.getuid()}-{name}.sock")


def _environment() -> dict[str, str]:
    """The child's environment: nothing secret goes to where media of unknown origin are read."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("FANLIGHT_", "TWELVELABS_"))}
